"""Executors: order and errors are kept, tasks run on one thread, and workers leave with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.execution.local import AHEAD, Inline, Processes, check_device, open_executor


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
def test_order_is_kept(size: int) -> None:
    with open_executor(size) as executor:
        assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        with pytest.raises(InputError, match="item 2; skip it"):
            list(executor.map(refuse, range(4)))
        assert list(executor.map(abs, [-1])) == [1]


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with open_executor(2) as executor:
        results = executor.map(abs, items())
        assert next(results) == 0
        assert len(taken) == 1 + AHEAD * 2
        assert list(results) == list(range(1, 100))


def test_workers_without_tensors_do_without_torch() -> None:
    code = "import sys; from twinsplit.execution.local import open_executor\nif __name__ == '__main__':\n"
    code += (
        '    with open_executor(2) as executor:\n        print(list(executor.map(eval, [\'"torch" in __import__("sys").modules\'] * 2)), '
    )
    code += '"torch" in sys.modules)'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, False] False"


def test_a_worker_that_dies_is_said_and_replaced() -> None:
    with open_executor(2) as executor:
        with pytest.raises(InputError, match="same command again to resume"):
            list(executor.map(die, range(2)))
        assert list(executor.map(abs, [-1, -2, -3])) == [1, 2, 3]


def huge_then_die(item: int) -> bytes:
    """Killed in the middle of sending a large result, as a worker without memory is."""
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return bytes(400_000_000) if item == 1 else b""


def test_a_worker_killed_while_it_answers_holds_up_nobody() -> None:
    with open_executor(2) as executor, pytest.raises(InputError, match="same command again to resume"):
        list(executor.map(huge_then_die, [1, 1]))


class UnpackableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def raise_unpackable(_: int) -> None:
    raise UnpackableError(1, 2)


def test_an_error_that_cannot_be_packed_comes_by_name() -> None:
    with open_executor(2) as executor, pytest.raises(RuntimeError, match="UnpackableError: 1 and 2"):
        list(executor.map(raise_unpackable, [0]))


def spoil(held: torch.Tensor, item: dict[str, torch.Tensor]) -> torch.Tensor:
    held += 1
    item["x"] += 1
    return item["x"]


@pytest.mark.parametrize("size", [3, 300_000])
def test_what_a_task_changes_changes_nothing_here(size: int) -> None:
    """Neither in the item nor in what the function holds, whether it travels with the task or waits in a file."""
    held, item = torch.zeros(size), {"x": torch.zeros(2)}
    with open_executor(2) as executor:
        assert [found.tolist() for found in executor.map(partial(spoil, held), [item, item])] == [[1.0, 1.0]] * 2
    assert not held.any()
    assert not item["x"].any()


def test_a_large_function_waits_in_one_private_file_while_the_map_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_executor(2) as executor:
        for items, length in (([1, 1, 1], 1), ([2, 2, 2], 1)):
            results = executor.map(partial(check_size, torch.zeros(300_000)), items)
            with suppress(InputError):
                next(results)
                (file,) = tmp_path.iterdir()
                assert file.stat().st_mode & 0o077 == 0
            results.close()  # type: ignore[attr-defined]
            assert len(list(tmp_path.iterdir())) == length - 1


def check_size(held: torch.Tensor, item: int) -> int:
    return refuse(item) + len(held)


UNGUARDED = """
from twinsplit.execution.local import open_executor
with open_executor(4) as executor:
    print(list(executor.map(abs, [-1] * 8)))
"""


def test_a_script_that_its_workers_read_again_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("twinsplit.errors.InputError: a worker process ended before its first task; in a script")
    assert len(done.stderr.splitlines()) < 80


INTERRUPTED = """
import sys, time
from twinsplit.cli.entry import status
from twinsplit.execution.local import open_executor
def work():
    with open_executor(2) as executor:
        print(*executor.map(abs, [-1, -2]), flush=True)
        list(executor.map(time.sleep, [60] * 5))
if __name__ == "__main__":
    sys.exit(status(work))
"""


def test_an_interruption_is_one_line_and_ends_the_workers() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    time.sleep(0.5)
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=30)
    assert (parent.returncode, said) == (130, "twinsplit: interrupted; the same command goes on where it stopped\n")


def test_too_few_open_files_are_said() -> None:
    code = "import resource\nfrom twinsplit.execution.local import open_executor\nif __name__ == '__main__':\n"
    code += "    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n    with open_executor(8) as e:\n"
    code += "        list(e.map(eval, ['[].sort()'] * 99))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert "InputError: cannot start a worker process: Too many open files; use fewer --workers" in done.stderr.splitlines()[-1]


def test_inline_is_lazy() -> None:
    assert next(iter(Inline().map(refuse, iter([1, 2])))) == 1


PARENT = """
import os, time
from twinsplit.execution.local import open_executor
def me(_): return os.getpid()
if __name__ == "__main__":
    with open_executor(2) as executor:
        print(*executor.map(os.getpgid, [0, 0]), flush=True)
        print(*{worker.process.pid for worker in executor.workers if worker.process}, flush=True)
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
