"""Whole commands, each in a process of its own: seconds and peak memory."""

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import final

TWINSPLIT = ["-c", "from twinsplit.cli.entry import main; main()"]  # the command, whether or not it is installed


@final
@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, and the largest sum of proportional memory over the process and its children, in bytes (0 off Linux)."""

    seconds: float
    memory: int


def measured(arguments: list[str]) -> Cost:
    """Run `python ARGUMENTS` to its end; CalledProcessError where it fails. Memory is looked at every 0.2 s."""
    start, peak = perf_counter(), 0
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, family_memory(process.pid))
                sleep(0.2)

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = perf_counter() - start
        done.set()
        watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, arguments)
    return Cost(seconds, peak)


def family_memory(pid: int) -> int:
    """Bytes of a process and its descendants, shared pages by proportion; what has ended meanwhile counts nothing."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except (OSError, StopIteration):
        return 0
    return own + sum(family_memory(child) for child in children)
