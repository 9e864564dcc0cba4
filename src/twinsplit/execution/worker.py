"""A worker process: one thread, one connection to its parent, one task at a time.

Every worker has a connection of its own, so that whatever becomes of one (killed while it writes a large result, say) is seen at once
and stops nobody else.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import current_process, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, final

from twinsplit.errors import InputError
from twinsplit.execution.packing import pack, unpack

INLINE = 2**20  # bytes up to which a function travels with every task
READY = b"ready"
_names = count()


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread inside the block, where torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class Parcel:
    """A packed function on its way to the workers. name: unique in the parent; packed: the function, or the file that holds it."""

    name: int
    packed: bytes | Path

    def opened(self) -> Callable[[Any], Any]:
        """The function, from its bytes or its file."""
        return unpack(self.packed if isinstance(self.packed, bytes) else self.packed.read_bytes())  # type: ignore[no-any-return]


@contextmanager
def parcel_of(function: Callable[[Any], Any]) -> Iterator[Parcel]:
    """Pack a function once for many tasks. A large one (it may hold the data) waits in a private file, removed at the end."""
    packed = pack(function)
    if len(packed) < INLINE:
        yield Parcel(next(_names), bytes(packed))
        return
    with NamedTemporaryFile(prefix="twinsplit-task-") as file:
        file.write(packed)
        file.flush()
        del packed
        yield Parcel(next(_names), Path(file.name))


@final
class Worker:
    """The parent's side: a process that is started at its first task, and again after it died."""

    def __init__(self) -> None:
        self.process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._killed = False
        self._lock = threading.Lock()  # `kill` comes from another thread

    def ask(self, parcel: Parcel, item: object) -> Any:
        """Return the function's result for an item; an error of the task is raised as it is.

        Raises InputError where the process cannot start or dies.
        """
        message, connection = pack((parcel, item)), self._connection or self._start()
        try:
            connection.send_bytes(message)
            del message
            answer = connection.recv_bytes()
        except (EOFError, ConnectionError) as error:
            self._stop()
            what = "a worker process died (killed, or out of memory)"
            raise InputError(what, "run the same command again to resume, with fewer --workers if memory is short") from error
        except BaseException:
            self._stop()  # half a message may still be on its way
            raise
        result, failure = unpack(answer)
        if failure is not None:
            raise failure
        return result

    def _start(self) -> Connection:
        try:
            with self._lock:
                if self._killed:
                    raise EOFError
                self.process, self._connection = _, connection = _started()
            connection.recv_bytes()
        except (EOFError, ConnectionError) as error:
            self._stop()
            remedy = "in a script, begin under `if __name__ == '__main__':`; else use --workers 1"
            raise InputError("a worker process ended before its first task", remedy) from error
        except OSError as error:
            self._stop()
            remedy = "use fewer --workers, or raise the limits of this shell (ulimit -n, ulimit -u)"
            raise InputError(f"cannot start a worker process: {error.strerror or error}", remedy) from error
        return connection

    def kill(self) -> None:
        """End the process in the middle of its task, for good."""
        with self._lock:
            self._killed = True
            if self.process is not None:
                self.process.kill()

    def _stop(self) -> None:
        with self._lock:
            if self.process is not None:
                self.process.kill()
        self.leave()

    def leave(self) -> None:
        """Let the process end by itself once it has no task: its connection is closed."""
        with self._lock:
            if self._connection is not None and self.process is not None:
                self._connection.close()
                self.process.join()
                self.process.close()
            self.process = self._connection = None


def _started() -> tuple[BaseProcess, Connection]:
    """A new interpreter, and the connection to it. The far end is closed here: so the end of one process is seen by the other."""
    context = get_context("spawn")
    near, far = context.Pipe()
    with far:
        process = context.Process(target=serve, args=(far,), daemon=True)
        resource_tracker.ensure_running()  # once started, it lets this thread be interrupted again, and the first worker with it
        hold_interruptions()
        try:
            process.start()
        except BaseException:
            near.close()
            raise
    return process, near


def hold_interruptions() -> None:
    """Keep Ctrl-C from this thread and from processes that it starts: the main thread alone answers it, with one line."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def leave_if_read_again() -> None:
    """End a worker that reads a script which starts workers unconditionally: it would start its own. The parent says what to do."""
    if getattr(current_process(), "_inheriting", False):
        os._exit(1)


def serve(connection: Connection) -> None:
    """Answer tasks until the connection ends; the last function is kept."""
    kept: list[tuple[Parcel, Callable[[Any], Any]]] = []
    threading.Thread(target=_leave_with_parent, args=(kept,), daemon=True).start()
    with suppress(EOFError, ConnectionError, MemoryError):
        connection.send_bytes(READY)
        while True:
            connection.send_bytes(_answer(connection.recv_bytes(), kept))


def _answer(message: bytes, kept: list[tuple[Parcel, Callable[[Any], Any]]]) -> memoryview:
    """Packed (result, None), or (None, the error of the task)."""
    try:
        parcel, item = unpack(message)
        del message
        if not kept or kept[0][0].name != parcel.name:
            kept.clear()  # before the next is read: there may not be room for two
            kept.append((parcel, parcel.opened()))
        with one_thread():
            return pack((kept[0][1](item), None))
    except Exception as error:
        return _packed_error(error)


def _packed_error(error: Exception) -> memoryview:
    """With where it was raised, which its traceback would not say at home; by name where its class cannot be packed."""
    where = "in a worker process:\n" + "".join(traceback.format_exception(error))
    error.add_note(where)
    try:
        packed = pack((None, error))
        unpack(packed)
    except Exception:
        foreign = RuntimeError(f"{type(error).__name__}: {error}")
        foreign.add_note(where)
        return pack((None, foreign))
    return packed


def _leave_with_parent(kept: list[tuple[Parcel, Callable[[Any], Any]]]) -> None:
    """A killed parent can neither stop its workers nor remove its files: they watch it, tidy up, and leave."""
    parent = parent_process()
    if parent is None:
        return
    parent.join()
    for parcel, _ in list(kept):
        if isinstance(parcel.packed, Path):
            parcel.packed.unlink(missing_ok=True)
    os._exit(1)
