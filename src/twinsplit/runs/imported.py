"""Networks that were trained elsewhere: they are measured here, and never trained."""

from pathlib import Path

from twinsplit.errors import InputError
from twinsplit.runs.files import read_json

IMPORT = "import.json"  # what `twinsplit import checkpoints` notes of a run's sources marks the run


def refuse_imported(path: Path) -> None:
    """InputError where the run folder holds imported networks.

    They come without the optimizer's state: going on from them would be another training, and a training from the start would take
    the place of what was imported.
    """
    note = path / IMPORT
    if note.is_file():
        networks = len(read_json(note, sources=list)["sources"])
        raise InputError(
            f"{path} holds {networks} imported networks, which cannot be trained on (no optimizer state came with them)",
            "measure them, or train twins of your own in another --out",
        )
