"""Intervals that stay where the quantity can be: of a fraction in [0, 1] and of a mean in [-1, 1],
over a few networks.

Student's interval over three or four networks is wider than the range itself, and ends outside it.
"""

import numpy as np
from numpy.typing import ArrayLike

from twinsplit.errors import InputError
from twinsplit.measures.memorization import clopper_pearson
from twinsplit.measures.statistics import Mean, finite, student_quantile


def fraction_interval(changed: ArrayLike, samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Interval of the fraction sum(changed) / sum(samples), in [0, 1], for networks (K,) of which
    each has samples of its own; K of 2 or more.

    Clopper and Pearson's for as many samples as the networks are worth (Korn and Graubard, Survey
    Methodology 24, 1998): n p (1 - p) over the variance of p between networks, at most n, times the
    squared ratio of Student's quantiles for n - 1 and K - 1 degrees.
    """
    x, n = finite(changed, 1), finite(samples, 1)
    if x.shape != n.shape or len(n) < 2 or (n <= 0).any() or (x < 0).any() or (x > n).any():
        raise InputError(f"{len(x)} counts of {len(n)} networks", "give 0 to n of n samples, for two networks or more")
    total, count = float(n.sum()), len(n)
    p = float(x.sum()) / total
    variance = float(np.square(x - p * n).sum()) * count / (count - 1) / total**2  # of the ratio, networks drawn anew
    worth = min(total, p * (1 - p) / variance) if variance > 0 else total
    worth *= (student_quantile(level, total - 1) / student_quantile(level, count - 1)) ** 2
    return clopper_pearson(p * worth, worth, level)


def mean_interval(mean: Mean, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of a mean in [-1, 1]: Student's for its arcsine (delta method), turned back; None
    without a standard error.

    sin of asin(m) plus or minus q s / sqrt(1 - m^2), which is finite at both ends and never leaves
    [-1, 1].
    """
    if not -1 <= mean.value <= 1:
        raise InputError(f"a mean of {mean.value:g}", "give a quantity in [-1, 1]")
    if mean.standard_error is None:
        return None
    slope = np.sqrt(max(1 - mean.value**2, np.finfo(float).tiny))
    half = student_quantile(level, mean.degrees) * mean.standard_error / slope
    ends = np.clip(np.arcsin(mean.value) + half * np.array([-1.0, 1.0]), -np.pi / 2, np.pi / 2)
    return float(np.sin(ends[0])), float(np.sin(ends[1]))
