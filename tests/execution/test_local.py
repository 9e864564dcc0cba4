"""Crews: order and errors are kept, tasks run on one thread, and workers leave with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.execution.local import AHEAD, Inline, Processes, check_device, open_executor, open_plain_executor


def threads(_: int) -> int:
    return torch.get_num_threads()


def refuse(item: int) -> int:
    if item == 2:
        raise InputError("item 2", "skip it")
    return item


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("size", [1, 2])
def test_every_task_has_one_thread(size: int) -> None:
    with open_executor(size) as executor:
        assert list(executor.map(threads, range(3))) == [1, 1, 1]


@pytest.mark.parametrize("device", ["cuda:77", "meta", "no such device"])
def test_a_device_that_does_not_work_is_refused(device: str) -> None:
    """On "meta" tensors can be made, but no number comes back."""
    with pytest.raises(InputError, match=f"--device {device} does not work here: .*; use cpu"), open_executor(2, device):
        pass


def test_one_process_has_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinsplit.execution.local.check_device", lambda device: None)
    with open_executor(2, "cuda") as executor:
        assert (type(executor), executor.device) == (Inline, "cuda")
    with open_executor(2) as executor:
        assert (type(executor), executor.size, executor.device) == (Processes, 2, "cpu")


@pytest.mark.parametrize("size", [1, 2])
def test_an_error_keeps_its_kind(size: int) -> None:
    with open_executor(size) as executor, pytest.raises(InputError, match="item 2; skip it"):
        list(executor.map(refuse, range(4)))


@pytest.mark.parametrize("size", [1, 2])
def test_a_plain_crew_keeps_order_and_errors(size: int) -> None:
    with open_plain_executor(size) as executor:
        assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        with pytest.raises(InputError, match="item 2; skip it"):
            list(executor.map(refuse, range(4)))


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with open_plain_executor(2) as executor:
        results = executor.map(abs, items())
        assert next(results) == 0
        assert len(taken) == 1 + AHEAD * 2
        assert list(results) == list(range(1, 100))


def test_plain_workers_do_without_torch() -> None:
    code = "import sys; from twinsplit.execution.local import plain_crew\nif __name__ == '__main__':\n"
    code += '    with plain_crew(2) as hands:\n        print(list(hands.map(eval, [\'"torch" in __import__("sys").modules\'] * 2)))'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, False]"


def test_a_worker_that_dies_is_said() -> None:
    with open_executor(2) as executor, pytest.raises(RuntimeError, match="same command again to resume"):
        list(executor.map(die, range(2)))


def test_inline_is_lazy() -> None:
    assert next(iter(Inline().map(refuse, iter([1, 2])))) == 1


PARENT = """
import os, time
from twinsplit.execution.local import crew
def me(_): return os.getpid()
if __name__ == "__main__":
    with crew(2) as hands:
        print(*hands.map(os.getpgid, [0, 0]), flush=True)
        print(*{p for p in hands.pool._processes}, flush=True)
        time.sleep(60)
"""


def test_workers_leave_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    workers = [int(word) for word in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    assert not any(alive(pid) for pid in workers)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_device_must_give_back_a_number() -> None:
    check_device("cpu")
    for device in ("meta", "abacus", "cuda:77", ""):
        with pytest.raises(InputError, match=f"--device {device} does not work here: .*; use cpu"):
            check_device(device)
