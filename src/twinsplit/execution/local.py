"""Where work runs: in one-thread processes that live as long as their parent, in this process, or on an accelerator.

Two one-thread processes train two small networks much faster than one process with two threads does, and every result is the
same to the bit: a task computes on one thread whatever the crew. On an accelerator one process does all: processes that share a card
would only take turns.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar, final

from twinsplit.errors import InputError

AHEAD = 2  # items in waiting for each worker
CPU = "cpu"
Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(ABC):
    """Maps a function over items; order is kept, an error of any task is raised. device: where the networks of a task compute."""

    size: int
    device: str = CPU

    @abstractmethod
    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items, as they come."""


@final
class Inline(Executor):
    """This process, on one thread per task for tensors on the CPU; networks compute on the device."""

    size = 1

    def __init__(self, device: str = CPU) -> None:
        self.device = device

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        for item in items:
            with one_thread():
                result = function(item)
            yield result


@final
class Plain(Executor):
    """This process, for work without tensors."""

    size = 1

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return map(function, items)


@final
class Processes(Executor):
    """Worker processes of one thread each; functions and items must be importable, their tensors travel as shared memory."""

    def __init__(self, size: int, pool: ProcessPoolExecutor) -> None:
        self.size = size
        self.pool = pool

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        try:
            yield from self._in_order(function, items)
        except BrokenProcessPool as error:
            raise RuntimeError("a worker process died (killed, or out of memory); run the same command again to resume") from error
        except RuntimeError as error:
            raise _explained(error) from error

    def _in_order(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Items are taken as workers become free, with a few in waiting: the checkpoints of a long run do not fit into memory at once."""
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self.pool.submit(function, item))
                if len(waiting) > AHEAD * self.size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _explained(error: RuntimeError) -> Exception:
    """Containers often have 64 MiB of shared memory: say so."""
    if "shared memory" in str(error) or "torch_" in str(error):
        return InputError(f"worker processes cannot share their tensors: {error}", "use --workers 1, or enlarge /dev/shm")
    return error


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start() -> None:
    import torch

    torch.set_num_threads(1)
    _watch_parent()


def _watch_parent() -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A killed parent cannot stop its workers: they watch it and leave by themselves."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def open_executor(size: int, device: str = CPU) -> Iterator[Executor]:
    """Inline for size 1 or an accelerator; else that many worker processes, started at the first task.

    InputError where the device does not work.
    """
    if device != CPU:
        check_device(device)
    if size <= 1 or device != CPU:
        yield Inline(device)
        return
    from torch import multiprocessing

    context: Any = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(size, mp_context=context, initializer=_start) as pool:
        yield Processes(size, pool)


@contextmanager
def open_plain_executor(size: int) -> Iterator[Executor]:
    """As `crew`, for work without tensors: workers that never load torch start sooner and need a third of the memory."""
    if size <= 1:
        yield Plain()
        return
    with ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=_watch_parent) as pool:
        yield Processes(size, pool)


def check_device(device: str) -> None:
    """Refuse a device that cannot give back a number: one that is not there, and `meta`, which computes nothing."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--device {device} does not work here: {reason}", "use cpu, or one that `twinsplit doctor` names") from error


def check_memory(needed: int, what: str) -> None:
    """Refuse what this machine's memory cannot hold, before hours of work or the system's own end of them."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(f"{what} take {needed / 2**30:,.1f} GiB, and this machine has {there / 2**30:,.1f} GiB of memory", "ask for fewer")


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
