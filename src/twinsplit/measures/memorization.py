"""How many samples are copies of a training image ([WDM]; PROTOCOL.md section 3): the gap ratio and
the fraction below a third of it.

A copy lies close to one training image and far from all others, so the ratio of the two distances
is small; a new image is about as far from its second nearest as from its nearest, wherever in the
space it lies.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betaincinv
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.similarity import Features, Images, blockwise_nearest
from twinsplit.measures.statistics import finite, interval
from twinsplit.noise.reference import Noise

THRESHOLD = 1 / 3


def gap_ratio(queries: Images, points: Images, features: Features | None = None) -> Tensor:
    """(m,) float64 in [0, 1]: the distance to the nearest of `points` over the distance to the
    second nearest.

    queries: (m, ...), points: (N, ...), N at least 2; distances are Euclidean, of pixels or of
    `features`. A training set may hold an image twice. A sample equal to it has both distances 0,
    where the published ratio is undefined; it is a copy, and its ratio here is 0. A sample near to
    both, but not equal, has a ratio of 1 and passes for new: duplicates must be removed before this
    measure can see copies of them.
    """
    return gap_ratio_of(blockwise_nearest(queries, points, 2, features=features)[0])


def gap_ratio_of(distance: Tensor) -> Tensor:
    """As `gap_ratio`, from distances (m, 2) to the nearest and the second nearest."""
    nearest, second = distance.T
    return torch.where(second > 0, nearest / second, torch.zeros_like(second))


@final
@dataclass(frozen=True)
class MemorizedFraction:
    """The fraction `value` = count / samples of samples whose gap ratio is below `threshold`, with
    two intervals of level `level`.

    bootstrap: of the mean over samples when they are drawn anew from these, by percentiles; it is
    [0, 0] where no sample is memorized, although many more samples might hold one. exact: Clopper
    and Pearson's for a binomial (Biometrika 26, 1934), which covers at least as often as it says,
    and is [0, about 3.7 / samples] there. Both are over the samples of one model, not over models.
    """

    value: float
    bootstrap: tuple[float, float]
    exact: tuple[float, float]
    count: int
    samples: int
    threshold: float
    level: float


def memorized_fraction(
    ratios: ArrayLike, threshold: float = THRESHOLD, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> MemorizedFraction:
    """The fraction of `ratios` (m,), as `gap_ratio` gives them, strictly below `threshold`.

    Raises InputError for no samples, or a ratio that is missing or outside [0, 1]: a sample that
    could not be judged is not a new one.
    """
    values = _ratios(ratios)
    _check(threshold, level, draws)
    count, samples = int((values < threshold).sum()), len(values)
    resampled = _resampled_fractions(count, samples, draws, seed)
    return MemorizedFraction(
        count / samples, interval(resampled, level), clopper_pearson(count, samples, level), count, samples, threshold, level
    )


def _ratios(ratios: ArrayLike) -> NDArray[np.float64]:
    values = ratios.detach().cpu().numpy() if isinstance(ratios, Tensor) else np.asarray(ratios, float)
    if values.ndim == 1 and np.isnan(values).any():
        raise InputError(f"{int(np.isnan(values).sum())} of {len(values)} gap ratios are missing", "draw or measure these samples again")
    values = finite(values, 1)
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"gap ratios from {values.min():g} to {values.max():g}", "give nearest over second nearest, which is in [0, 1]")
    return values


def _check(threshold: float, level: float, draws: int) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"threshold = {threshold}", "choose a ratio in (0, 1], such as the published 1/3")
    if not 0 < level < 1:
        raise InputError(f"level = {level}", "choose a number such as 0.95")
    if draws < 1:
        raise InputError(f"draws = {draws}", "choose one or more")


def _resampled_fractions(count: int, samples: int, draws: int, seed: int) -> NDArray[np.float64]:
    """(draws,): m samples drawn with replacement hold Binomial(m, count / m) memorized ones, so one
    uniform number makes one draw."""
    uniform = Noise(seed, "memorized_fraction").uniform(0, torch.arange(draws)).numpy()
    below = bdtr(np.arange(float(samples)), samples, count / samples)
    return np.searchsorted(below, uniform) / samples


def clopper_pearson(count: float, samples: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a probability of which `count` of `samples` independent trials were
    successes; neither need be whole."""
    tail = (1 - level) / 2
    low = float(betaincinv(count, samples - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, samples - count, 1 - tail)) if count < samples else 1.0
    return low, high
