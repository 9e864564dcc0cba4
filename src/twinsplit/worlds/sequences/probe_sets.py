"""What every checkpoint of the hierarchical world is asked: fixed noised sequences and the exact posteriors on them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from twinsplit.exact.tree import TreeOracle
from twinsplit.recipes import Recipe
from twinsplit.worlds.sequences.predictions import Later, Questions
from twinsplit.worlds.sequences.probes import Probe, probe_at, probe_over_times
from twinsplit.worlds.sequences.world import HierarchicalWorld


def questions_of(world: HierarchicalWorld) -> Questions:
    """The probes of a world and the exact posteriors on them."""
    recipe, t = world.recipe, world.recipe.measured_time
    draws = recipe.measuring.noise_draws
    held_ids, held = _ids_tokens(world, world.splits.held_out)
    noise = world.root.child("measuring")
    common = (world.schedule, world.grammar.vocab_size)
    averaged = partial(_over_times(recipe), schedule=common[0], vocab_size=common[1], noise=noise.child("averaged"))
    held_fixed = probe_at(held, held_ids, t, draws, *common, noise.child("fixed"))
    held_out = averaged(held, held_ids, draws=draws)
    repeats = training_draws(recipe)
    own = [_ids_tokens(world, rows[: recipe.data.held_out]) for rows in world.splits.rows]
    splits = tuple(averaged(tokens, ids, draws=repeats) for ids, tokens in own)
    splits_fixed = tuple(probe_at(tokens, ids, t, repeats, *common, noise.child("fixed")) for ids, tokens in own)
    t_later, noise_later = recipe.decomposed_time, noise.child("later")
    held_later = probe_at(held, held_ids, t_later, draws, *common, noise_later)
    splits_later = tuple(probe_at(tokens, ids, t_later, repeats, *common, noise_later) for ids, tokens in own)
    return Questions(
        held_fixed,
        held_out,
        splits_fixed,
        splits,
        tuple(_posterior(world.oracle(k), held_fixed) for k in range(world.grammar.depth + 1)),
        _posterior(world.oracle(), held_out),
        tuple(_posterior(world.oracle(), probe) for probe in splits),
        tuple(_posterior(world.oracle(), probe) for probe in splits_fixed),
        tuple(tuple(_posterior(world.oracle(k), probe) for k in range(world.grammar.depth + 1)) for probe in splits_fixed),
        Later(held_later, splits_later, *_exact_later(world, held_later, splits_later)),
        world.data.factorised,
    )


def _over_times(recipe: Recipe) -> Callable[..., Probe]:
    """What losses are judged on: each sample at a time of its own, or all at the only one that fixed-time training knows."""
    return probe_over_times if recipe.only_time is None else partial(probe_at, t=recipe.only_time)


def training_draws(recipe: Recipe) -> int:
    """Noised copies of each training sequence: as many as of a held-out one, as published; of small splits more, so that all of them
    together weigh about as much as the held-out set.
    """
    data, draws = recipe.data, recipe.measuring.noise_draws
    return max(draws, data.held_out * draws // (data.splits * data.split_size))


def _ids_tokens(world: HierarchicalWorld, rows: "np.typing.NDArray[np.int64]") -> tuple[Tensor, Tensor]:
    return torch.from_numpy(rows), torch.from_numpy(world.data.sequences[rows].astype(np.int64))


def _exact_later(world: HierarchicalWorld, held_out: Probe, splits: tuple[Probe, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    return _posterior(world.oracle(), held_out), tuple(_posterior(world.oracle(), probe) for probe in splits)


def _posterior(oracle: TreeOracle, probe: Probe) -> Tensor:
    return oracle(probe.x_t.double(), probe.t).log_probs.float()
