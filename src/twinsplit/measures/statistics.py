"""Means with the replicate they are over, and resampling of members, pairs and sequences.

Three things are replicated in an experiment with twins: held-out sequences, networks (members), and
pairs of networks. Pairs are not independent: two pairs that share a member share its peculiarities.
Every uncertainty here names what it is over, and a mean over pairs takes its uncertainty from the
members, by leaving one member out at a time.

Arrays are NumPy float64. Nothing here reads files, draws plots or keeps state.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from twinsplit.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Replicate = Literal["sequences", "members", "pairs of members", "splits", "samples", "seeds"]
FEWEST_UNITS = 3  # two members make one pair: leaving one out leaves nothing to average


def student_quantile(level: float, degrees: float) -> float:
    """q with P(|t| <= q) = level for Student's t; infinite `degrees` give the normal quantile, 0
    degrees give inf."""
    if not 0.0 < level < 1.0:
        raise InputError(f"a confidence level of {level} is not between 0 and 1", "use a number such as 0.95")
    if degrees <= 0:
        return float("inf")
    return float(stdtrit(degrees, (1.0 + level) / 2.0) if np.isfinite(degrees) else ndtri((1.0 + level) / 2.0))


@dataclass(frozen=True)
class Mean:
    """A mean and its standard error, over `count` replicates of the kind `over`.

    standard_error is None where there are too few replicates to say. `degrees` is the freedom of
    Student's t for an interval.
    """

    value: float
    standard_error: float | None
    over: Replicate
    count: int
    degrees: int

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The symmetric Student interval, or None without a standard error."""
        if self.standard_error is None:
            return None
        half = student_quantile(level, self.degrees) * self.standard_error
        return self.value - half, self.value + half


def mean_over(values: ArrayLike, over: Replicate) -> Mean:
    """Mean of independent replicates (n,), with s / sqrt(n)."""
    v = finite(values, 1)
    error = float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else None
    return Mean(float(v.mean()), error, over, len(v), len(v) - 1)


def paired_difference(first: ArrayLike, second: ArrayLike, over: Replicate) -> Mean:
    """Mean of first - second (n,), replicate by replicate: what they share cancels from the
    standard error."""
    return mean_over(paired_values(first, second), over)


def paired_values(first: ArrayLike, second: ArrayLike) -> Array:
    """first - second (n,); InputError where they are of different lengths."""
    a, b = finite(first, 1), finite(second, 1)
    if a.shape != b.shape:
        raise InputError(f"paired values have lengths {len(a)} and {len(b)}", "give the same replicates, in the same order, to both")
    return a - b


def mean_over_pairs(values: ArrayLike, pairs: ArrayLike, splits: ArrayLike | None = None) -> Mean:
    """Mean over pairs (P,) of members, with a standard error over members.

    The mean over all pairs is a U-statistic; its variance comes from leaving out one member (one
    split, if several members share a split) together with all of its pairs: (K - 1)/K sum_k
    (mean_{-k} - mean_.)^2 (Arvesen 1969). Student's t has K - 1 degrees. None as the standard error
    when leaving one out leaves no pair: below three members.
    """
    v, p = finite(values, 1), as_pairs(pairs)
    units = pair_units(p, splits)
    over: Replicate = "members" if splits is None else "splits"
    if units is None:
        return Mean(float(v.mean()), None, over, len(np.unique(p)), 0)
    left_out = leave_one_out(v[:, None], p, units)[:, 0]
    count = len(left_out)
    return Mean(float(v.mean()), float(np.sqrt(jackknife_covariance(left_out[:, None])[0, 0])), over, count, count - 1)


@dataclass(frozen=True)
class DataShare:
    """How much of the twins' disagreement is due to their data and not to their seeds.

    between: mean divergence of two networks with different split and different seed; within: same
    split, different seed; excess = between - within, the part due to the data, in the unit of the
    divergence; fraction = excess / between. `interval` and `fraction_interval` are over splits;
    None below three splits.
    """

    between: float
    within: float
    excess: float
    fraction: float
    interval: tuple[float, float] | None
    fraction_interval: tuple[float, float] | None
    splits: int
    level: float


def data_share(
    between: ArrayLike,
    between_pairs: ArrayLike,
    within: ArrayLike,
    within_pairs: ArrayLike,
    splits: ArrayLike,
    level: float = 0.95,
) -> DataShare:
    """D(different split, different seed) - D(same split, different seed), leaving out one split at
    a time for its interval.

    between (P,) and within (Q,) are divergences averaged over sequences, of the pairs of members in
    between_pairs (P, 2) and within_pairs (Q, 2); splits (K,) is the split that each member was
    trained on. Both kinds of pair must differ in seed, so that the seed's contribution cancels.
    Raises InputError where a pair is of the wrong kind or the mean between splits is not positive.
    """
    b, w, s = finite(between, 1), finite(within, 1), np.asarray(splits)
    bp, wp = as_pairs(between_pairs), as_pairs(within_pairs)
    _check_kinds(s, b, bp, w, wp)
    both = np.concatenate([np.stack([b, np.zeros_like(b)], 1), np.stack([np.zeros_like(w), w], 1)])
    kinds = np.concatenate([np.repeat([[1.0, 0.0]], len(b), 0), np.repeat([[0.0, 1.0]], len(w), 0)])
    member_pairs = np.concatenate([bp, wp])
    kept = _kept_without_each(member_pairs, np.unique(s, return_inverse=True)[1]).astype(float)
    left_out = (kept @ both) / np.where(kept @ kinds > 0, kept @ kinds, np.nan)
    return _share(float(b.mean()), float(w.mean()), left_out, level)


def _share(between: float, within: float, left_out: Array, level: float) -> DataShare:
    statistics = np.stack([left_out[:, 0] - left_out[:, 1], 1.0 - left_out[:, 1] / left_out[:, 0]], 1)
    excess, fraction = between - within, 1.0 - within / between
    count = len(left_out)
    if count < FEWEST_UNITS or not np.isfinite(statistics).all():
        return DataShare(between, within, excess, fraction, None, None, count, level)
    half = student_quantile(level, count - 1) * np.sqrt(np.diag(jackknife_covariance(statistics)))
    ends = [(float(v - h), float(v + h)) for v, h in zip((excess, fraction), half, strict=True)]
    return DataShare(between, within, excess, fraction, ends[0], ends[1], count, level)


def _check_kinds(splits: NDArray[np.generic], b: Array, bp: Index, w: Array, wp: Index) -> None:
    if len(b) != len(bp) or len(w) != len(wp):
        raise InputError("divergences and pairs differ in number", "give one divergence per pair")
    if max(bp.max(), wp.max()) >= len(splits):
        raise InputError(f"a pair names member {max(bp.max(), wp.max())} of {len(splits)}", "give the split of every member")
    if (splits[bp[:, 0]] == splits[bp[:, 1]]).any() or (splits[wp[:, 0]] != splits[wp[:, 1]]).any():
        raise InputError("a pair is on the wrong side", "between: members of different splits; within: two seeds of the same split")
    if b.mean() <= 0:
        raise InputError("networks on different splits do not differ at all", "check that they were trained on different data")


def as_pairs(pairs: ArrayLike) -> Index:
    """(P, 2) distinct unordered pairs of distinct members, each sorted; InputError otherwise."""
    p = np.asarray(pairs)
    if p.ndim != 2 or p.shape[1] != 2 or len(p) == 0 or not np.issubdtype(p.dtype, np.integer) or p.min() < 0:
        raise InputError(f"pairs have shape {p.shape} and type {p.dtype}", "give a (P, 2) table of member numbers from 0")
    p = np.sort(p, axis=1).astype(np.intp)
    if (p[:, 0] == p[:, 1]).any() or len(np.unique(p, axis=0)) < len(p):
        raise InputError("a pair is of a member with itself, or is listed twice", "list every unordered pair once")
    return p


def pair_units(pairs: Index, splits: ArrayLike | None = None) -> Index | None:
    """The independent unit (0..U-1) of each member: its split, or itself. None if there are too few
    to leave one out.

    Too few means under three, or one unit that is in every pair.
    """
    labels = np.arange(pairs.max() + 1) if splits is None else np.asarray(splits)
    present = np.unique(pairs)
    units: Index = np.zeros(len(labels), dtype=np.intp)
    units[present] = np.unique(labels[present], return_inverse=True)[1]
    if units.max() + 1 < FEWEST_UNITS or not _kept_without_each(pairs, units).any(1).all():
        return None
    return units


def _kept_without_each(pairs: Index, units: Index) -> NDArray[np.bool_]:
    """(U, P): which pairs remain when unit u is left out."""
    return np.asarray((units[pairs][None] != np.arange(units.max() + 1)[:, None, None]).all(-1))


def leave_one_out(values: Array, pairs: Index, units: Index) -> Array:
    """Means (U, ...) of values (P, ...) over the pairs that remain when each unit is left out."""
    kept = _kept_without_each(pairs, units).astype(float)
    return np.tensordot(kept / kept.sum(1, keepdims=True), values, 1)


def leave_one_out_members(values: Array, units: Index) -> Array:
    """Means (U, ...) of values (K, ...) over the members that remain when each unit is left out."""
    kept = (units[None] != np.arange(units.max() + 1)[:, None]).astype(float)
    return np.tensordot(kept / kept.sum(1, keepdims=True), values, 1)


def jackknife_covariance(left_out: Array) -> Array:
    """Covariance (d, d) of a statistic from its U leave-one-out values (U, d): (U - 1)/U sum of
    squared deviations.

    For a plain mean this is the unbiased s^2 / U, so no sqrt(U / (U - 1)) expansion is wanting
    (Hesterberg 2015, section 4).
    """
    centred = left_out - left_out.mean(0)
    return np.asarray(centred.T @ centred * ((len(left_out) - 1) / len(left_out)))


def symmetric_root(covariance: Array) -> Array:
    """The symmetric R (d, d) with R R = covariance: unlike a factor of the data, it does not depend
    on the order of replicates."""
    value, vector = np.linalg.eigh(covariance)
    value = np.where(value > 1e-12 * max(value[-1], 0.0), value, 0.0)
    return np.asarray((vector * np.sqrt(value)) @ vector.T)


def interval(draws: Array, level: float) -> tuple[float, float]:
    """The central interval of draws, by order statistics, so that infinite draws (an open side)
    stay infinite and never mix."""
    low = np.quantile(draws, (1 - level) / 2, method="inverted_cdf")
    high = np.quantile(draws, (1 + level) / 2, method="inverted_cdf")
    return float(low), float(high)


def finite(values: ArrayLike, ndim: int) -> Array:
    """As float64, with `ndim` axes; InputError where empty or not finite."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != ndim or v.size == 0 or not np.isfinite(v).all():
        raise InputError(f"values of shape {v.shape} are empty, not finite, or not {ndim}-dimensional", "give finite numbers")
    return v
