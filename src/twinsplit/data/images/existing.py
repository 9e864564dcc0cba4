"""Whether raw files are still those that a data folder was made from, without reading all of them again.

OUT/modified.json says when each file was last written. A file that was written since is read, and its SHA-256 compared with that of
files.parquet: an image may be rewritten in place without changing its size (BMP, PPM, TIFF).
"""

from pathlib import Path

from twinsplit.data.images.decoding import read_content
from twinsplit.data.images.folder import read_table
from twinsplit.data.images.frame import Frame, UnusableError
from twinsplit.data.images.listing import Entry
from twinsplit.data.images.sources import Source
from twinsplit.runs.files import fingerprint, read_json, write_json

NAME = "modified.json"


def note_times(out: Path, entries: tuple[Entry, ...]) -> None:
    """Write when the files were last written, by name (ns)."""
    write_json(out / NAME, {entry.name: entry.modified for entry in entries})


def rewritten(source: Source, frame: Frame, out: Path, entries: tuple[Entry, ...]) -> str | None:
    """The first file whose content is no longer what it was; None where all are as they were."""
    known = read_json(out / NAME) if (out / NAME).is_file() else {}  # a folder made before there was this file: all are read
    later = [entry for entry in entries if known.get(entry.name) != entry.modified]
    if not later:
        return None
    files = read_table(out / "files.parquet")
    hashes = dict(zip(files["name"], files["sha256"], strict=True))
    found = next((entry.name for entry in later if _differs(source, frame, entry, hashes.get(entry.name))), None)
    if found is None:
        note_times(out, entries)
    return found


def _differs(source: Source, frame: Frame, entry: Entry, sha256: str | None) -> bool:
    """Whether an image is another one, or a file that was left out can be used now."""
    path = source.path_of(entry)
    try:
        if path is None or sha256 is None:
            return source.decode(entry, frame).sha256 != sha256
        return fingerprint(read_content(path)) != sha256
    except UnusableError:
        return sha256 is not None
