"""What twins on controlled splits come to, one number per seed, and how that differs from random splits: effects, intervals, tests."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.permutation import mean_difference_test, spread_ratio_interval, spread_test, swap_test
from twinsplit.measures.statistics import paired_difference
from twinsplit.papers.gahb.panels import alike
from twinsplit.papers.gahb.stages import PSNR
from twinsplit.papers.lines import Floats, interval_of
from twinsplit.papers.rp.controlled_data import RANDOM, Case
from twinsplit.papers.rp.nearest_panels import unfinished
from twinsplit.report.pictures import Samples
from twinsplit.report.stored import FEWEST, LEVEL
from twinsplit.runs.store import Run

Runs = Mapping[str, Sequence[Run[Any]]]
Verdict = Literal["differs", "no difference shown", "not enough power"]
LIKENESS, QUALITY = "correlation of what twins draw", "output PSNR (dB)"


@final
@dataclass(frozen=True, eq=False)
class Values:
    """Of one case. seeds: (S,); levels: (L,) deviations of the noise. By kind of split:

    likeness (S,), mean correlation of what two twins draw from the same noise; shuffled (S,), the same of different samples; psnr (S, L),
    output PSNR at each noise level, a mean over both twins and over the `common` images that are held out in every run; unfinished, a
    number per seed of samples (of `samples`) whose ascent did not end, None where that is not recorded.
    """

    case: Case
    seeds: tuple[int, ...]
    likeness: Mapping[str, Floats]
    shuffled: Mapping[str, Floats]
    psnr: Mapping[str, Floats]
    levels: Floats
    common: int
    samples: int
    unfinished: Mapping[str, Sequence[int | None]]

    def quantity(self, name: str) -> Mapping[str, Floats]:
        """Kind of split -> (S,) what is tested: the likeness, or the PSNR averaged over noise levels."""
        return self.likeness if name == LIKENESS else {kind: found.mean(1) for kind, found in self.psnr.items()}

    def rows(self) -> list[dict[str, Any]]:
        """A row per kind and seed."""
        quality = self.quantity(QUALITY)
        return [
            {"case": self.case.title, "images": self.case.size, "split": kind, "seed": seed, "correlation": float(self.likeness[kind][i])}
            | {"shuffled_pairs": float(self.shuffled[kind][i]), "output_psnr": float(quality[kind][i])}
            | {"samples": self.samples, "unfinished": self.unfinished[kind][i]}
            for kind in self.likeness
            for i, seed in enumerate(self.seeds)
        ]


def values_of(case: Case, runs: Runs) -> Values:
    """Read from the runs of a case: kind of split -> a run per seed."""
    every = [run for one in runs.values() for run in one]
    common = reduce(np.intersect1d, [_held_out(run) for run in every])
    found = {kind: np.array([[band[0] for band in alike(run, run.steps()[-1])] for run in one]) for kind, one in runs.items()}
    levels, _ = _psnr(every[0], common)
    psnr = {kind: np.array([_psnr(run, common)[1] for run in one]) for kind, one in runs.items()}
    seeds = tuple(run.recipe.seed for run in runs[RANDOM])
    likeness, shuffled = ({kind: pairs[:, i] for kind, pairs in found.items()} for i in (0, 1))
    counts = {kind: [_drawn(run)[1] for run in one] for kind, one in runs.items()}
    return Values(case, seeds, likeness, shuffled, psnr, levels, len(common), _drawn(every[0])[0], counts)


def _drawn(run: Run[Any]) -> tuple[int, int | None]:
    """Samples of a run, and how many of them did not end."""
    found = Samples.read(run, run.steps()[-1])
    return found.images.shape[0] * found.images.shape[1], found.unfinished


def _held_out(run: Run[Any]) -> NDArray[np.int64]:
    return np.array(run.read_json("data.json", rows=dict)["rows"]["held_out"], dtype=np.int64)


def _psnr(run: Run[Any], common: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Noise levels, ascending, and the output PSNR at each: mean over both twins and the common held-out images."""
    wanted = np.isin(_held_out(run), common)
    by_level: dict[float, list[float]] = {}
    for row in run.table(PSNR).to_pylist():
        if (row["data"], row["of"]) == ("test", "output"):
            by_level.setdefault(row["sigma"], []).append(float(np.mean(np.array(row["values"])[wanted])))
    levels = sorted(by_level)
    return np.array(levels), np.array([np.mean(by_level[level]) for level in levels])


@final
@dataclass(frozen=True)
class Comparison:
    """A controlled split against random ones. what: mean or spread over seeds; effect: difference of means (controlled - random), with
    Student's interval over seeds, which both kinds share; or ratio of standard deviations, with the F interval of normal replicates.
    p_value: exact permutation of all labels; smallest_p: what it cannot fall below; paired_p: of a mean, when labels are swapped within
    seeds only, which is exact for what seeds share.
    """

    case: str
    images: int
    quantity: str
    what: Literal["mean", "spread"]
    random: float
    controlled: float
    effect: float | None
    low: float | None
    high: float | None
    p_value: float
    smallest_p: float
    paired_p: float | None
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """At the level 1 - LEVEL; where no arrangement of these numbers could have rejected, that is said instead."""
        if self.smallest_p > 1 - LEVEL + 1e-12:
            return "not enough power"
        return "differs" if self.p_value <= 1 - LEVEL + 1e-12 else "no difference shown"

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        return asdict(self) | {"verdict": self.verdict}

    def caption(self) -> str:
        """In words."""
        low, high = ("?" if end is None else f"{end:+.3f}" if self.what == "mean" else f"{end:.2f}" for end in (self.low, self.high))
        if self.what == "mean":
            effect = f"mean {self.controlled:.3f} against {self.random:.3f}, {self.effect:+.3f} [{low}, {high}]"
        else:
            effect = "spread " + ("without a ratio" if self.effect is None else f"x {self.effect:.2f} [{low}, {high}]")
        paired = "" if self.paired_p is None else f" (within seeds {self.paired_p:.2g})"
        return f"{effect}, p = {self.p_value:.2g}{paired}: {self.verdict}"


def comparisons(values: Values) -> list[Comparison]:
    """Mean and spread of both quantities."""
    found = []
    for name in (LIKENESS, QUALITY):
        quantity = values.quantity(name)
        controlled, random = quantity[values.case.title], quantity[RANDOM]
        found += [_means(values, name, controlled, random), _spreads(values, name, controlled, random)]
    return found


def _means(values: Values, name: str, controlled: Floats, random: Floats) -> Comparison:
    gap, test = paired_difference(controlled, random, "splits"), mean_difference_test(controlled, random)
    low, high = interval_of(gap) or (None, None)
    case, count = values.case, len(values.seeds)
    means, paired = (float(random.mean()), float(controlled.mean())), swap_test(controlled, random).p_value
    return Comparison(case.title, case.size, name, "mean", *means, gap.value, low, high, test.p_value, test.smallest, paired, count)


def _spreads(values: Values, name: str, controlled: Floats, random: Floats) -> Comparison:
    test, case, count = spread_test(controlled, random), values.case, len(values.seeds)
    low, high = (spread_ratio_interval(controlled, random, LEVEL) if count >= FEWEST else None) or (None, None)
    spreads = float(random.std(ddof=1)), float(controlled.std(ddof=1))
    ratio = spreads[1] / spreads[0] if spreads[0] > 0 else None
    return Comparison(case.title, case.size, name, "spread", *spreads, ratio, low, high, test.p_value, test.smallest, None, count)


def caption(values: Values) -> str:
    """All tests of a case in one sentence each; where they could not reject, why."""
    found = comparisons(values)
    parts = [f"{name[0].upper()}{name[1:]}: {'; '.join(c.caption() for c in found if c.quantity == name)}." for name in (LIKENESS, QUALITY)]
    parts.append(f"Samples whose ascent did not end, kept as they were: {_given_up(values)}.")
    weakest = max(c.smallest_p for c in found)
    if weakest > 1 - LEVEL + 1e-12:
        n = len(values.seeds)
        parts.append(f"With {n} against {n} seeds no p-value can be below {weakest:.2g}: take more.")
    return f"{values.case.title} against random, N = {values.case.size:,}. " + " ".join(parts)


def _given_up(values: Values) -> str:
    total = values.samples * len(values.seeds)
    counts = {kind: unfinished(found) for kind, found in values.unfinished.items()}
    return ", ".join(f"{kind} {'not recorded' if count is None else f'{count} of {total}'}" for kind, count in counts.items())
