"""Near-duplicates of 200,000 images of 20 x 20: seconds and peak memory, and the dense method on the first of them in the same run.

    python benchmarks/duplicates.py [--images 200000] [--subset 8000] [--threads N] [--json FILE]

The images are drawn first, into a temporary .npy file: smooth, with a common part as faces have, 3% of them noisy copies of an earlier one.
Both methods run in processes of their own, which read the file as a memory map; first they must name the same rows of the subset. The
dense method holds the float64 correlations of all pairs; its time for all images is by proportion, since it could not hold them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twinsplit.data.splits.duplicates import near_duplicates

SIDE, DRAWN, GOAL_S, GOAL_MIB = 20, 4096, 600, 1024


def draw(path: Path, images: int) -> int:
    """Write the images; how many noisy copies there are."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(images, 1, SIDE, SIDE))
    basis = np.stack([np.cos(np.pi * k * (np.arange(SIDE) + 0.5) / SIDE) for k in range(6)])
    generator = np.random.default_rng(0)
    common, copies = generator.normal(size=(6, 6)), 0
    for start in range(0, images, DRAWN):
        count = min(DRAWN, images - start)
        smooth = np.einsum("nij,ix,jy->nxy", common + generator.normal(size=(count, 6, 6)), basis, basis)
        block = 128 + 12 * smooth + generator.normal(0, 6, smooth.shape)
        for row in np.flatnonzero(generator.random(count) < 0.03):
            if start + row:
                source = int(generator.integers(start + row))
                base = out[source, 0] if source < start else block[source - start]
                block[row] = base + generator.normal(0, generator.uniform(0, 60), (SIDE, SIDE))
                copies += 1
        out[start : start + count, 0] = np.clip(block, 0, 255)
    out.flush()
    return copies


def dense(images: np.ndarray) -> np.ndarray:
    """The published method: one matrix of all correlations."""
    above = np.abs(np.corrcoef(images.reshape(len(images), -1).astype(float))) > 0.95
    return np.flatnonzero(np.tril(above, -1).any(1))


METHODS = {"ours": near_duplicates, "dense": dense}


def job(method: str, path: Path, images: int) -> dict[str, Any]:
    """In this process: the rows, the seconds and the peak memory."""
    mapped = np.load(path, mmap_mode="r")[:images]
    start = time.perf_counter()
    rows = METHODS[method](mapped)
    seconds = time.perf_counter() - start
    return {"rows": rows.tolist(), "seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run(method: str, path: Path, images: int, threads: int) -> Any:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--job", method, "--path", str(path), "--images", str(images), "--threads", str(threads)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Draw, check, measure."""
    subset = min(options.subset, options.images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        copies = draw(path, options.images)
        plain, few = (run(method, path, subset, options.threads) for method in ("dense", "ours"))
        assert plain["rows"] == few["rows"], "the methods name different rows"
        all_of_them = run("ours", path, options.images, options.threads)
    operations = options.images**2 * SIDE**2
    return {
        "images": options.images,
        "threads": options.threads,
        "noisy copies": copies,
        "removed": len(all_of_them["rows"]),
        "seconds": all_of_them["seconds"],
        "peak MiB": all_of_them["peak_mib"],
        "goal": f"{GOAL_S} s, {GOAL_MIB} MiB for 200,000",
        "Gflop/s": operations / all_of_them["seconds"] / 1e9,
        "subset": subset,
        "subset: dense seconds": plain["seconds"],
        "subset: our seconds": few["seconds"],
        "subset: dense peak MiB": plain["peak_mib"],
        "dense seconds for all, by proportion": plain["seconds"] * (options.images / subset) ** 2,
        "dense MiB for all, by proportion": options.images**2 * 8 / 2**20,
        "equal": f"the same {len(plain['rows'])} rows of the subset",
    }


def main() -> None:
    """One line per number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--subset", type=int, default=8_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--job", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.job:
        print(json.dumps(job(options.job, options.path, options.images)))
        return
    row = compare(options)
    print("\n".join(f"{name:38} {value:,.1f}" if isinstance(value, float) else f"{name:38} {value}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
