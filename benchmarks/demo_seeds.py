"""The demo with several seeds: the verdict must be the same, and the intervals of the onset must overlap.

    python benchmarks/demo_seeds.py [--seeds 3] [--out runs/seeds]

Each seed is one `twinsplit quickstart`; what stands is not run again. Prints the table of the README; leaves with 1 where seeds disagree.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def decision(seed: int, out: Path) -> dict[str, Any]:
    """Run the demo with one seed, or read what stands."""
    folder = out / f"seed_{seed}"
    if not (folder / "report.html").exists():
        subprocess.run([sys.executable, "-m", "twinsplit.cli", "quickstart", "--seed", str(seed), "--out", str(folder)], check=True)
    found: dict[str, Any] = json.loads((folder / "measurements" / "onset.json").read_text())
    return found


def steps(step: float | None, interval: list[float | None]) -> str:
    """A step with its interval, as in the table."""
    low, high = ("open" if bound is None else f"{bound:,.0f}" for bound in interval)
    return f"{'not reached' if step is None else f'{step:,.0f}'} ({low} to {high})"


def row(seed: int, found: dict[str, Any]) -> str:
    """One line of the table."""
    onset = steps(found["onset_step"], found["onset_interval"])
    minimum = steps(found["test_loss_minimum_step"], found["test_loss_minimum_interval"])
    return f"| {seed} | `{found['verdict']}` | {onset} | {minimum} | {found['rise']:.0%} (at least {found['rise_at_least']:.0%}) |"


def agree(decisions: list[dict[str, Any]]) -> bool:
    """One verdict, and a step that lies in every interval of the onset."""
    lows = [d["onset_interval"][0] or 0.0 for d in decisions]
    highs = [d["onset_interval"][1] or float("inf") for d in decisions]
    return len({d["verdict"] for d in decisions}) == 1 and max(lows) <= min(highs)


def main() -> None:
    """Print the table; the exit status says whether the seeds agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    options = parser.parse_args()
    decisions = [decision(seed, options.out) for seed in range(options.seeds)]
    print("| seed | verdict | onset | test-loss minimum | rise of the divergence |", "|---|---|---|---|---|", sep="\n")
    print(*(row(seed, found) for seed, found in enumerate(decisions)), sep="\n")
    sys.exit(0 if agree(decisions) else 1)


if __name__ == "__main__":
    main()
