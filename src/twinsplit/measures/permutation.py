"""Do two groups of replicates differ, in mean or in spread? Permutation of their labels: exact
while all arrangements can be counted."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product
from math import comb, sqrt
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from twinsplit.errors import InputError
from twinsplit.measures.statistics import Array, finite, paired_values
from twinsplit.noise.reference import Noise

LIMIT, DRAWS = 200_000, 9_999  # arrangements counted one by one, up to 10 against 10; drawn ones where there are more
TIES = 1e-9  # of the largest statistic: equal ones may differ in rounding
Statistic = Callable[[Array, Array], Array]


@final
@dataclass(frozen=True)
class LabelTest:
    """value: of the statistic, with the labels as they are. p_value: the share of arrangements in
    which its size is at least that large.

    smallest: the least p-value that these numbers could have given, however they were labelled:
    where it is above a level, a test at that level cannot reject (3 against 3 different numbers: 2
    of 20 arrangements, 0.1). arrangements: how many were looked at.
    """

    value: float
    p_value: float
    smallest: float
    arrangements: int


def mean_difference_test(first: ArrayLike, second: ArrayLike) -> LabelTest:
    """Two-sided test of mean(first) - mean(second) for replicates (n,) and (m,): exact where labels
    are exchangeable.

    Where replicate i of both groups shares something, such as a seed, that raises both alike, it is
    conservative; `swap_test` is not.
    """
    return label_test(finite(first, 1), finite(second, 1), _mean_difference)


def swap_test(first: ArrayLike, second: ArrayLike) -> LabelTest:
    """Two-sided test of the mean of first - second (n,), (n,) when only the labels within a pair
    are swapped: exact for pairs.

    6 pairs are the fewest with which it can reject at the level 0.05 (2 of 64 arrangements).
    """
    gaps = paired_values(first, second)
    signs, drawn = _signs(len(gaps))
    return _judged(float(gaps.mean()), np.abs(signs @ gaps) / len(gaps), drawn)


def _signs(count: int) -> tuple[Array, int]:
    """(A, count) of -1 and 1; 0 if these are all, 1 if drawn."""
    if 2**count > LIMIT:
        uniform = Noise(0, "swap test").uniform(0, torch.arange(DRAWS), (count,)).numpy()
        return np.where(uniform < 0.5, -1.0, 1.0), 1
    return np.array(list(product((-1.0, 1.0), repeat=count))), 0


def shuffled_orders(count: int, draws: int, noise: Noise) -> NDArray[np.int64]:
    """(draws, count) orders of 0..count-1 in which nothing keeps its place, count 2 or more: each a
    random cycle through all.

    A permutation drawn from all of them leaves one entry in place on average, and that pair would
    be no different one. In a cycle every entry meets every other equally often.
    """
    if count < 2:
        raise InputError(f"{count} entries have no other to be paired with", "give two or more")
    cycles = np.stack([noise.permutation(draw, count).numpy() for draw in range(draws)])
    orders = np.empty_like(cycles)
    np.put_along_axis(orders, cycles, np.roll(cycles, -1, axis=1), axis=1)
    return orders


def spread_test(first: ArrayLike, second: ArrayLike) -> LabelTest:
    """Two-sided test of the standard deviations, by (s_1 - s_2)/(s_1 + s_2), which orders
    arrangements as |log(s_1/s_2)| does.

    Each group is centred by its own mean first, so that a difference of means is not taken for one
    of spread. That makes the test approximate: of 6,000 pairs of groups of 6 normal replicates with
    equal spread it rejects 4.2% at the level 0.05, whatever the means. Of 1,000 pairs where one
    group spreads three times as far it rejects 41%.
    """
    a, b = finite(first, 1), finite(second, 1)
    if min(len(a), len(b)) < 2:
        raise InputError(f"{len(a)} against {len(b)} replicates have no spread", "give two or more of each")
    return label_test(a - a.mean(), b - b.mean(), _spread_contrast)


def label_test(first: Array, second: Array, statistic: Statistic) -> LabelTest:
    """The test of any statistic of (A, n) and (A, m) -> (A,) that is 0 where the groups are alike."""
    pooled = np.concatenate([first, second])
    order, drawn = _arrangements(len(first), len(pooled))
    sizes = np.abs(statistic(pooled[order[:, : len(first)]], pooled[order[:, len(first) :]]))
    return _judged(float(statistic(first[None], second[None])[0]), sizes, drawn)


def _judged(value: float, sizes: Array, drawn: int) -> LabelTest:
    """From the sizes (A,) of the statistic in the arrangements; drawn: 1 where the labels as they
    are still have to be counted as one."""
    most = max(float(sizes.max()), abs(value))
    total = len(sizes) + drawn
    reached = int((sizes >= abs(value) - TIES * most).sum()) + drawn
    smallest = 1 if drawn else int((sizes >= most - TIES * most).sum())
    return LabelTest(value, reached / total, smallest / total, total)


def _arrangements(n: int, total: int) -> tuple[NDArray[np.intp], int]:
    """(A, total) orders of the replicates, the first n of which are then the first group; 0 if
    these are all, 1 if drawn."""
    if comb(total, n) > LIMIT:
        noise = Noise(0, "label test")
        return np.stack([noise.permutation(draw, total).numpy() for draw in range(DRAWS)]), 1
    chosen = np.array(list(combinations(range(total), n)), dtype=np.intp)
    taken = np.zeros((len(chosen), total), dtype=bool)
    np.put_along_axis(taken, chosen, values=True, axis=1)
    return np.argsort(~taken, axis=1, kind="stable"), 0


def _mean_difference(first: Array, second: Array) -> Array:
    return np.asarray(first.mean(1) - second.mean(1))


def _spread_contrast(first: Array, second: Array) -> Array:
    a, b = first.std(1, ddof=1), second.std(1, ddof=1)
    contrast: Array = np.divide(a - b, a + b, out=np.zeros_like(a), where=a + b > 0)
    return contrast


def spread_ratio_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of s_1/s_2 by the F law of independent normal replicates; None where s_2 is 0."""
    from scipy.special import fdtri

    a, b = finite(first, 1), finite(second, 1)
    if len(a) < 2 or len(b) < 2 or b.std() == 0:
        return None
    ratio = float(a.var(ddof=1) / b.var(ddof=1))
    low, high = (float(fdtri(len(a) - 1, len(b) - 1, p)) for p in ((1 + level) / 2, (1 - level) / 2))
    return sqrt(ratio / low), sqrt(ratio / high)
