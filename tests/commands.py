"""`twinsplit ...` in this process, as the console entry point runs it: starting another for each would take most of the time."""

import contextlib
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from twinsplit.cli import entry

PROGRESS = ("train:", "measure:", "decode:", "draw:", "compare:", "fid:", "import:")  # of lines on standard error


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
            entry.main()
        except SystemExit as left:
            return int(left.code or 0)
    return 0


def run_in(folder: Path, *words: object) -> Done:
    """In a folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = command(*words)
    return Done(code, out.getvalue(), err.getvalue())


def twinsplit(*words: object, expect: int = 0, cwd: Path = Path()) -> Done:
    """Run a command that must end as expected."""
    done = run_in(cwd, *words)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def refusal(*words: object, cwd: Path = Path()) -> str:
    """The one line of a refused command."""
    return refusing_line(twinsplit(*words, expect=2, cwd=cwd).stderr)


def refusing_line(stderr: str) -> str:
    """The one line on standard error that is not of progress: it says what, and the remedy."""
    lines = [line for line in stderr.splitlines() if not line.startswith(PROGRESS)]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("twinsplit: ")
    assert ";" in lines[0]
    return lines[0]


def files(path: Path) -> dict[str, bytes]:
    """What every file below a folder holds."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
