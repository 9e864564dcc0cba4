"""A run's divergence and test loss as curves for the estimator, and from which checkpoint each of them counts."""

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.curves import FEWEST_CHECKPOINTS, Curves
from twinsplit.onset.estimator import Track

DIVERGENCE, LOSS = "sample-split divergence", "test loss"


def usable_from(divergence: Array, loss: Array) -> tuple[int, int]:
    """First checkpoint to use of the mean divergence (S,) and of the mean test loss (S,): the early transient is left out.

    Twins agree before they have learned anything, and that agreement is no minimum. Each curve counts from where half of its drop is
    covered: the test loss from its first value, the divergence from its peak, the highest value while the loss covers its own half.
    Checkpoints where the divergence is within a third of its lowest value are kept all the same, so that nothing is left out where
    checkpoints start late and see no transient.
    """
    last, half = len(loss) - FEWEST_CHECKPOINTS, half_covered(loss)
    peak = int(np.argmax(divergence[: half + 1]))
    lowest = peak + int(np.argmin(divergence[peak:]))
    high = divergence[peak:lowest] >= max((divergence[peak] + divergence[lowest]) / 2, divergence[lowest] * 4 / 3)
    return min(peak + int(np.flatnonzero(high)[-1] if high.any() else 0), last), half


def half_covered(loss: Array) -> int:
    """First checkpoint of a mean test loss (S,) at which half of its drop is covered, with at least FEWEST_CHECKPOINTS from there on."""
    return min(int(np.argmax(loss <= (loss[0] + loss.min()) / 2)), len(loss) - FEWEST_CHECKPOINTS)


def tracks_of(c: Curves) -> tuple[Track, Track]:
    """Log-divergence and test loss of a run, each from its first usable checkpoint, with what moves them: networks and sequences."""
    kept = c.steps > 0  # step 0 has no logarithm, and nothing was learned
    x, D, L = np.log(c.steps[kept]), c.divergence[kept], c.test_loss[kept]
    d, e = usable_from(D.mean((1, 2)), L.mean((1, 2)))
    D, L = D[d:], L[e:]
    if (D.mean((1, 2)) <= 0).any():
        raise InputError("the divergence between twins is 0 after they have learned", "check that they were trained on different splits")
    units = st.pair_units(c.pairs, c.splits)
    sources = {"sequences": _sequence_root(D, L)}
    if units is not None:
        sources["networks"] = _member_root(D, L, c.pairs, units)
    of_divergence = {name: root[:, : len(D)] for name, root in sources.items()}
    of_loss = {name: root[:, len(D) :] for name, root in sources.items()}
    return (
        Track(DIVERGENCE, x[d:], np.log(D.mean((1, 2))), of_divergence, falls_first=True, own=units is None),
        Track(LOSS, x[e:], L.mean((1, 2)), of_loss, own=units is None),
    )


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
