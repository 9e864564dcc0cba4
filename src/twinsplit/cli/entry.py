"""The console entry point: how a command ends. Exit status: 0 done, 2 bad input, 1 a failure of ours, 130 interrupted, 141 nobody reads.

Everything else is imported within, so that an interruption while Python still reads modules ends in one line too.
"""

import errno
import os
import sys
from collections.abc import Callable

from twinsplit.errors import InputError

NARROWEST = 20  # columns; tyro's help never ends on a terminal below ten
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MEMORY = "ask for less (smaller sizes, fewer samples, --workers 1), or use a machine with more memory"


def main() -> None:
    """Run the command that `sys.argv` holds."""
    code = status(_command)
    if code:
        sys.exit(code)


def _command() -> None:
    from twinsplit.cli.main import main as run

    _prepare()
    try:
        run(sys.argv[1:])
    finally:
        print(end="", flush=True)  # what cannot be written is known here, not when Python has left


def _prepare() -> None:
    """A terminal wide enough for help, and streams that can print whatever a path or a label holds."""
    import shutil

    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def status(command: Callable[[], None]) -> int:
    """Run it; the exit status, with one line on standard error for whatever went wrong."""
    try:
        command()
    except InputError as error:
        return _said(str(error), 2)
    except KeyboardInterrupt:
        return _said("interrupted; the same command goes on where it stopped", 130)
    except MemoryError as error:
        return _said(f"not enough memory{f' ({error})' if str(error) else ''}; {MEMORY}", 2)
    except OSError as error:
        return _of_output(error)
    except Exception as error:
        return _ours(error)
    return 0


def _said(line: str, code: int) -> int:
    print(f"twinsplit: {line}", file=sys.stderr)
    return code


def _ours(error: Exception) -> int:
    import traceback

    traceback.print_exception(error)
    return _said(f"a failure of ours: {type(error).__name__}: {error}; the same command resumes what is on disk", 1)


def _of_output(error: OSError) -> int:
    """Standard output that takes nothing more is the reader's doing, which a probe tells; a full disk is said; any other error is ours.

    What a command writes itself names its file when it cannot; libraries write, too (numba keeps what it has compiled).
    """
    try:
        print(flush=True)
    except OSError as output:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more when it leaves
        if isinstance(output, BrokenPipeError):
            return 141
        return _said(f"cannot write to standard output: {output.strerror}; send it elsewhere, what was made is on disk", 2)
    if error.errno in NO_ROOM:
        where = f" {error.filename}" if error.filename else ""
        return _said(f"cannot write{where}: {error.strerror}; make room, then run the same command again: what is on disk is intact", 2)
    return _ours(error)


if __name__ == "__main__":
    main()
