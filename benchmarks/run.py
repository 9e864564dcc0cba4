"""What is fast, measured against a plain reference in the same process: equal results first, then alternating rounds, medians.

    python benchmarks/run.py [--json FILE] [--only ROW] [--rounds 3] [--plot FILE] [--size full|tiny]

The references are written in benchmarks/rows as one would write them first: eager float32 PyTorch or NumPy, per sample where the
published code goes per sample. Where a reference would take too long it does a part, printed with the row, and its time is scaled up.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from rows import belief, generation, growth, neighbours, quickstart, sampling, startup, training
from rows.case import Row, ceiling
from twinsplit.execution.local import available_cores

FAMILIES = (generation, belief, neighbours, training, sampling, startup, growth, quickstart)
ROWS = {name: row for family in FAMILIES for name, row in family.ROWS.items()}
HEADER = f"{'row':<18}{'ours':>12}{'reference':>12}{'ratio':>9}{'goal':>16}{'of ceiling':>12}"


def line(row: Row) -> str:
    """A row as text."""
    reference = "-" if row.reference_s is None else seconds(row.reference_s)
    ratio = "-" if row.ratio is None else f"{row.ratio:.1f}x"
    share = "-" if row.share_of_ceiling is None else f"{row.share_of_ceiling:.0%}"
    numbers = f"{row.name:<18}{seconds(row.ours_s):>12}{reference:>12}{ratio:>9}{row.goal:>16}{share:>12}"
    return f"{numbers}\n    {row.work}\n    equal: {row.equal}"


def seconds(value: float) -> str:
    """With a unit."""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--only", choices=ROWS, action="append", help="one row (may be repeated; default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds whose median is taken (default 3)")
    parser.add_argument("--size", choices=("full", "tiny"), default="full", help="tiny checks the benchmark itself")
    parser.add_argument("--plot", type=Path, help="draw the growth rows to this file")
    options = parser.parse_args(arguments)
    print(
        f"{available_cores()} cores; ceilings {ceiling('float32') / 1e9:.0f} (float32), {ceiling('bfloat16') / 1e9:.0f} (bfloat16) GFLOP/s"
    )
    print(HEADER)
    rows = []
    for name in options.only or ROWS:
        rows.append(ROWS[name](options.size, options.rounds))
        print(line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    if options.plot:
        growth.plot(rows, options.plot)


if __name__ == "__main__":
    torch.set_num_threads(available_cores())
    main()
