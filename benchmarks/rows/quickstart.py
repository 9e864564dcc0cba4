"""`twinsplit quickstart` from nothing to the report, in a temporary folder: seconds and peak memory. Measured once: it takes minutes."""

import tempfile
from pathlib import Path

from rows.case import Row, Size
from rows.commands import TWINSPLIT, measured

SCALES = {"full": "laptop", "tiny": "smoke"}


def row(size: Size, rounds: int) -> Row:
    """There is no plain reference for a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        cost = measured([*TWINSPLIT, "quickstart", "--scale", SCALES[size], "--out", str(out)])
        assert (out / "report.html").stat().st_size > 0
    work = f"twinsplit quickstart --scale {SCALES[size]}; peak memory {cost.memory / 2**30:.2f} GiB (goal 1.5)"
    return Row("quickstart", cost.seconds, None, None, "120 s", None, work, "report written")


ROWS = {"quickstart": row}
