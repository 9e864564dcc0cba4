"""How commands end: one line and a status, whatever went wrong and wherever the output goes."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twinsplit.cli.entry import status
from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.sequences import SequenceData
from twinsplit.errors import InputError

RUN = "from twinsplit.cli.entry import main; main()"


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("this", "do that"), 2, "twinsplit: this; do that\n"),
        (KeyboardInterrupt(), 130, "twinsplit: interrupted; the same command goes on where it stopped\n"),
        (MemoryError("Unable to allocate 9 GiB"), 2, "twinsplit: not enough memory (Unable to allocate 9 GiB); ask for less"),
        (OSError(errno.ENOSPC, "No space left"), 2, "twinsplit: cannot write: No space left; make room, then run the same command again"),
        (OSError(errno.EFBIG, "File too large", "a.nbi"), 2, "twinsplit: cannot write a.nbi: File too large; make room"),
    ],
)
def test_what_the_user_can_put_right_is_one_line(error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(raising(error)) == code
    caption = capsys.readouterr().err
    assert caption.startswith(says)
    assert caption.count("\n") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), BrokenPipeError("a worker left"), OSError("elsewhere")])
def test_failures_of_ours_say_so(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe of ours that breaks is not a reader who left: standard output still takes a line."""
    assert status(raising(error)) == 1
    caption = capsys.readouterr().err
    assert "Traceback" in caption
    assert f"a failure of ours: {type(error).__name__}: {error}" in caption


def test_done_is_done() -> None:
    assert status(lambda: None) == 0


def ended(code: str, *words: str, stdout: int = subprocess.PIPE, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *words]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120, env=os.environ | environment
    )
    return done


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_failure(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = ended(RUN, "--help", stdout=writer, PYTHONUNBUFFERED=unbuffered)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = ended(RUN, "--help", stdout=full.fileno(), PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "twinsplit: cannot write to standard output: No space left on device; send it elsewhere, what was made is on disk"
    ]


@pytest.mark.parametrize("columns", ["1", "9"])
def test_help_ends_on_the_narrowest_terminal(columns: str) -> None:
    done = ended(RUN, "train", "--help", COLUMNS=columns)
    assert done.returncode == 0
    assert "usage" in done.stdout


def test_an_interruption_while_modules_are_read_is_one_line() -> None:
    finder = "import sys\nclass Finder:\n    def find_spec(self, name, *_):\n        if name == 'tyro': raise KeyboardInterrupt\n"
    done = ended(f"{finder}sys.meta_path.insert(0, Finder())\n{RUN}", "--help")
    assert (done.returncode, done.stderr) == (130, "twinsplit: interrupted; the same command goes on where it stopped\n")


def test_any_output_can_be_printed_anywhere() -> None:
    done = ended("from twinsplit.cli import entry; entry._prepare(); print('C\\u03b1 \\udcff')", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "C\\u03b1 \\udcff\n")


def test_more_than_memory_holds_is_refused_before_it_is_drawn() -> None:
    with pytest.raises(InputError, match=r"sequences of 16 tokens take .* GiB, and this machine has .* of memory; ask for fewer"):
        SequenceData.drawn(TreeGrammar.published(), 10**14, 0, 0, {})
