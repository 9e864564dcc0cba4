"""What every checkpoint of the hierarchical world is asked: fixed noised sequences and the exact posteriors on them.

A posterior is computed when a measure first needs it (`prepare`), and then travels to the workers
with the probes: most measures need two of the many that there are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.data.splits.disjoint import Splits
from twinsplit.exact.tree import TreeOracle
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Recipe
from twinsplit.worlds.sequences.probes import Probe, probe_at, probe_over_times

NEEDS: dict[str, tuple[str, ...]] = {
    "sample_split_divergence": ("held_out_fixed",),
    "oracle_divergence": ("held_out_fixed", "oracles"),
    "test_loss": ("held_out",),
    "train_loss": ("splits",),
    "fixed_time_loss": ("held_out_fixed",),
    "loss_decomposition": ("exact_held_out", "exact_splits", "exact_held_out_fixed", "exact_splits_fixed"),
    "fixed_time_decomposition": ("held_out_later", "splits_later", "exact_held_out_later", "exact_splits_later"),
    "train_split_divergence": ("splits_fixed",),
    "train_oracle_divergence": ("splits_fixed", "oracles_splits"),
}
"""Measure -> the probes and posteriors that it reads."""


@final
@dataclass(frozen=True, eq=False)
class Tokens:
    """Clean sequences: ids (n,) int64, which key their noise, and tokens (n, L) int64."""

    ids: Tensor
    tokens: Tensor

    @classmethod
    def of(cls, sequences: NDArray[np.int8], rows: NDArray[np.int64]) -> "Tokens":
        """These rows of all sequences (N, L)."""
        return cls(torch.from_numpy(rows), torch.from_numpy(sequences[rows].astype(np.int64)))


@final
@dataclass(frozen=True, eq=False)
class SequenceProbes:
    """Held-out sequences and those of every split at the fixed time, over all times, and at the time of the decomposition.

    exact_*: log posteriors (n, L, q) float32 of BP_k with k = level, that of the data; oracles: the same of every BP_k.
    """

    recipe: Recipe
    oracle: TreeOracle
    clean_held_out: Tokens
    clean_splits: tuple[Tokens, ...]
    noise: Noise

    @classmethod
    def of(cls, recipe: Recipe, oracle: TreeOracle, sequences: NDArray[np.int8], splits: Splits) -> "SequenceProbes":
        """The probes of a run; nothing is computed yet. oracle: the exact denoiser of the data."""
        own = tuple(Tokens.of(sequences, rows[: recipe.data.held_out]) for rows in splits.rows)
        return cls(recipe, oracle, Tokens.of(sequences, splits.held_out), own, Noise(recipe.seed).child("measuring"))

    def prepare(self, measures: Iterable[str]) -> "SequenceProbes":
        """Compute what these measures read, once."""
        for name in measures:
            for part in NEEDS.get(name, ()):
                getattr(self, part)
        return self

    @property
    def level(self) -> int:
        """The k whose BP_k is the exact posterior of the data."""
        return self.oracle.truncation

    @cached_property
    def held_out_fixed(self) -> Probe:
        """Held-out sequences at the fixed time."""
        return self._at(self.clean_held_out, self.recipe.measured_time, self.recipe.measuring.noise_draws, "fixed")

    @cached_property
    def held_out(self) -> Probe:
        """Held-out sequences over all times."""
        return self._over_times(self.clean_held_out, self.recipe.measuring.noise_draws)

    @cached_property
    def splits_fixed(self) -> tuple[Probe, ...]:
        """Sequences of every split at the fixed time."""
        draws = training_draws(self.recipe)
        return tuple(self._at(own, self.recipe.measured_time, draws, "fixed") for own in self.clean_splits)

    @cached_property
    def splits(self) -> tuple[Probe, ...]:
        """Sequences of every split over all times."""
        return tuple(self._over_times(own, training_draws(self.recipe)) for own in self.clean_splits)

    @cached_property
    def held_out_later(self) -> Probe:
        """Held-out sequences at the time of the decomposition."""
        return self._at(self.clean_held_out, self.recipe.decomposed_time, self.recipe.measuring.noise_draws, "later")

    @cached_property
    def splits_later(self) -> tuple[Probe, ...]:
        """Sequences of every split at the time of the decomposition."""
        draws = training_draws(self.recipe)
        return tuple(self._at(own, self.recipe.decomposed_time, draws, "later") for own in self.clean_splits)

    @cached_property
    def oracles(self) -> tuple[Tensor, ...]:
        """Log posteriors of BP_k for k = 0..depth on `held_out_fixed`."""
        ks = range(self.oracle.grammar.depth + 1)
        return tuple(self.exact_held_out_fixed if k == self.level else self._posterior(self.held_out_fixed, k) for k in ks)

    @cached_property
    def oracles_splits(self) -> tuple[tuple[Tensor, ...], ...]:
        """Of every split, the same on its probe in `splits_fixed`."""
        return tuple(tuple(self._posterior(probe, k) for k in range(self.oracle.grammar.depth + 1)) for probe in self.splits_fixed)

    @cached_property
    def exact_held_out_fixed(self) -> Tensor:
        """On `held_out_fixed`."""
        return self._posterior(self.held_out_fixed)

    @cached_property
    def exact_held_out(self) -> Tensor:
        """On `held_out`."""
        return self._posterior(self.held_out)

    @cached_property
    def exact_splits(self) -> tuple[Tensor, ...]:
        """On `splits`."""
        return tuple(map(self._posterior, self.splits))

    @cached_property
    def exact_splits_fixed(self) -> tuple[Tensor, ...]:
        """On `splits_fixed`."""
        return tuple(map(self._posterior, self.splits_fixed))

    @cached_property
    def exact_held_out_later(self) -> Tensor:
        """On `held_out_later`."""
        return self._posterior(self.held_out_later)

    @cached_property
    def exact_splits_later(self) -> tuple[Tensor, ...]:
        """On `splits_later`."""
        return tuple(map(self._posterior, self.splits_later))

    def _posterior(self, probe: Probe, k: int | None = None) -> Tensor:
        oracle = self.oracle if k is None else TreeOracle(self.oracle.grammar, self.oracle.schedule, k)
        return oracle(probe.x_t.double(), probe.t).log_probs.float()

    def _at(self, clean: Tokens, t: int, draws: int, stream: str) -> Probe:
        return probe_at(clean.tokens, clean.ids, t, draws, *self._common, self.noise.child(stream))

    def _over_times(self, clean: Tokens, draws: int) -> Probe:
        """Each sequence at a time of its own, or all at the only one that fixed-time training knows."""
        only = self.recipe.only_time
        ask: Callable[..., Probe] = probe_over_times if only is None else partial(probe_at, t=only)
        schedule, vocab_size = self._common
        noise = self.noise.child("averaged")
        return ask(clean.tokens, clean.ids, draws=draws, schedule=schedule, vocab_size=vocab_size, noise=noise)

    @property
    def _common(self) -> tuple[Any, int]:
        return self.oracle.schedule, self.oracle.grammar.vocab_size


def training_draws(recipe: Recipe) -> int:
    """Noised copies of each training sequence: as many as of a held-out one, as published; of small splits more, so that all of them
    together weigh about as much as the held-out set.
    """
    data, draws = recipe.data, recipe.measuring.noise_draws
    return max(draws, data.held_out * draws // (data.splits * data.split_size))
