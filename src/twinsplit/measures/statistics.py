"""Means with the replicate they are over, resampling of members and sequences, and curves smoothed in log step.

Three things are replicated in an experiment with twins: held-out sequences, networks (members), and pairs of networks. Pairs are not
independent: two pairs that share a member share its peculiarities. Every uncertainty here names what it is over, and a mean over pairs
takes its uncertainty from the members, by leaving one member out at a time.

Arrays are NumPy float64. Nothing here reads files, draws plots or keeps state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from twinsplit.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Replicate = Literal["sequences", "members", "pairs of members", "splits"]
ORDER = 4  # of the penalised differences
SEGMENTS = 40  # more than a curve can use: the penalty decides
DIFFERENCES = np.diff(np.eye(SEGMENTS + 3), ORDER, axis=0)
FEWEST_UNITS = 3  # two members make one pair: leaving one out leaves nothing to average


def student_quantile(level: float, degrees: float) -> float:
    """q with P(|t| <= q) = level for Student's t; infinite `degrees` give the normal quantile, 0 degrees give inf."""
    if not 0.0 < level < 1.0:
        raise InputError(f"a confidence level of {level} is not between 0 and 1", "use a number such as 0.95")
    if degrees <= 0:
        return float("inf")
    return float(stdtrit(degrees, (1.0 + level) / 2.0) if np.isfinite(degrees) else ndtri((1.0 + level) / 2.0))


@dataclass(frozen=True)
class Mean:
    """A mean and its standard error, over `count` replicates of the kind `over`.

    standard_error is None where there are too few replicates to say. `degrees` is the freedom of Student's t for an interval.
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
    v = _finite(values, 1)
    error = float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else None
    return Mean(float(v.mean()), error, over, len(v), len(v) - 1)


def paired_difference(first: ArrayLike, second: ArrayLike, over: Replicate) -> Mean:
    """Mean of first - second (n,), replicate by replicate: what they share cancels from the standard error."""
    a, b = _finite(first, 1), _finite(second, 1)
    if a.shape != b.shape:
        raise InputError(f"paired values have lengths {len(a)} and {len(b)}", "give the same replicates, in the same order, to both")
    return mean_over(a - b, over)


def mean_over_pairs(values: ArrayLike, pairs: ArrayLike, splits: ArrayLike | None = None) -> Mean:
    """Mean over pairs (P,) of members, with a standard error over members.

    The mean over all pairs is a U-statistic; its variance comes from leaving out one member (one split, if several members share a
    split) together with all of its pairs: (K - 1)/K sum_k (mean_{-k} - mean_.)^2 (Arvesen 1969). Student's t has K - 1 degrees.
    None as the standard error when leaving one out leaves no pair: below three members.
    """
    v, p = _finite(values, 1), as_pairs(pairs)
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

    between: mean divergence of two networks with different split and different seed; within: same split, different seed; excess =
    between - within, the part due to the data, in the unit of the divergence; fraction = excess / between. `interval` and
    `fraction_interval` are over splits; None below three splits.
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
    """D(different split, different seed) - D(same split, different seed), leaving out one split at a time for its interval.

    between (P,) and within (Q,) are divergences averaged over sequences, of the pairs of members in between_pairs (P, 2) and
    within_pairs (Q, 2); splits (K,) is the split that each member was trained on. Both kinds of pair must differ in seed, so that the
    seed's contribution cancels. Raises InputError where a pair is of the wrong kind or the mean between splits is not positive.
    """
    b, w, s = _finite(between, 1), _finite(within, 1), np.asarray(splits)
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
    """The independent unit (0..U-1) of each member: its split, or itself. None if there are too few to leave one out.

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
    return (units[pairs][None] != np.arange(units.max() + 1)[:, None, None]).all(-1)


def leave_one_out(values: Array, pairs: Index, units: Index) -> Array:
    """Means (U, ...) of values (P, ...) over the pairs that remain when each unit is left out."""
    kept = _kept_without_each(pairs, units).astype(float)
    return np.tensordot(kept / kept.sum(1, keepdims=True), values, 1)


def leave_one_out_members(values: Array, units: Index) -> Array:
    """Means (U, ...) of values (K, ...) over the members that remain when each unit is left out."""
    kept = (units[None] != np.arange(units.max() + 1)[:, None]).astype(float)
    return np.tensordot(kept / kept.sum(1, keepdims=True), values, 1)


def jackknife_covariance(left_out: Array) -> Array:
    """Covariance (d, d) of a statistic from its U leave-one-out values (U, d): (U - 1)/U sum of squared deviations.

    For a plain mean this is the unbiased s^2 / U, so no sqrt(U / (U - 1)) expansion is wanting (Hesterberg 2015, section 4).
    """
    centred = left_out - left_out.mean(0)
    return centred.T @ centred * ((len(left_out) - 1) / len(left_out))


def bootstrap_weights(count: int, draws: int, rng: np.random.Generator) -> Array:
    """Resampling with replacement as weights (draws, count) that sum to 1 in each draw."""
    return rng.multinomial(count, np.full(count, 1.0 / count), size=draws) / count


def pair_weights(weights: Array, pairs: Index) -> Array:
    """Weights w_i w_j (draws, P) of pairs when members are resampled with weights (draws, K); rows sum to 1, or are 0 with no pair left."""
    product = weights[:, pairs[:, 0]] * weights[:, pairs[:, 1]]
    total = product.sum(1, keepdims=True)
    return np.divide(product, total, out=np.zeros_like(product), where=total > 0)


def symmetric_root(covariance: Array) -> Array:
    """The symmetric R (d, d) with R R = covariance: unlike a factor of the data, it does not depend on the order of replicates."""
    value, vector = np.linalg.eigh(covariance)
    value = np.where(value > 1e-12 * max(value[-1], 0.0), value, 0.0)
    return (vector * np.sqrt(value)) @ vector.T


@dataclass(frozen=True, eq=False)
class Smoother:
    """A penalised cubic B-spline as a matrix: `matrix` (G, n) takes n values at `knots` (n,) to G values on `grid` (G,).

    at_knots (n, n): the same at the knots themselves. rough (G, r): times r independent normals of the residual standard deviation, what
    smoothing may have removed from the true curve. freedom: the trace of at_knots, the effective number of parameters.
    """

    knots: Array
    grid: Array
    matrix: Array
    at_knots: Array
    rough: Array
    penalty: float

    @property
    def freedom(self) -> float:
        """The effective number of parameters."""
        return float(np.trace(self.at_knots))

    def residual_variance(self, y: Array) -> float:
        """Variance of one checkpoint about the smooth curve of y (n,): squared residuals over n - freedom (Wahba 1983)."""
        residual = y - self.at_knots @ y
        return float(residual @ residual / max(len(y) - self.freedom, 1.0))


def spline_basis(x: Array, low: float, high: float, segments: int) -> Array:
    """Values (n, segments + 3) of the uniform cubic B-splines on [low, high] at x (n,), low <= x <= high."""
    u = (x - low) / (high - low) * segments
    k = np.clip(np.floor(u).astype(int), 0, segments - 1)
    t = u - k
    basis = np.zeros((len(x), segments + 3))
    pieces = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    for offset, piece in enumerate(pieces):
        basis[np.arange(len(x)), k + offset] = piece
    return basis


def smoother(x: ArrayLike, grid: ArrayLike, penalty: float) -> Smoother:
    """The P-spline (Eilers and Marx 1996) at x (n,), n >= 4, with a penalty on third differences, on a grid (G,) inside x.

    Third differences leave parabolas unpenalised, so heavy smoothing flattens the noise and not the valley: the place of a minimum is
    much steadier than with the usual second differences (docs/lab-notes.md). The matrix does not depend on the values, so a resampled
    curve is smoothed by one product. `rough` is the other half of Wahba's (1983) posterior covariance, which also covers the bias.
    """
    x, grid = _finite(x, 1), _finite(grid, 1)
    B, over_grid = (spline_basis(v, x[0], x[-1], SEGMENTS) for v in (x, grid))
    inverse = np.linalg.inv(B.T @ B + penalty * DIFFERENCES.T @ DIFFERENCES)
    rough = np.sqrt(penalty) * over_grid @ inverse @ DIFFERENCES.T
    return Smoother(x, grid, over_grid @ inverse @ B.T, B @ inverse @ B.T, rough, penalty)


@dataclass(frozen=True, eq=False)
class Penalties:
    """Candidate penalties (m,) and their probabilities (m,) given one curve: the restricted likelihood, every factor of ten alike before it."""

    values: Array
    probability: Array

    @property
    def best(self) -> float:
        """The most probable."""
        return float(self.values[np.argmax(self.probability)])

    def quantiles(self, count: int) -> Array:
        """`count` penalties of equal probability (count,)."""
        middle = (np.arange(count) + 0.5) / count
        return self.values[np.searchsorted(np.cumsum(self.probability), middle).clip(max=len(self.values) - 1)]


def penalties(x: ArrayLike, y: ArrayLike) -> Penalties:
    """How smooth a curve y (n,) at x (n,) is: restricted maximum likelihood of the spline as a mixed model.

    REML undersmooths less often than cross-validation on a few tens of points (Reiss and Ogden 2009). In coordinates off the parabolas
    the values have independent variances s^2 (1 + value / penalty); s is profiled out.
    """
    x, y = _finite(x, 1), _finite(y, 1)
    value, vector = _rough_part(spline_basis(x, x[0], x[-1], SEGMENTS))
    z = vector.T @ y
    candidates = value.max() * np.geomspace(1e-6, 1e6, 241)
    variance = 1.0 + value / candidates[:, None]
    deviance = len(z) * np.log((z**2 / variance).sum(1) + np.finfo(float).tiny) + np.log(variance).sum(1)
    likelihood = np.exp((deviance.min() - deviance) / 2)
    return Penalties(candidates, likelihood / likelihood.sum())


def _rough_part(B: Array) -> tuple[Array, Array]:
    """The penalised part as a random effect at the knots: eigenvalues (n - 3,) and eigenvectors (n, n - 3) of its covariance.

    Coefficients D'(D D')^-1 u with u white have the third differences u; the vectors are orthogonal to the parabolas.
    """
    n = len(B)
    rough = B @ np.linalg.pinv(DIFFERENCES)
    parabolas = B @ np.vander(np.linspace(-1.0, 1.0, B.shape[1]), ORDER)
    rest = np.linalg.qr(np.concatenate([parabolas, np.eye(n)], axis=1))[0][:, ORDER:n]
    value, vector = np.linalg.eigh(rest.T @ rough @ rough.T @ rest)
    return np.maximum(value, 0.0), rest @ vector


def interval(draws: Array, level: float) -> tuple[float, float]:
    """The central interval of draws, by order statistics, so that infinite draws (an open side) stay infinite and never mix."""
    low = np.quantile(draws, (1 - level) / 2, method="inverted_cdf")
    high = np.quantile(draws, (1 + level) / 2, method="inverted_cdf")
    return float(low), float(high)


def _finite(values: ArrayLike | Sequence[float], ndim: int) -> Array:
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != ndim or v.size == 0 or not np.isfinite(v).all():
        raise InputError(f"values of shape {v.shape} are empty, not finite, or not {ndim}-dimensional", "give finite numbers")
    return v
