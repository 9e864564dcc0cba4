"""Where each curve turns, with confidence intervals, and the decision that follows.

K networks are trained on disjoint splits. At log-spaced checkpoints their mutual divergence D(s) (nats, mean over pairs on different
splits) and their test loss L(s) (mean over members) are measured on the same held-out sequences with the same noise. The onset is the
step of the minimum of D after the early transient; the biased phase lasts from there to the minimum of L ([BG] section 1).

Both curves are smoothed over log step, D as its logarithm. The uncertainty has two sources, drawn together for both curves: which
members were trained (leave one out; Student's t with K - 1 degrees) and which sequences were held out. docs/onset.md has the formulas.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index

Verdict = Literal["bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power"]
Bounds = tuple[float | None, float | None]
FEWEST_CHECKPOINTS = 6
GRID = 400
PENALTIES = 10  # smoothing penalties, of equal probability, that draws are shared among
SMALLEST_FACTOR = 1.5  # a gap of less than this factor in steps is no gap that anyone could act on


@dataclass(frozen=True, eq=False)
class Curves:
    """What was measured along training.

    steps (S,) optimizer steps, increasing, S >= 6 of them above 0; divergence (S, P, N) in nats, of the pairs (P, 2) of members on
    different splits; test_loss (S, K, N) in nats. All on the same N sequences. splits (K,): the split of each member, when several
    members (seeds) share one; by default every member has its own. Raises InputError for anything else.
    """

    steps: Array
    divergence: Array
    pairs: Index
    test_loss: Array
    splits: Index | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "divergence", "test_loss"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "pairs", st.as_pairs(self.pairs))
        if self.splits is not None:
            object.__setattr__(self, "splits", np.unique(np.asarray(self.splits), return_inverse=True)[1])
        _check_steps(self.steps)
        _check_shapes(self)
        _check_values(self)

    @property
    def members(self) -> int:
        """K."""
        return self.test_loss.shape[1]

    @property
    def sequences(self) -> int:
        """N."""
        return self.test_loss.shape[2]


def _check_steps(steps: Array) -> None:
    if steps.ndim != 1 or not np.isfinite(steps).all() or (steps < 0).any() or (np.diff(steps) <= 0).any():
        raise InputError("steps are not finite, non-negative and increasing", "give one row per checkpoint, in the order of training")
    if (steps > 0).sum() < FEWEST_CHECKPOINTS:
        raise InputError(
            f"{(steps > 0).sum()} checkpoints after step 0 are too few to find a minimum",
            f"measure at least {FEWEST_CHECKPOINTS}, log-spaced; 25 or more are better",
        )


def _check_shapes(c: Curves) -> None:
    if c.test_loss.ndim != 3 or c.divergence.ndim != 3:
        raise InputError("divergence or test_loss is not a table over checkpoints, pairs or members, and sequences", "keep all three axes")
    S, K, N = c.test_loss.shape
    if c.divergence.shape != (S, len(c.pairs), N) or len(c.steps) != S:
        raise InputError(
            f"shapes disagree: steps {c.steps.shape}, divergence {c.divergence.shape}, {len(c.pairs)} pairs, test_loss {c.test_loss.shape}",
            "give (S,), (S, P, N), (P, 2) and (S, K, N)",
        )
    if N < 2:
        raise InputError(f"{N} held-out sequences cannot show how sequences vary", "measure at least 2, better 1,000")
    if set(np.unique(c.pairs)) != set(range(K)):
        raise InputError(f"pairs do not name each of the {K} members", "drop members without a pair, and number the others from 0")
    if c.splits is not None and (c.splits.shape != (K,) or (c.splits[c.pairs[:, 0]] == c.splits[c.pairs[:, 1]]).any()):
        raise InputError("splits does not give every member one split, different within a pair", "give (K,) splits, and only twin pairs")


def _check_values(c: Curves) -> None:
    for name, values in (("divergence", c.divergence), ("test_loss", c.test_loss)):
        bad = ~np.isfinite(values).all((1, 2))
        if bad.any():
            raise InputError(f"{name} is not finite at step {c.steps[bad][0]:g}", "measure that checkpoint again, or drop it")
    if (c.divergence.mean((1, 2)) < 0).any():
        raise InputError("the mean divergence is negative at some step", "give a divergence, which is never negative on average")


@dataclass(frozen=True)
class Turn:
    """The minimum of one curve.

    step: where the smooth curve is lowest, or None when it is lowest at an end of what was measured; reached: it has a minimum with a
    whole checkpoint after it. interval: steps; None on a side where the minimum may lie beyond the checkpoints.
    """

    step: float | None
    interval: Bounds
    reached: bool


@dataclass(frozen=True)
class Gap:
    """From the onset to the test-loss minimum: `log` = ln(test minimum / onset), `steps` their difference; None if either is not reached.

    None as a bound where it is open: the minimum may lie beyond the checkpoints.
    """

    log: float | None
    log_interval: Bounds
    steps: float | None
    steps_interval: Bounds


@dataclass(frozen=True)
class Rise:
    """Relative growth D(end) / D(onset) - 1 of the divergence from the onset to `until` (a step).

    The interval holds wherever the onset is, simultaneously, so that choosing the lowest point does not flatter it. `fall` is the
    lower bound of the relative fall into the onset, likewise.
    """

    growth: float
    interval: tuple[float, float]
    at_least: float
    until: float
    fall: float


@dataclass(frozen=True)
class Onset:
    """The decision: verdict, in one sentence why, and the numbers behind it.

    conditional: the intervals hold for exactly these networks, because there are too few to say how others would differ.
    tolerance: the gap, in log steps, below which there is said to be none.
    """

    verdict: Verdict
    reason: str
    onset: Turn
    test_loss_minimum: Turn
    gap: Gap
    rise: Rise
    conditional: bool
    tolerance: float
    level: float
    draws: int
    members: int
    pairs: int
    sequences: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and None: strict JSON, with no NaN or Infinity."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "onset_step": self.onset.step,
            "onset_interval": list(self.onset.interval),
            "test_loss_minimum_step": self.test_loss_minimum.step,
            "test_loss_minimum_interval": list(self.test_loss_minimum.interval),
            "gap_log": self.gap.log,
            "gap_log_interval": list(self.gap.log_interval),
            "gap_steps": self.gap.steps,
            "gap_steps_interval": list(self.gap.steps_interval),
            "rise": self.rise.growth,
            "rise_interval": list(self.rise.interval),
            "rise_until_step": self.rise.until,
            "conditional_on_these_networks": self.conditional,
            "tolerance_log": self.tolerance,
            "level": self.level,
            "draws": self.draws,
            "members": self.members,
            "pairs": self.pairs,
            "sequences": self.sequences,
        }


@dataclass(frozen=True, eq=False)
class Fit:
    """One smooth curve and its resampled versions on a grid of log steps.

    x: log steps of the checkpoints it was fitted to; grid (G,); curve (G,); draws (B, G).
    """

    x: Array
    grid: Array
    curve: Array
    draws: Array

    @property
    def last_inside(self) -> int:
        """The last grid index with a whole checkpoint after it."""
        return int(np.searchsorted(self.grid, self.x[-2], side="right")) - 1


@dataclass(frozen=True)
class Width:
    """How wide intervals are: `level`, and degrees of freedom of Student's t, for the few networks there are."""

    level: float
    degrees: float

    @property
    def stretch(self) -> float:
        """Student's two-sided quantile over the normal one."""
        return st.student_quantile(self.level, self.degrees) / st.student_quantile(self.level, np.inf)

    @property
    def one_sided(self) -> float:
        """Student's one-sided quantile over the normal one."""
        both = 2 * self.level - 1
        return st.student_quantile(both, self.degrees) / st.student_quantile(both, np.inf)

    def around(self, point: float, low: Array, high: Array) -> tuple[float, float]:
        """From what each draw allows, low to high (B,), the interval of `point`; infinite where it is open."""
        below = max(point - st.interval(low, self.level)[0], 0.0)
        above = max(st.interval(high, self.level)[1] - point, 0.0)
        return point - self.stretch * below, point + self.stretch * above


def find_onset(curves: Curves, *, level: float = 0.95, draws: int = 2000, seed: int = 0, tolerance: float | None = None) -> Onset:
    """The step where twins begin to lean on their own samples, the test-loss minimum, their gap, and a verdict.

    level: of every interval; draws: resampled curves; tolerance: the largest gap in log steps that still counts as none, by default
    one checkpoint spacing or ln 1.5, whichever is larger. The same seed gives the same answer whatever the order of sequences, members,
    pairs and twins. Raises InputError on levels outside (0, 1), fewer than 100 draws, and twins whose divergence vanishes.
    """
    st.student_quantile(level, 1)
    if draws < 100:
        raise InputError(f"{draws} draws cannot give an interval", "use at least 100; 2,000 take about a second")
    divergence, loss, degrees = _resampled_fits(curves, draws, seed)
    width = Width(level, degrees)
    onset, minimum = place(divergence, first_peak(divergence.curve)), place(loss, 0)
    numbers = Numbers(onset.turn(width), minimum.turn(width), _gap(onset, minimum, width), _rise(divergence, onset, minimum, width))
    if tolerance is None:
        tolerance = max(float(np.median(np.diff(divergence.x))), float(np.log(SMALLEST_FACTOR)))
    verdict = _verdict(numbers, tolerance)
    conditional = st.pair_units(curves.pairs, curves.splits) is None
    n = numbers
    return Onset(verdict, "", n.onset, n.minimum, n.gap, n.rise, conditional, tolerance, level, draws, curves.members, len(curves.pairs), curves.sequences)


def usable_from(divergence: Array, loss: Array) -> tuple[int, int]:
    """First checkpoint to use of the mean divergence (S,) and of the mean test loss (S,): the early transient is left out.

    Twins agree before they have learned anything, and that agreement is no minimum. Each curve counts from where half of its drop is
    covered: the test loss from its first value, the divergence from its peak, the highest value while the loss covers its own half.
    Where checkpoints start late the peak is the first of them.
    """
    last = len(loss) - FEWEST_CHECKPOINTS
    half = min(int(np.argmax(loss <= (loss[0] + loss.min()) / 2)), last)
    peak = int(np.argmax(divergence[: half + 1]))
    lowest = peak + int(np.argmin(divergence[peak:]))
    high = divergence[peak : lowest + 1] >= (divergence[peak] + divergence[lowest]) / 2
    return min(peak + int(np.flatnonzero(high)[-1]), last), half


def _resampled_fits(c: Curves, draws: int, seed: int) -> tuple[Fit, Fit, float]:
    """Smooth log-divergence and test loss with their resampled versions, and the degrees of freedom behind the resampling."""
    kept = c.steps > 0
    x = np.log(c.steps[kept])
    D, L = c.divergence[kept], c.test_loss[kept]
    d, e = usable_from(D.mean((1, 2)), L.mean((1, 2)))
    D, L = D[d:], L[e:]
    if (D.mean((1, 2)) <= 0).any():
        raise InputError("the divergence between twins is 0 after they have learned", "check that they were trained on different splits")
    smooth = [Smooth.of(x[d:], np.log(D.mean((1, 2)))), Smooth.of(x[e:], L.mean((1, 2)))]
    units = st.pair_units(c.pairs, c.splits)
    roots = [_sequence_root(D, L), _checkpoint_root(smooth) if units is None else _member_root(D, L, c.pairs, units)]
    rng = np.random.Generator(np.random.Philox(seed))
    deviation = sum(rng.standard_normal((draws, len(r))) @ r for r in roots)
    both = [s.resampled(v, rng) for s, v in zip(smooth, np.split(np.asarray(deviation), [len(D)], axis=1), strict=True)]
    degrees = min(len(s.mean) - s.fit.freedom for s in smooth) if units is None else float(units.max())
    return both[0], both[1], max(degrees, 1.0)


@dataclass(frozen=True, eq=False)
class Smooth:
    """A mean curve (n,) with its smoother, and smoothers of other penalties that are as likely."""

    mean: Array
    fit: st.Smoother
    others: tuple[st.Smoother, ...]
    sd: float

    @classmethod
    def of(cls, x: Array, mean: Array) -> "Smooth":
        """The most likely penalty, and PENALTIES equally likely ones."""
        likely, grid = st.penalties(x, mean), np.linspace(x[0], x[-1], GRID)
        fit = st.smoother(x, grid, likely.best)
        others = tuple(st.smoother(x, grid, p) for p in likely.quantiles(PENALTIES))
        return cls(mean, fit, others, float(np.sqrt(fit.residual_variance(mean))))

    def resampled(self, deviation: Array, rng: np.random.Generator) -> Fit:
        """The curve, and draws for deviations (B, n) of the mean: each with a likely penalty and with what that smooths away."""
        parts = np.array_split(self.mean + deviation, len(self.others))
        drawn = [y @ s.matrix.T + self.sd * rng.standard_normal((len(y), s.rough.shape[1])) @ s.rough.T for y, s in zip(parts, self.others, strict=True)]
        return Fit(self.fit.knots, self.fit.grid, self.fit.matrix @ self.mean, np.concatenate(drawn))


def _sequence_root(D: Array, L: Array) -> Array:
    """Root of the covariance of both mean curves when other sequences are held out.

    Drawing from the covariance and not by index makes the result independent of the order of the sequences.
    """
    of_divergence = D.mean(1) / D.mean((1, 2))[:, None]  # the derivative of the logarithm of a mean
    sequences = np.concatenate([of_divergence, L.mean(1)])
    return st.symmetric_root(np.cov(sequences) / sequences.shape[1])


def _member_root(D: Array, L: Array, pairs: Index, units: Index) -> Array:
    """Root of the leave-one-out covariance of both mean curves when other members are trained."""
    left_out_D = np.log(st.leave_one_out(D.mean(2).T, pairs, units))
    left_out_L = st.leave_one_out_members(L.mean(2).T, units)
    return st.symmetric_root(st.jackknife_covariance(np.concatenate([left_out_D, left_out_L], axis=1)))


def _checkpoint_root(smooth: list[Smooth]) -> Array:
    """Root of the covariance of the same networks from checkpoint to checkpoint: independent, with the variance about the smooth curves."""
    return np.diag(np.concatenate([np.full(len(s.mean), s.sd) for s in smooth]))


@dataclass(frozen=True, eq=False)
class Place:
    """Where a curve is lowest from grid index `start` on, and where each of its draws is.

    index: of the curve's minimum; reached: it lies inside; near (B,): log steps of the draws' minima; low, high (B,): the same, infinite
    where the minimum may lie outside what was measured.
    """

    fit: Fit
    start: int
    index: int
    reached: bool
    near: Array
    low: Array
    high: Array

    @property
    def at(self) -> float:
        """Log step of the lowest point, at an end or not."""
        return float(self.fit.grid[self.index])

    def likely(self, width: Width) -> Index:
        """Grid indices in the interval of the minimum."""
        low, high = width.around(self.at, self.near, self.near)
        inside = np.flatnonzero((self.fit.grid >= low) & (self.fit.grid <= high))
        return inside[inside >= self.start]

    def turn(self, width: Width) -> Turn:
        """As steps, open on a side where the interval leaves the checkpoints."""
        low, high = width.around(self.at, self.low, self.high)
        low = -np.inf if low < self.fit.grid[self.start] else low
        high = np.inf if high > self.fit.grid[self.fit.last_inside] else high
        bounds = (float(np.exp(low)) if np.isfinite(low) else None, float(np.exp(high)) if np.isfinite(high) else None)
        return Turn(float(np.exp(self.at)) if self.reached else None, bounds, self.reached)


def place(fit: Fit, start: int) -> Place:
    """The lowest point at or after grid index `start`; at `start` itself the curve only rises, near the end it still falls."""
    index, drawn = start + int(np.argmin(fit.curve[start:])), start + np.argmin(fit.draws[:, start:], axis=1)
    near = fit.grid[drawn]
    low = np.where(drawn <= start, -np.inf, near)
    high = np.where(drawn > fit.last_inside, np.inf, near)
    return Place(fit, start, index, start < index <= fit.last_inside, near, low, high)


def first_peak(curve: Array) -> int:
    """Index of the first local maximum of a curve (G,): 0 if it falls from the start, the last if it never falls."""
    falls = np.flatnonzero(np.diff(curve) < 0)
    return int(falls[0]) if len(falls) else len(curve) - 1


def _gap(onset: Place, minimum: Place, width: Width) -> Gap:
    # A minimum at an end bounds the gap on one side only: the earliest test minimum that a draw allows is then its last checkpoint.
    first_t, last_m = np.where(np.isfinite(minimum.low), minimum.near, -np.inf), onset.high
    last_t, first_m = minimum.high, onset.low
    log = width.around(minimum.at - onset.at, first_t - last_m, last_t - first_m)
    t, m = np.exp(minimum.at), np.exp(onset.at)
    steps = width.around(t - m, np.exp(first_t) - np.exp(last_m), np.exp(last_t) - np.exp(first_m))
    reached = onset.reached and minimum.reached
    return Gap(minimum.at - onset.at if reached else None, _open(log), float(t - m) if reached else None, _open(steps))


def _open(bounds: tuple[float, float]) -> Bounds:
    """None for an infinite side."""
    low, high = (float(v) if np.isfinite(v) else None for v in bounds)
    return low, high


def _contrast(fit: Fit, lowest: int, places: Index, anchor: int, width: Width) -> tuple[float, float, float]:
    """log D(anchor) - log D(lowest), and one- and two-sided half-widths that hold for all of the grid `places` together."""
    deviation = fit.draws - fit.curve
    against = deviation[:, [anchor]] - deviation[:, places]
    scale = np.quantile(np.abs(against), 0.6827, axis=0) + np.finfo(float).tiny
    own = scale[places == lowest][0]
    one = np.quantile((against / scale).max(1), width.level) * own * width.one_sided
    two = np.quantile((np.abs(against) / scale).max(1), width.level) * own * width.stretch
    return float(fit.curve[anchor] - fit.curve[lowest]), float(one), float(two)


def _rise(fit: Fit, onset: Place, minimum: Place, width: Width) -> Rise:
    end = int(np.searchsorted(fit.grid, minimum.at)) if minimum.reached else len(fit.grid) - 1
    until = max(end, onset.index)
    likely = onset.likely(width)
    change = one = two = drop = drop_one = 0.0
    if until > onset.index:
        change, one, two = _contrast(fit, onset.index, likely[likely < until], until, width)
    if onset.index > onset.start:
        drop, drop_one, _ = _contrast(fit, onset.index, likely[likely > onset.start], onset.start, width)
    bounds = float(np.expm1(change - two)), float(np.expm1(change + two))
    return Rise(float(np.expm1(change)), bounds, float(np.expm1(change - one)), float(np.exp(fit.grid[until])), float(-np.expm1(drop_one - drop)))


@dataclass(frozen=True)
class Numbers:
    """What the verdict rests on."""

    onset: Turn
    minimum: Turn
    gap: Gap
    rise: Rise


def _verdict(n: Numbers, tolerance: float) -> Verdict:
    low, high = n.gap.log_interval
    if n.onset.reached and low is not None and low > 0 and n.rise.at_least > 0 and n.rise.fall > 0:
        return "bias_precedes_test_minimum"
    if n.minimum.reached and high is not None and high <= tolerance:
        return "no_bias_before_test_minimum"
    return "not_enough_power"
