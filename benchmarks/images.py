"""Preparing CelebA: seconds, images a second, and peak memory of the command and its workers together.

    python benchmarks/images.py [--images 20000] [--workers 0] [--size 32] [--colour grey] [--out runs/images-benchmark] [--json FILE]

Draws the JPEGs in CelebA's layout first (that is not timed), and prepares them with `twinsplit data celeba` in a process of its own.
Memory is sampled every 20 ms over the whole process tree from /proc: the sum of resident sizes (`rss`, which counts shared pages once
for each process) and of proportional sizes (`pss`, which counts them once in all). `cpu_seconds` is what a machine with nothing else to do
would need on one core, start-up included.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

CELEBA = 202_599


def tree(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def memory(process: int) -> tuple[int, int]:
    """(rss, pss) in bytes; zeros for a process that has left."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.startswith(("Rss", "Pss:"))}
    return sizes.get("Rss", 0), sizes.get("Pss", 0)


def measured(command: list[str]) -> dict[str, float]:
    """Run a command; its seconds and its peaks."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = [0, 0]
    running = subprocess.Popen(command)
    while running.poll() is None:
        now = [sum(sizes) for sizes in zip(*map(memory, tree(running.pid)), strict=True)]
        peaks = [max(pair) for pair in zip(peaks, now, strict=True)]
        time.sleep(0.02)
    if running.returncode:
        sys.exit(running.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu_seconds": cpu, "peak_rss_mib": peaks[0] / 2**20, "peak_pss_mib": peaks[1] / 2**20}


def main() -> None:
    """Draw, prepare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", default="0")
    parser.add_argument("--size", default="32")
    parser.add_argument("--colour", default="grey")
    parser.add_argument("--out", type=Path, default=Path("runs/images-benchmark"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = [sys.executable, "-m", "twinsplit.cli", "data"]
    raw, prepared = options.out / f"raw-{options.images}", options.out / "prepared"
    subprocess.run([*data, "faces", "--make", str(options.images), "--workers", options.workers, "--out", str(raw)], check=True)
    shutil.rmtree(prepared, ignore_errors=True)
    sizes = ["--workers", options.workers, "--size", options.size, "--colour", options.colour]
    row = measured([*data, "celeba", str(raw), "--out", str(prepared), *sizes])
    row |= {"images": options.images, "images_per_second": options.images / row["seconds"]}
    row["minutes_for_celeba"] = CELEBA / row["images_per_second"] / 60
    print("\n".join(f"{name:20} {value:,.1f}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
