"""Where each curve turns, with confidence intervals, and the decision that follows.

K networks are trained on disjoint splits. At log-spaced checkpoints their mutual divergence D(s) (nats, mean over pairs on different
splits) and their test loss L(s) (mean over members) are measured on the same held-out sequences with the same noise. The onset is the
step of the minimum of D after the early transient; the biased phase lasts from there to the minimum of L ([BG] section 1).

Both curves are smoothed over log step, D as its logarithm. The uncertainty has two sources, drawn together for both curves: which
members were trained (leave one out; Student's t with K - 1 degrees) and which sequences were held out. docs/onset.md has the formulas.
"""

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.curves import FEWEST_CHECKPOINTS, Curves
from twinsplit.onset.gaps import Gap, gap
from twinsplit.onset.reasons import FIXED, MEANS, Found, reason
from twinsplit.onset.result import Onset, Rise, Verdict
from twinsplit.onset.turning import Fit, Place, Smooth, Turn, Width, change, first_peak, place

__all__ = ["Curves", "Gap", "Onset", "Rise", "Turn", "Verdict", "find_onset", "usable_from"]

SMALLEST_FACTOR = 1.5  # a gap of less than this factor in steps is no gap that anyone could act on


def find_onset(curves: Curves, *, level: float = 0.95, draws: int = 2000, seed: int = 0, tolerance: float | None = None) -> Onset:
    """The step where the divergence of twins is lowest, the test-loss minimum, their gap, and a verdict.

    level: of every interval; draws: resampled curves; tolerance: the largest gap in log steps that still counts as none, by default
    one checkpoint spacing or ln 1.5, whichever is larger. The same seed gives the same answer whatever the order of sequences, members,
    pairs and twins. Raises InputError on a level outside (0.5, 1), fewer than 100 draws, a tolerance below 0, and twins that agree exactly.
    """
    _check_options(level, draws, tolerance)
    divergence, loss, degrees = _resampled_fits(curves, draws, seed)
    width = Width(level, degrees)
    onset, minimum = place(divergence, first_peak(divergence.curve)), place(loss, 0)
    if tolerance is None:
        tolerance = max(float(np.median(np.diff(divergence.x))), float(np.log(SMALLEST_FACTOR)))
    found = Found(onset, minimum, onset.turn(width), minimum.turn(width), gap(onset, minimum, width), _rise(onset, minimum, width))
    verdict = _verdict(found, tolerance)
    fixed = st.pair_units(curves.pairs, curves.splits) is None
    why = reason(verdict, found) + (FIXED if fixed else "") + (MEANS if curves.sequences == 1 else "") + "."
    sizes = draws, curves.members, len(curves.pairs), curves.sequences
    return Onset(verdict, why, found.onset, found.minimum, found.gap, found.rise, fixed, tolerance, level, *sizes)


def _check_options(level: float, draws: int, tolerance: float | None) -> None:
    if not 0.5 < level < 1.0:
        raise InputError(f"a confidence level of {level} is not between 0.5 and 1", "use a number such as 0.95")
    if draws < 100:
        raise InputError(f"{draws} draws cannot give an interval", "use at least 100; 2,000 take a fraction of a second")
    if tolerance is not None and not 0.0 <= tolerance < np.inf:
        raise InputError(f"a tolerance of {tolerance} is not a number of log steps", "use 0 or more, such as 0.4 for a factor of 1.5")


def usable_from(divergence: Array, loss: Array) -> tuple[int, int]:
    """First checkpoint to use of the mean divergence (S,) and of the mean test loss (S,): the early transient is left out.

    Twins agree before they have learned anything, and that agreement is no minimum. Each curve counts from where half of its drop is
    covered: the test loss from its first value, the divergence from its peak, the highest value while the loss covers its own half.
    Checkpoints where the divergence is within a third of its lowest value are kept all the same, so that nothing is left out where
    checkpoints start late and see no transient.
    """
    last = len(loss) - FEWEST_CHECKPOINTS
    half = min(int(np.argmax(loss <= (loss[0] + loss.min()) / 2)), last)
    peak = int(np.argmax(divergence[: half + 1]))
    lowest = peak + int(np.argmin(divergence[peak:]))
    high = divergence[peak:lowest] >= max((divergence[peak] + divergence[lowest]) / 2, divergence[lowest] * 4 / 3)
    return min(peak + int(np.flatnonzero(high)[-1] if high.any() else 0), last), half


def _resampled_fits(c: Curves, draws: int, seed: int) -> tuple[Fit, Fit, float]:
    """Smooth log-divergence and test loss with their resampled versions, and the degrees of freedom behind the resampling."""
    kept = c.steps > 0  # step 0 has no logarithm, and nothing was learned
    x, D, L = np.log(c.steps[kept]), c.divergence[kept], c.test_loss[kept]
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


def _sequence_root(D: Array, L: Array) -> Array:
    """Root of the covariance of both mean curves when other sequences are held out.

    Drawing from the covariance and not by index makes the result independent of the order of the sequences.
    """
    of_divergence = D.mean(1) / D.mean((1, 2))[:, None]  # the derivative of the logarithm of a mean
    sequences = np.concatenate([of_divergence, L.mean(1)])
    if sequences.shape[1] == 1:  # means over sequences: how these vary is not known, and the reason says so
        return np.zeros((len(sequences), len(sequences)))
    return st.symmetric_root(np.cov(sequences) / sequences.shape[1])


def _member_root(D: Array, L: Array, pairs: Index, units: Index) -> Array:
    """Root of the leave-one-out covariance of both mean curves when other members are trained."""
    left_out_D = np.log(st.leave_one_out(D.mean(2).T, pairs, units))
    left_out_L = st.leave_one_out_members(L.mean(2).T, units)
    return st.symmetric_root(st.jackknife_covariance(np.concatenate([left_out_D, left_out_L], axis=1)))


def _checkpoint_root(smooth: list[Smooth]) -> Array:
    """Root of the covariance of the same networks from checkpoint to checkpoint: independent, with the variance about the smooth curves."""
    return np.diag(np.concatenate([np.full(len(s.mean), s.sd) for s in smooth]))


def _rise(onset: Place, minimum: Place, width: Width) -> Rise:
    grid = onset.fit.grid
    end = int(np.searchsorted(grid, minimum.at)) if minimum.reached else len(grid) - 1
    until = max(end, onset.index)
    rise, fall = change(onset, until, width), change(onset, onset.start, width)
    return Rise(rise.growth, rise.interval, rise.at_least, float(np.exp(grid[until])), fall.at_least)


def _verdict(f: Found, tolerance: float) -> Verdict:
    if f.turns_first and f.rise.at_least > 0 and f.rise.fall_at_least > 0:
        return "bias_precedes_test_minimum"
    high = f.gap.log_interval[1]
    if f.minimum.reached and high is not None and high <= tolerance:
        return "no_bias_before_test_minimum"
    return "not_enough_power"
