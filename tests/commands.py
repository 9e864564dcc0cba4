"""`twinsplit ...` in this process, as the console entry point runs it: starting another for each would take most of the time."""

import contextlib
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from twinsplit.cli import entry as cli


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and its words."""

    returncode: int
    stdout: str
    stderr: str


def command(*words: object) -> int:
    """The exit status."""
    with mock.patch.object(sys, "argv", ["twinsplit", *map(str, words)]):
        try:
            cli.main()
        except SystemExit as left:
            return int(left.code or 0)
    return 0


def run_in(folder: Path, *words: object) -> Done:
    """In a folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = command(*words)
    return Done(code, out.getvalue(), err.getvalue())
