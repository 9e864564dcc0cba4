"""How long after one curve another one turns."""

from dataclasses import dataclass

import numpy as np

from twinsplit.onset.turning import Bounds, Place, Width


@dataclass(frozen=True)
class Gap:
    """From the minimum of a first curve to that of a second: `log` = ln(second / first), `steps` = second - first; None if either is not
    reached.

    None as a bound where it is open: the minimum may lie beyond the checkpoints.
    """

    log: float | None
    log_interval: Bounds
    steps: float | None
    steps_interval: Bounds


def gap(first: Place, second: Place, width: Width) -> Gap:
    """From the minimum of `first` to that of `second`, whose draws belong together."""
    # A minimum at an end bounds the gap on one side only: the earliest second minimum that a draw allows is then its last checkpoint.
    early, latest_first = np.where(np.isfinite(second.low), second.near, -np.inf), first.high
    late, earliest_first = second.high, first.low
    log = width.around(second.at - first.at, early - latest_first, late - earliest_first)
    t, m = np.exp(second.at), np.exp(first.at)
    steps = width.around(t - m, np.exp(early) - np.exp(latest_first), np.exp(late) - np.exp(earliest_first))
    reached = first.reached and second.reached
    return Gap(second.at - first.at if reached else None, bounded(log), float(t - m) if reached else None, bounded(steps))


def bounded(bounds: tuple[float, float]) -> Bounds:
    """None for an infinite side."""
    low, high = (float(v) if np.isfinite(v) else None for v in bounds)
    return low, high
