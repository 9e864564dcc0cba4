"""Where each curve turns, with confidence intervals, and the decision that follows.

K networks are trained on disjoint splits. At log-spaced checkpoints their mutual divergence D(s) (nats, mean over pairs on different
splits) and their test loss L(s) (mean over members) are measured on the same held-out sequences with the same noise. The onset is the
step of the minimum of D after the early transient; the biased phase lasts from there to the minimum of L ([BG] section 1).

Both curves are smoothed over log step, D as its logarithm. The uncertainty has two sources, drawn together for both curves: which
members were trained (leave one out; Student's t with K - 1 degrees) and which sequences were held out. docs/onset.md has the formulas.
"""

from collections.abc import Sequence

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.onset.curves import Curves
from twinsplit.onset.estimator import estimate
from twinsplit.onset.gaps import Gap, gap
from twinsplit.onset.reasons import DROPPED, FIXED, MEANS, Found, reason
from twinsplit.onset.result import Onset, Rise, Verdict
from twinsplit.onset.tracks import DIVERGENCE, LOSS, tracks_of
from twinsplit.onset.transient import drop_covered_at, is_dip, may_be_dip, usable_from
from twinsplit.onset.turning import Place, Turn, Width, change

__all__ = ["Curves", "Gap", "Onset", "Rise", "Turn", "Verdict", "find_onset", "usable_from"]

SMALLEST_FACTOR = 1.5  # a gap of less than this factor in steps is no gap that anyone could act on


def find_onset(
    curves: Curves,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    tolerance: float | None = None,
    breaks: Sequence[float] = (),
) -> Onset:
    """The step where the divergence of twins is lowest, the test-loss minimum, their gap, and a verdict.

    level: of every interval; draws: resampled curves; tolerance: the largest gap in log steps that still counts as none, by default
    one checkpoint spacing or ln 1.5, whichever is larger; breaks: steps at which the learning rate drops
    abruptly. The test loss then falls at once and may rise again without any bias, so checkpoints after the first of them are not used,
    and the reason says so. The same seed gives the same answer whatever the order of sequences, members, pairs and twins. Raises
    InputError on a level outside (0.5, 1), fewer than 100 draws, a tolerance below 0, and twins that agree exactly.
    """
    _check_options(level, draws, tolerance)
    used = curves.until(min(breaks, default=np.inf))
    cut = DROPPED.format(min(breaks)) if used is not curves else ""
    curves = used
    units = st.pair_units(curves.pairs, curves.splits)
    located = estimate(tracks_of(curves), draws, seed)
    onset, minimum = located.places[DIVERGENCE], located.places[LOSS]
    width = Width(level, located.freedom if units is None else float(units.max()))
    if tolerance is None:
        tolerance = max(float(np.median(np.diff(onset.fit.x))), float(np.log(SMALLEST_FACTOR)))
    drop = drop_covered_at(curves, onset.at) if onset.reached else None
    unlearned = onset.reached and may_be_dip(curves, onset.at)
    turn, between = onset.turn(width), gap(onset, minimum, width)
    if onset.reached and is_dip(curves, onset.at):
        turn, between = Turn(None, (None, None), False), Gap(None, (None, None), None, (None, None))
    found = Found(onset, minimum, turn, minimum.turn(width), between, _rise(onset, minimum, width), drop, unlearned)
    verdict = _verdict(found, tolerance)
    fixed = units is None
    why = reason(verdict, found) + (FIXED if fixed else "") + (MEANS if curves.sequences == 1 else "") + cut + "."
    sizes = draws, curves.members, len(curves.pairs), curves.sequences
    return Onset(verdict, why, found.onset, found.minimum, found.gap, found.rise, fixed, tolerance, level, *sizes, drop)


def _check_options(level: float, draws: int, tolerance: float | None) -> None:
    if not 0.5 < level < 1.0:
        raise InputError(f"a confidence level of {level} is not between 0.5 and 1", "use a number such as 0.95")
    if draws < 100:
        raise InputError(f"{draws} draws cannot give an interval", "use at least 100; 2,000 take a fraction of a second")
    if tolerance is not None and not 0.0 <= tolerance < np.inf:
        raise InputError(f"a tolerance of {tolerance} is not a number of log steps", "use 0 or more, such as 0.4 for a factor of 1.5")


def _rise(onset: Place, minimum: Place, width: Width) -> Rise:
    grid = onset.fit.grid
    end = int(np.searchsorted(grid, minimum.at)) if minimum.reached else len(grid) - 1
    until = max(end, onset.index)
    rise, fall = change(onset, until, width), change(onset, onset.start, width)
    return Rise(rise.growth, rise.interval, rise.at_least, float(np.exp(grid[until])), fall.at_least)


def _verdict(f: Found, tolerance: float) -> Verdict:
    if f.unlearned:
        return "not_enough_power"
    if f.turns_first and f.rise.at_least > 0 and f.rise.fall_at_least > 0:
        return "bias_precedes_test_minimum"
    high = f.gap.log_interval[1]
    if f.minimum.reached and high is not None and high <= tolerance:
        return "no_bias_before_test_minimum"
    return "not_enough_power"
