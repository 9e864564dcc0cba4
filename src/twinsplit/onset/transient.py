"""What networks do before they have learned: they agree because they know nothing, part, and come together again.

The divergence then has a dip, a peak, a fall and, where there is a biased phase, a rise. The dip is no onset. Where checkpoints begin or
end between these, the shape is cut; the share of the loss's drop that is covered tells what can still be told.
"""

import numpy as np

from twinsplit.measures.statistics import Array
from twinsplit.onset.curves import FEWEST_CHECKPOINTS, Curves

LEARNED = 0.8  # a turn where less of the test loss's drop is covered may be that of networks that have learned nothing
LEARNING = 0.95  # the peak that follows the dip comes while less of the drop than this is covered
CLEAR = 1.15  # a rise, and a fall after it, by less than this factor are no peak
PLAIN = 1.3  # by this factor they are one for sure, and the turn after it is not the dip, whatever the loss has still to fall


def covered(loss: Array) -> Array:
    """The share (S,) of the total drop of a mean test loss (S,) that is covered at each checkpoint, from its first to its lowest value."""
    drop = float(loss[0] - loss.min())
    return (loss[0] - loss) / drop if drop > 0 else np.zeros(len(loss))


def drop_covered_at(curves: Curves, log_step: float) -> float:
    """The share of the test loss's drop that is covered at a log step, between its checkpoints."""
    kept = curves.steps > 0
    return float(np.interp(log_step, np.log(curves.steps[kept]), covered(curves.test_loss[kept].mean((1, 2)))))


def may_be_dip(curves: Curves, log_step: float) -> bool:
    """Whether a turn at a log step may be the dip: less than LEARNED of the loss's drop is covered, and no peak was seen before it."""
    kept = (curves.steps > 0) & (np.log(np.maximum(curves.steps, 1e-9)) <= log_step)
    return drop_covered_at(curves, log_step) < LEARNED and not _peaked(curves.divergence[kept].mean((1, 2)), PLAIN)


def is_dip(curves: Curves, log_step: float) -> bool:
    """Whether such a turn looks like the dip: the loss falls faster after it than before it."""
    x = np.log(curves.steps[curves.steps > 0])
    late = (log_step - x[0]) / (x[-1] - x[0])
    return may_be_dip(curves, log_step) and drop_covered_at(curves, log_step) < late


def _peaked(divergence: Array, factor: float) -> bool:
    """Whether a curve rises by a factor and then falls by it."""
    if len(divergence) < 3:
        return False
    rise = divergence / np.maximum(np.minimum.accumulate(divergence), np.finfo(float).tiny)
    fall = divergence / np.maximum(np.minimum.accumulate(divergence[::-1])[::-1], np.finfo(float).tiny)
    return bool(((rise >= factor) & (fall >= factor)).any())


def half_covered(loss: Array) -> int:
    """First checkpoint of a mean test loss (S,) at which half of its drop is covered, with at least FEWEST_CHECKPOINTS from there on."""
    return min(int(np.argmax(covered(loss) >= 0.5)), len(loss) - FEWEST_CHECKPOINTS)


def usable_from(divergence: Array, loss: Array) -> tuple[int, int]:
    """First checkpoint to use of the mean divergence (S,) and of the mean test loss (S,): the early transient is left out.

    Twins agree before they have learned anything, and that agreement is no minimum. Each curve counts from where half of its drop is
    covered: the test loss from its first value, the divergence from its peak. Checkpoints where the divergence is within a third of its
    lowest value are kept all the same, so that nothing is left out where checkpoints start late and see no transient.
    """
    last, half = len(loss) - FEWEST_CHECKPOINTS, half_covered(loss)
    peak = min(_peak(divergence, covered(loss), half), len(divergence) - 1)
    lowest = peak + int(np.argmin(divergence[peak:]))
    high = divergence[peak:lowest] >= max((divergence[peak] + divergence[lowest]) / 2, divergence[lowest] * 4 / 3)
    return min(peak + int(np.flatnonzero(high)[-1] if high.any() else 0), last), half


def _peak(divergence: Array, share: Array, half: int) -> int:
    """The peak after the dip: the highest value at the end of the largest rise while networks learn, where a fall follows it.

    Without a dip, the highest value while the loss covers the first half of its drop.
    """
    learning = int(np.argmax(share >= LEARNING)) + 1 if (share >= LEARNING).any() else len(share)
    low = np.minimum.accumulate(divergence[:learning])
    top = int(np.argmax(divergence[:learning] / np.maximum(low, np.finfo(float).tiny)))
    rises = divergence[top] >= CLEAR * low[top]
    falls = divergence[top] >= CLEAR * divergence[top:].min()
    return top if rises and falls else int(np.argmax(divergence[: half + 1]))
