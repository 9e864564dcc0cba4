"""`twinsplit --help` and `import twinsplit` in a fresh interpreter; the bare interpreter is the floor."""

from functools import partial
from statistics import median

from rows.case import Row, Size
from rows.commands import TWINSPLIT, measured

COMMANDS = {
    "start_help": ([*TWINSPLIT, "--help"], 0.5),
    "start_import": (["-c", "import twinsplit"], 0.3),
}
WORDS = {"start_help": "twinsplit --help", "start_import": "import twinsplit"}


def row(name: str, size: Size, rounds: int) -> Row:
    """One command; reference_s is `python -c pass`."""
    arguments, goal = COMMANDS[name]
    count = max(5, rounds) if size == "full" else 1
    measured(arguments)
    pairs = [(measured(["-c", "pass"]).seconds, measured(arguments).seconds) for _ in range(count)]
    floor, ours = (median(column) for column in zip(*pairs, strict=True))
    return Row(
        name, ours, floor, None, f"{goal} s", None, f"{WORDS[name]}, the median of {count}; reference: python -c pass", "exit status 0"
    )


ROWS = {name: partial(row, name) for name in COMMANDS}
