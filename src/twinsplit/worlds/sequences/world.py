"""The hierarchical world: grammar, sequences, splits, schedule and network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.sequences import SequenceData, load_sequences
from twinsplit.data.splits.disjoint import Splits, disjoint_splits, published_splits
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Executor
from twinsplit.networks.parametrisation import TokenLogits
from twinsplit.networks.transformer import Transformer
from twinsplit.recipes import Data, Recipe
from twinsplit.runs.files import fingerprint
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Evaluator, Measured
from twinsplit.worlds.sequences.generation import Generation, measure_neighbours
from twinsplit.worlds.sequences.predictions import MEASURES, STANDARD, SequenceEvaluator
from twinsplit.worlds.sequences.probe_sets import SequenceProbes
from twinsplit.worlds.world import World, schedule_of


@final
@dataclass(frozen=True, eq=False)
class HierarchicalWorld(World):
    """Everything a run learns from and is judged by."""

    recipe: Recipe
    data: SequenceData
    splits: Splits
    schedule: Schedule
    network: Transformer

    @classmethod
    def of(cls, recipe: Recipe) -> "HierarchicalWorld":
        """Build it; InputError where the recipe's sizes do not fit the data."""
        data = sequences_of(recipe.data, recipe.seed)
        splits = splits_of(recipe.data, data)
        net = recipe.network
        network = Transformer(data.grammar.vocab_size, data.grammar.length, net.width, net.layers, net.heads, net.feedforward, net.dropout)
        return cls(recipe, data, splits, schedule_of(recipe.diffusion), network)

    @property
    def grammar(self) -> TreeGrammar:
        """The rules the sequences were drawn from."""
        return self.data.grammar

    def oracle(self, truncation: int | None = None) -> TreeOracle:
        """BP_k for k = truncation; without one, the exact denoiser of the data: k is their level."""
        return TreeOracle(self.grammar, self.schedule, self.data.factorised if truncation is None else truncation)

    @property
    def parametrisation(self) -> TokenLogits:
        return TokenLogits(self.grammar.vocab_size, self.schedule)

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(MEASURES)

    @property
    def standard(self) -> tuple[str, ...]:
        return STANDARD

    @property
    def sampled(self) -> str:
        return "nearest_neighbours"

    def evaluator(self) -> Evaluator:
        return SequenceEvaluator(self.probes())

    def probes(self) -> SequenceProbes:
        """What every checkpoint is asked; posteriors are computed when a measure needs them."""
        return SequenceProbes.of(self.recipe, self.oracle(), self.data.sequences, self.splits)

    def generation(self) -> Generation:
        """How samples are drawn."""
        return Generation.of(self.recipe, self.schedule, (self.grammar.length, self.grammar.vocab_size))

    def sample_stage(self, run: Run[Any], steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
        return measure_neighbours(run, self, self.generation(), steps, executor)

    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        """(splits, n, L) int64."""
        return torch.from_numpy(self.data.sequences[self.splits.rows].astype(np.int64)).to(device)

    def held_out_samples(self) -> Tensor:
        """(m, L) int64, disjoint by content from every split."""
        return torch.from_numpy(self.data.sequences[self.splits.held_out].astype(np.int64))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (self.grammar.length,)

    def describe(self) -> dict[str, Any]:
        """data.json: where the sequences come from, their fingerprint, the rows of each split."""
        rows = {"splits": self.splits.rows.tolist(), "held_out": self.splits.held_out.tolist()}
        return self.data.describe() | {"rows": rows, "rows_sha256": fingerprint(repr(rows).encode())}


def sequences_of(data: Data, seed: int) -> SequenceData:
    """The prepared folder `data.path`, or `data.samples` sequences drawn from the recipe's grammar."""
    if data.path:
        return _of_level(load_sequences(Path(data.path)), data)
    grammar = TreeGrammar.random(data.vocab_size, data.depth, data.rules_per_symbol, data.sigma, data.grammar_seed)
    return SequenceData.drawn(grammar, data.samples, seed, data.factorised, {"grammar_seed": data.grammar_seed})


def _of_level(found: SequenceData, data: Data) -> SequenceData:
    """A folder says itself of which level it is; a recipe that asks for another one is refused."""
    if data.factorised not in (0, found.factorised):
        raise InputError(
            f"data.factorised = {data.factorised}, but the sequences of {data.path} are of level {found.factorised}",
            "leave the key out, or draw others with `twinsplit data grammar --factorised`",
        )
    return found


def splits_of(data: Data, source: SequenceData) -> Splits:
    """Disjoint by content; for imported networks the rows that they were trained on."""
    if data.published_splits:
        return published_splits(source.sequences, data.published_splits, data.split_size, data.held_out)
    return disjoint_splits(source.sequences, data.splits, data.split_size, data.held_out, data.apart)
