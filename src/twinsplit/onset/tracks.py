"""A run's divergence and test loss as curves for the estimator, and from which checkpoint each of them counts."""

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.curves import Curves
from twinsplit.onset.estimator import Track
from twinsplit.onset.transient import usable_from

DIVERGENCE, LOSS = "sample-split divergence", "test loss"


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
