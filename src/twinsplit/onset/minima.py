"""Where several curves of one run turn, jointly: which comes first, by how much, and how surely.

Every curve is a mean over the same independent units (splits). One normal number per unit and draw moves all curves together, as leaving
that unit out does, so what the curves share cancels from the gap between two minima, and no curve depends on which others are asked for.
The held-out sequences are the same for all and are not resampled: the uncertainty is over splits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.curves import FEWEST_CHECKPOINTS
from twinsplit.onset.estimator import Track, estimate
from twinsplit.onset.gaps import Gap, bounded, gap
from twinsplit.onset.transient import half_covered
from twinsplit.onset.turning import Bounds, Place, Turn, Width


@final
@dataclass(frozen=True, eq=False)
class LeftOut:
    """A curve along training and what it would be without each unit. steps (S,) above 0; mean (S,); left_out (U, S).

    first: the index of the first checkpoint that counts, where an early transient is no minimum; falls_first: leave out a rising
    stretch after it too.
    """

    name: str
    steps: Array
    mean: Array
    left_out: Array
    first: int = 0
    falls_first: bool = False

    def __post_init__(self) -> None:
        if len(self.steps) - self.first < FEWEST_CHECKPOINTS:
            raise InputError(
                f"{self.name}: {len(self.steps) - self.first} checkpoints are too few to find a minimum",
                f"measure at least {FEWEST_CHECKPOINTS}, log-spaced; 25 or more are better",
            )
        if len(self.left_out) < st.FEWEST_UNITS:
            raise InputError(f"{self.name}: {len(self.left_out)} splits", f"train at least {st.FEWEST_UNITS} for an interval")

    @classmethod
    def of_members(cls, name: str, steps: Array, values: Array, splits: Index, to: Callable[[Array], Array] = np.asarray) -> "LeftOut":
        """From values (S, K) of members on splits (K,); `to` is applied to the means, so that its scale suits smoothing."""
        units = np.unique(splits, return_inverse=True)[1]
        return cls(name, steps, to(values.mean(1)), to(st.leave_one_out_members(values.T, units)))

    @classmethod
    def of_pairs(cls, name: str, steps: Array, values: Array, pairs: Index, splits: Index, first: int = 0) -> "LeftOut":
        """From values (S, P) of pairs (P, 2) of members on splits (K,), as logarithms."""
        checked = st.as_pairs(pairs)
        units = st.pair_units(checked, splits)
        if units is None:
            raise InputError(f"{name}: fewer than {st.FEWEST_UNITS} splits", f"train at least {st.FEWEST_UNITS} for an interval")
        return cls(name, steps, np.log(values.mean(1)), np.log(st.leave_one_out(values.T, checked, units)), first, falls_first=True)

    @property
    def track(self) -> Track:
        """The curve for the estimator: leaving a unit out moves it, with the jackknife's covariance (U - 1)/U sum of squared deviations."""
        kept = self.left_out[:, self.first :]
        move = (kept - kept.mean(0)) * np.sqrt((len(kept) - 1) / len(kept))
        return Track(self.name, np.log(self.steps[self.first :]), self.mean[self.first :], {"splits": move}, self.falls_first)


def settled(loss: LeftOut) -> LeftOut:
    """A test loss from where half of its drop is covered, as `find_onset` uses it."""
    return replace(loss, first=half_covered(loss.mean))


@final
@dataclass(frozen=True, eq=False)
class Trend:
    """A least-squares slope with its interval, over `units` splits; None where a minimum is not reached, and on a side that is open."""

    value: float | None
    interval: Bounds
    units: int


@final
@dataclass(frozen=True, eq=False)
class Minima:
    """The minima of curves by name, with draws that belong together."""

    places: dict[str, Place]
    width: Width
    units: int

    def turn(self, name: str) -> Turn:
        """The step of one minimum and its interval."""
        return self.places[name].turn(self.width)

    def gap(self, first: str, second: str) -> Gap:
        """From the minimum of one curve to that of another."""
        return gap(self.places[first], self.places[second], self.width)

    def slope(self, names: Sequence[str], at: Sequence[float]) -> Trend:
        """Least-squares slope of the log step of the minima over `at`, curve by curve.

        A minimum that lies beyond the checkpoints, in a draw, opens the side of the slope on which it may lie.
        """
        x = np.asarray(at, dtype=np.float64) - np.mean(at)
        weights = x / (x @ x)
        places = [self.places[name] for name in names]
        point = float(weights @ np.array([found.at for found in places]))
        # a curve in the middle has no weight, wherever its minimum lies: infinity times 0 is no number
        moving = [(weight, found) for weight, found in zip(weights.tolist(), places, strict=True) if weight]
        low = np.sum([weight * (found.low if weight > 0 else found.high) for weight, found in moving], axis=0)
        high = np.sum([weight * (found.high if weight > 0 else found.low) for weight, found in moving], axis=0)
        reached = all(found.reached for found in places)
        return Trend(point if reached else None, bounded(self.width.around(point, low, high)), self.units)


def find_minima(curves: Sequence[LeftOut], level: float = 0.95, draws: int = 2000, seed: int = 0) -> Minima:
    """Smooth every curve and draw all of them together from the leave-one-split-out covariance; Student's t with U - 1 degrees."""
    units = len(curves[0].left_out)
    if any(len(c.left_out) != units for c in curves):
        raise InputError("the curves are over different numbers of splits", "give curves of one run")
    return Minima(estimate([c.track for c in curves], draws, seed).places, Width(level, units - 1), units)
