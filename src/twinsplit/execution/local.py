"""Where work runs: in one-thread processes that live as long as their parent, in this process, or on an accelerator.

Two one-thread processes train two small networks much faster than one process with two threads does, and every result is the
same to the bit: a task computes on one thread whatever the executor. On an accelerator one process does all: processes that share a
card would only take turns.
"""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import LifoQueue
from typing import Any, TypeVar, final

from twinsplit.errors import InputError
from twinsplit.execution.worker import Parcel, Worker, hold_interruptions, leave_if_read_again, one_thread, parcel_of

AHEAD = 2  # items in waiting for each worker
CPU = "cpu"
Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(ABC):
    """Maps a pure function over items. size: tasks at once; device: where the networks of a task compute."""

    size: int
    device: str = CPU

    @abstractmethod
    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield function(item) for every item, in the order of the items.

        The function is pure: all that it has to say is in what it returns. It may be given a copy of itself and of the item, in another
        process, and what it changes in them may be lost or not; a caller goes on with results, never with the items it gave, and
        leaves an item alone until its result has come. Items are taken as they are needed, a few ahead, and the first error of a
        task is raised in its turn. Function, items and results must be such that `pickle` can send them.
        """


@final
class Inline(Executor):
    """This process, on one thread per task for tensors on the CPU; networks compute on the device. Nothing is copied."""

    size = 1

    def __init__(self, device: str = CPU) -> None:
        self.device = device

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        for item in items:
            with one_thread():
                result = function(item)
            yield result


@final
class Processes(Executor):
    """Worker processes of one thread each, started as tasks come. The function is sent once for all items of a map.

    A thread of this process stands behind each worker: it sends a task in one buffer and waits for the result.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers = [Worker() for _ in range(size)]
        self._idle: LifoQueue[Worker] = LifoQueue()  # the one that was busy last comes first: it is started already
        for worker in self.workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(size, initializer=hold_interruptions)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        with parcel_of(function) as parcel:
            yield from self._in_order(parcel, items)

    def _in_order(self, parcel: Parcel, items: Iterable[Any]) -> Iterator[Any]:
        """Items are taken as workers become free, with a few in waiting: the checkpoints of a long run do not fit into memory at once."""
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                waiting.append(self._threads.submit(self._ask, parcel, item))
                del item
                if len(waiting) > AHEAD * self.size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _ask(self, parcel: Parcel, item: Any) -> Any:
        worker = self._idle.get()
        try:
            return worker.ask(parcel, item)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Let every worker end."""
        self._threads.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.leave()

    def stop(self) -> None:
        """End every worker in the middle of its task: nobody waits for the result."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.kill()
        self.close()


@contextmanager
def open_executor(size: int, device: str = CPU) -> Iterator[Executor]:
    """Inline for size 1 or an accelerator; else up to that many worker processes.

    A worker loads no more than its tasks need: without tensors it never loads torch, starts sooner and needs a third of the memory.
    Raises InputError where the device does not work.
    """
    if device != CPU:
        check_device(device)
    if size <= 1 or device != CPU:
        yield Inline(device)
        return
    leave_if_read_again()
    executor = Processes(size)
    try:
        yield executor
    except BaseException:
        executor.stop()
        raise
    executor.close()


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
