"""Samples of every member, and how near they come to its own training sequences.

All members and checkpoints start from the same x_T and meet the same step noise ([BG] fig. 4a); the held-out sequences give the
distances that fresh data have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.sampler import Ancestral, strided_times
from twinsplit.experiments.hierarchical.world import HierarchicalWorld
from twinsplit.experiments.measuring import as_table
from twinsplit.experiments.world import Measured, Rows
from twinsplit.measures.neighbours import nearest_hamming
from twinsplit.noise import Noise
from twinsplit.store import Run
from twinsplit.training.ensemble import NetworkDenoiser
from twinsplit.workers import Crew

NAME = "nearest_neighbours"
CHUNK = 512


@final
@dataclass(frozen=True, eq=False)
class Generation:
    """How samples are drawn: the sampler, their number, shape (L, q), noise, and the precision of the network's arithmetic."""

    sampler: Ancestral
    count: int
    shape: tuple[int, int]
    noise: Noise
    precision: str = "float32"

    @classmethod
    def of(cls, world: HierarchicalWorld) -> "Generation":
        """As the recipe says."""
        measuring = world.recipe.measuring
        times = strided_times(world.schedule.T, min(measuring.sampling_steps, world.schedule.T))
        shape = (world.grammar.length, world.grammar.vocab_size)
        precision = world.recipe.training.precision
        return cls(Ancestral(world.schedule, times), measuring.generated, shape, world.root.child("generation"), precision)


def generate(generation: Generation, denoiser: NetworkDenoiser) -> Tensor:
    """(count, L) int8 tokens of one member, on the CPU whatever the member's device, the same whatever the chunk."""
    parts, denoiser = [], denoiser.computing(generation.precision)
    for ids in torch.split(torch.arange(generation.count, device=denoiser.device), CHUNK):
        x_T = generation.noise.child("x_T").normal(0, ids, generation.shape, torch.float32)
        x_0 = generation.sampler(denoiser, x_T, generation.noise.child("steps"), sample_ids=ids)
        parts.append(x_0.argmax(-1).to(torch.int8).cpu())
    return torch.cat(parts)


def measure_neighbours(run: Run, world: HierarchicalWorld, steps: tuple[int, ...], crew: Crew) -> Iterator[Measured]:
    """Nearest-neighbour distances at the given checkpoints, those that are not on disk yet."""
    splits = world.split_samples().to(torch.int8)
    fresh = held_out_rows(world, splits)
    for step in (s for s in steps if s not in run.measured(NAME)):
        ensemble = world.load(run, step, crew.device)
        tasks = [(ensemble.member(k), splits[member.split]) for k, member in enumerate(ensemble.members)]
        distances = crew.map(partial(_distances, Generation.of(world)), tasks)
        rows = [
            {"member": k, "split": member.split, "seed": member.seed, "source": "generated", "values": found}
            for k, (member, found) in enumerate(zip(ensemble.members, distances, strict=True))
        ]
        run.write_table(NAME, step, as_table(step, rows + fresh))
        yield Measured(step, (NAME,))


def held_out_rows(world: HierarchicalWorld, splits: Tensor) -> Rows:
    """A row per split: distances of the held-out sequences to it (member -1: no network made them)."""
    held_out = torch.from_numpy(world.held_out())
    return [
        {"member": -1, "split": i, "seed": -1, "source": "held_out", "values": nearest_hamming(held_out, split)[0].float().numpy()}
        for i, split in enumerate(splits)
    ]


def _distances(generation: Generation, task: tuple[NetworkDenoiser, Tensor]) -> object:
    denoiser, training = task
    return nearest_hamming(generate(generation, denoiser), training)[0].float().numpy()
