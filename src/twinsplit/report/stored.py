"""Stored measurements as lines with bands: the only way from a run folder to the page. x is the optimizer step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.statistics import mean_over, mean_over_pairs
from twinsplit.report.figure import Line
from twinsplit.runs.rows import Table, unordered

LEVEL = 0.95
FEWEST = 3  # with two networks Student's quantile is 12.7: the band would say nothing
Floats = NDArray[np.float64]


def member_line(table: Table, label: str, name: str = "", colour: str = "blue") -> Line:
    """Mean over members at each step, with Student's interval over splits: members of one split are not independent."""
    found = [mean_over(split_means(table.where(step=step)), "splits") for step in table.steps]
    points = [(m.value, m.interval(LEVEL) if m.count >= FEWEST else None) for m in found]
    single = len(np.unique(table.columns["split"])) == len(np.unique(table.columns["member"]))
    line = _line(label, table.steps, points, f"{LEVEL:.0%} interval over {'networks' if single else 'splits'}")
    return replace(line, name=name, colour=colour)


def split_means(table: Table) -> Floats:
    """(S,) the mean over the members of each split."""
    splits = table.columns["split"]
    return np.array([table.means[splits == split].mean() for split in np.unique(splits)])


def pair_line(table: Table, splits: Sequence[int], label: str, name: str = "", colour: str = "blue") -> Line:
    """Mean over unordered pairs at each step, with the leave-one-split-out interval."""
    points = []
    for step in table.steps:
        pairs, values = unordered(table.where(step=step))
        m = mean_over_pairs(values, pairs, splits)
        points.append((m.value, m.interval(LEVEL)))
    line = _line(label, table.steps, points, f"{LEVEL:.0%} interval, one split left out at a time")
    return replace(line, name=name, colour=colour)


def _line(label: str, steps: NDArray[np.int64], points: list[tuple[float, tuple[float, float] | None]], band: str) -> Line:
    nothing = (float("nan"), float("nan"))
    bounds = np.array([interval or nothing for _, interval in points], dtype=np.float64)
    mean = np.array([value for value, _ in points])
    shown = band if np.isfinite(bounds).any() else "no band: too few networks"
    return Line(label, steps.astype(float), mean, bounds[:, 0], bounds[:, 1], band=shown)
