"""What is measured along training, checked once so that nothing downstream has to."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures.statistics import Array, Index, as_pairs
from twinsplit.onset.tables import read_table

FEWEST_CHECKPOINTS = 6


@dataclass(frozen=True, eq=False)
class Curves:
    """What was measured along training.

    steps (S,) optimizer steps, increasing, S >= 6 of them above 0; divergence (S, P, N) in nats, of the pairs (P, 2) of members on
    different splits; test_loss (S, K, N) in nats. All on the same N sequences. splits (K,): the split of each member, when several
    members (seeds) share one; by default every member has its own. N = 1 is the mean over examples, as trackers export it: intervals
    then count the networks only. Raises InputError for anything else.
    """

    steps: Array
    divergence: Array
    pairs: Index
    test_loss: Array
    splits: Index | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "divergence", "test_loss"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "pairs", as_pairs(self.pairs))
        if self.splits is not None:
            object.__setattr__(self, "splits", np.unique(np.asarray(self.splits), return_inverse=True)[1])
        _check_steps(self.steps)
        _check_shapes(self)
        _check_values(self)

    @classmethod
    def from_table(cls, table: Any) -> "Curves":
        """Read curves of one's own from a long table, a pandas DataFrame or a pyarrow Table, with one row per value.

        Columns: step; kind ("divergence" or "test_loss"); value in nats; network, for a test loss; pair (such as "0-1") or network_a
        and network_b, for a divergence; optional: example, split. Raises InputError for missing columns, gaps and NaN.

            curves = ts.Curves.from_table(pandas.read_csv("curves.csv"))
        """
        found = read_table(table)
        return cls(found.steps, found.divergence, found.pairs, found.test_loss, found.splits)

    def until(self, step: float) -> "Curves":
        """The checkpoints up to a step; the same object where that is all of them."""
        kept = self.steps <= step
        if kept.all():
            return self
        return replace(self, steps=self.steps[kept], divergence=self.divergence[kept], test_loss=self.test_loss[kept])

    @property
    def members(self) -> int:
        """K."""
        return len(self.test_loss[0])

    @property
    def sequences(self) -> int:
        """N."""
        return len(self.test_loss[0, 0])


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
    if N < 1:
        raise InputError("there are no held-out sequences", "measure some, better 1,000, or give one mean over them")
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
