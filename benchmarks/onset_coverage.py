"""How often the decision is right on simulated curves: false alarms, detection, and coverage of the nominal 95% intervals.

    python benchmarks/onset_coverage.py [--repeats 300] [--worlds plateau together] [--members 2 4] [--checkpoints 24]

Prints the tables of docs/onset.md as Markdown: by default every world with its own checkpoints; `--checkpoints` spreads others over the
same range. "At most" is the exact (Clopper-Pearson) one-sided 95% upper end of the rate of false alarms. The simulator is
tests/simulated_curves.py. `these networks` is the turn of the noiseless
mean curve of the members that were drawn; `population` is the turn of the mean curve over 2,000 members.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import beta

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from simulated_curves import DIPPED, PHASE, WITHOUT_PHASE, Drawn, World, population_truth, simulate
from twinsplit.onset.decision import Onset, Turn, find_onset

MEMBERS = (2, 3, 4, 6, 10)
PHASES = {"phase": PHASE, "dip, then a phase": DIPPED}
FIRST_SEED = 10_000  # the tests use seeds below this


@dataclass(frozen=True)
class Setting:
    """Sizes of one simulated experiment, and how many of them."""

    draws: int
    sequences: int
    repeats: int
    checkpoints: int | None = None

    def spread(self, world: World) -> World:
        """The world with another number of checkpoints over the same range, where one is asked for."""
        if self.checkpoints is None:
            return world
        return replace(world, steps=np.geomspace(world.steps[0], world.steps[-1], self.checkpoints))

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


def at_most(hits: int, repeats: int) -> str:
    """The exact one-sided 95% upper end of a rate."""
    return f"{100 * (1.0 if hits == repeats else beta.ppf(0.95, hits + 1, repeats - hits)):.1f}%"


def phase_row(setting: Setting, name: str, members: int) -> str:
    """Detection and coverage in a world with a biased phase."""
    world = setting.spread(PHASES[name])
    runs = setting.run(world, members)
    onset, minimum = population_truth(world)
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
    return f"| {name} | {len(world.steps)} | {members} | " + " | ".join(cells) + " |"


def verdict_row(setting: Setting, name: str, members: int) -> str:
    """Shares of the three verdicts in a world without a biased phase."""
    world = setting.spread(WITHOUT_PHASE[name])
    verdicts = [o.verdict for _, o in setting.run(world, members)]
    kinds = ("bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power")
    bias, none, unknown = (percent([v == kind for v in verdicts]) for kind in kinds)
    worst = at_most(verdicts.count("bias_precedes_test_minimum"), len(verdicts))
    return f"| {name} | {len(world.steps)} | {members} | {bias} | {worst} | {none} | {unknown} |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("draws", 400), ("sequences", 200), ("repeats", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--checkpoints", type=int)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    parser.add_argument("--worlds", nargs="+", default=[*PHASES, *WITHOUT_PHASE], choices=[*PHASES, *WITHOUT_PHASE], metavar="NAME")
    given = vars(parser.parse_args())
    members, worlds = given.pop("members"), given.pop("worlds")
    setting = Setting(**given)
    print(f"{setting.repeats} repeats, {setting.sequences} sequences, {setting.draws} draws, nominal 95% intervals\n")
    tables = {
        "| biased phase | checkpoints | members | verdict: bias | onset within one checkpoint | onset covered: these networks | population "
        "| median high/low | test minimum covered: these networks | population | median high/low |\n" + "|---" * 11 + "|": (
            phase_row,
            PHASES,
        ),
        "| no biased phase | checkpoints | members | bias | at most | no bias | not enough power |\n" + "|---" * 7 + "|": (
            verdict_row,
            WITHOUT_PHASE,
        ),
    }
    for head, (row, known) in tables.items():
        print(head)
        for name in [name for name in worlds if name in known]:
            for count in members:
                print(row(setting, name, count), flush=True)
        print()


if __name__ == "__main__":
    main()
