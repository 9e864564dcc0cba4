"""How often the decision is right on simulated curves: false alarms, detection, and coverage of the nominal 95% intervals.

    python benchmarks/onset_coverage.py [--draws 400] [--sequences 200] [--repeats 200]

Prints the tables of docs/onset.md as Markdown. The simulator is tests/simulated_curves.py. `these networks` is the turn of the noiseless
mean curve of the members that were drawn; `population` is the turn of the mean curve over 2,000 members.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from simulated_curves import PHASE, WITHOUT_PHASE, Drawn, World, population_truth, simulate
from twinsplit.onset.decision import Onset, Turn, find_onset

MEMBERS = (2, 3, 4, 6)
FIRST_SEED = 10_000  # the tests use seeds below this


@dataclass(frozen=True)
class Setting:
    """Sizes of one simulated experiment, and how many of them."""

    draws: int
    sequences: int
    repeats: int

    def run(self, world: World, members: int) -> list[tuple[Drawn, Onset]]:
        """Simulate and decide, `repeats` times."""
        drawn = [simulate(world, members, self.sequences, FIRST_SEED + s) for s in range(self.repeats)]
        return [(d, find_onset(d.curves, draws=self.draws, seed=s)) for s, d in enumerate(drawn)]


def covers(turn: Turn, truth: float | None) -> bool:
    """Whether the interval contains the true step; an open side contains everything beyond."""
    low, high = turn.interval
    return truth is not None and (low or 0.0) <= truth <= (high or np.inf)


def width(turn: Turn) -> float:
    """The ratio of the ends of the interval; infinite where it is open."""
    low, high = turn.interval
    return high / low if low and high else np.inf


def near(d: Drawn, o: Onset) -> bool:
    """Whether the nearest checkpoints of the found and of the true onset are neighbours or the same."""
    steps = np.log(d.curves.steps)
    if o.onset.step is None or d.onset is None:
        return False
    found, true = (int(np.argmin(np.abs(steps - np.log(v)))) for v in (o.onset.step, d.onset))
    return abs(found - true) <= 1


def percent(hits: list[bool]) -> str:
    """A share of the repeats."""
    return f"{100 * np.mean(hits):.1f}%"


def phase_row(setting: Setting, members: int) -> str:
    """Detection and coverage in the world with a biased phase."""
    runs = setting.run(PHASE, members)
    onset, minimum = population_truth(PHASE)
    cells = [
        percent([o.verdict == "bias_precedes_test_minimum" for _, o in runs]),
        percent([near(d, o) for d, o in runs]),
        percent([covers(o.onset, d.onset) for d, o in runs]),
        percent([covers(o.onset, onset) for _, o in runs]),
        f"{np.median([width(o.onset) for _, o in runs]):.2f}",
        percent([covers(o.test_loss_minimum, d.loss_minimum) for d, o in runs]),
        percent([covers(o.test_loss_minimum, minimum) for _, o in runs]),
        f"{np.median([width(o.test_loss_minimum) for _, o in runs]):.2f}",
    ]
    return f"| {members} | " + " | ".join(cells) + " |"


def verdict_row(setting: Setting, name: str, members: int) -> str:
    """Shares of the three verdicts in a world without a biased phase."""
    verdicts = [o.verdict for _, o in setting.run(WITHOUT_PHASE[name], members)]
    kinds = ("bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power")
    return f"| {name} | {members} | " + " | ".join(percent([v == kind for v in verdicts]) for kind in kinds) + " |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("draws", 400), ("sequences", 200), ("repeats", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    setting = Setting(**vars(parser.parse_args()))
    print(f"{setting.repeats} repeats, {setting.sequences} sequences, {setting.draws} draws, 95% intervals\n")
    print("| members | verdict: bias | onset within one checkpoint | onset covered: these networks | population | median high/low ", end="")
    print("| test minimum covered: these networks | population | median high/low |\n|---|---|---|---|---|---|---|---|---|")
    for members in MEMBERS:
        print(phase_row(setting, members), flush=True)
    print("\n| no biased phase | members | bias | no bias | not enough power |\n|---|---|---|---|---|")
    for name in WITHOUT_PHASE:
        for members in MEMBERS:
            print(verdict_row(setting, name, members), flush=True)


if __name__ == "__main__":
    main()
