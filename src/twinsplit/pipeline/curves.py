"""From stored measurements to the curves that decide, and to the share of the disagreement that the data explain."""

import dataclasses
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.statistics import data_share
from twinsplit.onset.decision import Curves
from twinsplit.runs.rows import values
from twinsplit.runs.store import Run

Floats = NDArray[np.float64]
DECIDING = ("sample_split_divergence", "test_loss")


@final
@dataclass(frozen=True, eq=False)
class PairTable:
    """The measured divergences. rows: (rows, n) replicates; index: (step, a, b) -> row of KL(a || b)."""

    rows: Floats
    index: dict[tuple[int, int, int], int]
    draws: int

    @classmethod
    def read(cls, run: Run[Any]) -> "PairTable":
        """All steps."""
        table = run.table("sample_split_divergence")
        names = zip(*(table.column(name).to_pylist() for name in ("step", "member_a", "member_b")), strict=True)
        return cls(values(table), {name: i for i, name in enumerate(names)}, run.recipe.measuring.noise_draws)

    def pairs(self, run: Run[Any], same_split: bool) -> list[tuple[int, int]]:
        """Unordered pairs of members, on one split or on two."""
        split = [split for split, _ in run.recipe.members]
        return sorted({(a, b) for _, a, b in self.index if a < b and (split[a] == split[b]) == same_split})

    def symmetrised(self, steps: list[int], pairs: list[tuple[int, int]]) -> Floats:
        """(S, P, N) mean of both directions, averaged over the noise draws of each sequence."""
        means = [[(self.rows[self.index[s, a, b]] + self.rows[self.index[s, b, a]]) / 2 for a, b in pairs] for s in steps]
        return per_sequence(np.array(means), self.draws)


def per_sequence(rows: Floats, draws: int) -> Floats:
    """(..., N) from (..., draws * N): the sequence is the replicate, its noise draws are averaged."""
    averaged: Floats = rows.reshape(*rows.shape[:-1], draws, -1).mean(-2)
    return averaged


def curves_of(run: Run[Any]) -> Curves:
    """The curves of a run at the steps where both are measured; pairs are of members on different splits."""
    table = PairTable.read(run)
    loss = run.table("test_loss")
    steps = sorted(_measured(run))
    kept = np.isin(loss.column("step").to_numpy(), steps)
    pairs = table.pairs(run, same_split=False)
    return Curves(
        steps=np.array(steps, dtype=np.float64),
        divergence=table.symmetrised(steps, pairs),
        pairs=np.array(pairs),
        test_loss=per_sequence(values(loss)[kept], table.draws).reshape(len(steps), len(run.recipe.members), -1),
        splits=np.array([split for split, _ in run.recipe.members]),
    )


def _measured(run: Run[Any]) -> set[int]:
    return set.intersection(*(set(run.measured(name)) for name in DECIDING))


def unmeasured(run: Run[Any]) -> tuple[int, ...]:
    """The checkpoints that there are and that `curves_of` would leave out."""
    return tuple(step for step in run.steps() if step not in _measured(run))


def data_shares(run: Run[Any]) -> list[dict[str, Any]]:
    """With two seeds per split, at each step: the part of the disagreement due to the data and not to the seed; else empty."""
    if run.recipe.training.seeds_per_split < 2:
        return []
    table, splits = PairTable.read(run), [split for split, _ in run.recipe.members]
    between, within = table.pairs(run, same_split=False), table.pairs(run, same_split=True)
    found = []
    for step in run.measured("sample_split_divergence"):
        means = (table.symmetrised([step], pairs)[0].mean(-1) for pairs in (between, within))
        d_between, d_within = means
        share = data_share(d_between, np.array(between), d_within, np.array(within), splits)
        found.append({"step": step} | dataclasses.asdict(share))
    return found
