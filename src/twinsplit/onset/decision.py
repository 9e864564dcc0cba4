"""Where each curve turns, with confidence intervals, and the decision that follows.

K networks are trained on disjoint splits. At log-spaced checkpoints their mutual divergence D(s) (nats, mean over pairs on different
splits) and their test loss L(s) (mean over members) are measured on the same held-out sequences with the same noise. The onset is the
step of the minimum of D after the early transient; the biased phase lasts from there to the minimum of L ([BG] section 1).

Both curves are smoothed over log step, D as its logarithm. The uncertainty has two sources, drawn together for both curves: which
members were trained (leave one out; Student's t with K - 1 degrees) and which sequences were held out. docs/onset.md has the formulas.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.curves import FEWEST_CHECKPOINTS, Curves
from twinsplit.onset.gaps import Gap, gap
from twinsplit.onset.turning import Fit, Place, Smooth, Turn, Width, change, first_peak, place

__all__ = ["Curves", "Gap", "Onset", "Rise", "Turn", "Verdict", "find_onset", "usable_from"]

Verdict = Literal["bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power"]
MORE = "train more members on further splits, or measure more checkpoints and sequences"
FIXED = "; intervals hold for exactly these networks, because fewer than three splits cannot show how others would differ"
SMALLEST_FACTOR = 1.5  # a gap of less than this factor in steps is no gap that anyone could act on


@dataclass(frozen=True)
class Rise:
    """Relative growth D(until) / D(onset) - 1 of the divergence, from the onset to the step `until`.

    `until` is the test-loss minimum, or the last checkpoint where the test loss is still falling. `at_least` is a one-sided bound,
    `interval` two-sided; both hold for every place where the onset may be. `fall_at_least`: the same bound for
    D(first usable step) / D(onset) - 1.
    """

    growth: float
    interval: tuple[float, float]
    at_least: float
    until: float
    fall_at_least: float


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
            "rise_at_least": self.rise.at_least,
            "rise_until_step": self.rise.until,
            "fall_at_least": self.rise.fall_at_least,
            "conditional_on_these_networks": self.conditional,
            "tolerance_log": self.tolerance,
            "level": self.level,
            "draws": self.draws,
            "members": self.members,
            "pairs": self.pairs,
            "sequences": self.sequences,
        }

    @classmethod
    def from_json(cls, found: Any) -> "Onset":
        """Read what `to_json` wrote. ValueError, which names the key, where one lacks, is too many or holds another kind of value."""
        f = _checked(found)
        onset, minimum = (Turn(f[f"{n}_step"], f[f"{n}_interval"], f[f"{n}_step"] is not None) for n in ("onset", "test_loss_minimum"))
        gap = Gap(f["gap_log"], f["gap_log_interval"], f["gap_steps"], f["gap_steps_interval"])
        rise = Rise(f["rise"], f["rise_interval"], f["rise_at_least"], f["rise_until_step"], f["fall_at_least"])
        sizes = (f[name] for name in ("draws", "members", "pairs", "sequences"))
        return cls(
            f["verdict"], f["reason"], onset, minimum, gap, rise, f["conditional_on_these_networks"], f["tolerance_log"], f["level"], *sizes
        )


_NUMBERS = ("rise", "rise_at_least", "rise_until_step", "fall_at_least", "tolerance_log", "level")
_OPEN = ("onset_step", "test_loss_minimum_step", "gap_log", "gap_steps")
_BOUNDS = ("onset_interval", "test_loss_minimum_interval", "gap_log_interval", "gap_steps_interval")
_COUNTS = ("draws", "members", "pairs", "sequences")


def _checked(found: Any) -> dict[str, Any]:
    """The entries of a stored decision, each of its kind; intervals as tuples."""
    if not isinstance(found, dict):
        raise ValueError("a decision is a JSON object")
    kinds = {"verdict": _is_verdict, "reason": _is_text, "conditional_on_these_networks": _is_flag, "rise_interval": _is_range}
    kinds |= dict.fromkeys(_NUMBERS, _is_number) | dict.fromkeys(_OPEN, _is_open) | dict.fromkeys(_BOUNDS, _is_bounds)
    kinds |= dict.fromkeys(_COUNTS, _is_count)
    for name in [*(name for name in kinds if name not in found), *(name for name in found if name not in kinds)]:
        raise ValueError(f"{name!r} is {'not a key of a decision' if name in found else 'missing'}")
    for name, holds in kinds.items():
        if not holds(found[name]):
            raise ValueError(f"{name!r} holds {found[name]!r}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _is_verdict(value: Any) -> bool:
    return isinstance(value, str) and value in get_args(Verdict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_open(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_bounds(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_open, value))


def find_onset(curves: Curves, *, level: float = 0.95, draws: int = 2000, seed: int = 0, tolerance: float | None = None) -> Onset:
    """The step where twins begin to lean on their own samples, the test-loss minimum, their gap, and a verdict.

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
    reason = _reason(verdict, found) + (FIXED if fixed else "") + "."
    sizes = draws, curves.members, len(curves.pairs), curves.sequences
    return Onset(verdict, reason, found.onset, found.minimum, found.gap, found.rise, fixed, tolerance, level, *sizes)


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


@dataclass(frozen=True)
class Found:
    """What the verdict rests on: where the curves are lowest, as places and as steps, and what lies between."""

    onset_place: Place
    minimum_place: Place
    onset: Turn
    minimum: Turn
    gap: Gap
    rise: Rise

    @property
    def turns_first(self) -> bool:
        """The whole interval of the gap is above 0."""
        low = self.gap.log_interval[0]
        return self.onset.reached and low is not None and low > 0


def _verdict(f: Found, tolerance: float) -> Verdict:
    if f.turns_first and f.rise.at_least > 0 and f.rise.fall_at_least > 0:
        return "bias_precedes_test_minimum"
    high = f.gap.log_interval[1]
    if f.minimum.reached and high is not None and high <= tolerance:
        return "no_bias_before_test_minimum"
    return "not_enough_power"


def _reason(verdict: Verdict, f: Found) -> str:
    if verdict == "bias_precedes_test_minimum":
        return _why_bias(f)
    return _why_no_bias(f) if verdict == "no_bias_before_test_minimum" else _why_unknown(f)


def _why_bias(f: Found) -> str:
    end = (
        f"until the test loss is lowest, at {_said(f.minimum)}" if f.minimum.reached else "while the test loss is still falling at the end"
    )
    return (
        f"the networks agree best at {_said(f.onset)}, and then their divergence grows by {f.rise.growth:.0%} "
        f"(at least {f.rise.at_least:.0%}) {end}"
    )


def _why_no_bias(f: Found) -> str:
    if not f.onset.reached:
        return (
            f"the test loss is lowest at {_said(f.minimum)}, and the networks are still coming closer to each other at the last checkpoint"
        )
    factor = np.exp(max(f.gap.log_interval[1] or 0.0, 0.0))
    return (
        f"the networks agree best at {_said(f.onset)} and the test loss is lowest at {_said(f.minimum)}: "
        f"the first does not come before the second by more than a factor of {factor:.2f} in steps"
    )


def _why_unknown(f: Found) -> str:
    """The first thing that stands in the way, and what would remove it."""
    if f.minimum_place.index == 0:
        return "the test loss never falls after the first usable checkpoint, so there is no minimum: measure earlier checkpoints"
    if f.onset_place.index == f.onset_place.start:
        return "the divergence only rises over the usable checkpoints, so it turned before them or never fell: measure earlier checkpoints"
    return _why_uncertain(f) if f.onset.reached else _why_not_reached(f)


def _why_not_reached(f: Found) -> str:
    if f.minimum.reached:
        return "the divergence has no sure minimum before the last checkpoint, and could have one before the test loss: " + MORE
    return "neither the divergence nor the test loss has turned by the last checkpoint: train longer"


def _why_uncertain(f: Found) -> str:
    if f.onset.interval[0] is None and f.rise.fall_at_least <= 0:
        return "the divergence may have turned before the first usable checkpoint: measure earlier checkpoints"
    if not f.turns_first:
        return f"the steps of the divergence's minimum and of the test loss's are too uncertain to say which comes first: {MORE}"
    if f.rise.at_least <= 0:
        return f"the divergence rises by {f.rise.growth:.0%} after {_said(f.onset)}, which is within its noise: {MORE}"
    return f"the fall of the divergence before {_said(f.onset)} is within its noise: {MORE}"


def _said(turn: Turn) -> str:
    low, high = turn.interval
    first = f"from {low:,.0f}" if low is not None else "from before the usable checkpoints"
    last = f"to {high:,.0f}" if high is not None else "to beyond the last checkpoint"
    return f"step {turn.step:,.0f} (interval {first} {last})"
