"""Samples of every member, and how near they come to its own training sequences.

All members and checkpoints start from the same x_T and meet the same step noise ([BG] fig. 4a); the held-out sequences give the
distances that fresh data have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.sampler import Ancestral, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.execution.local import Executor
from twinsplit.measures.neighbours import nearest_hamming
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Recipe
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.parts import draw_parts, names_in_parts
from twinsplit.worlds.world import World

NAME = "nearest_neighbours"
TOKENS_AT_ONCE = 2048  # by a worker on the CPU: few, so that no worker waits long for the last one
TOKENS_ON_DEVICE = 16_384  # many, or an accelerator would wait for the program


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
    def of(cls, recipe: Recipe, schedule: Schedule, shape: tuple[int, int]) -> "Generation":
        """As the recipe says, for states of this shape (L, q)."""
        measuring = recipe.measuring
        times = strided_times(schedule.T, min(measuring.sampling_steps, schedule.T))
        noise = Noise(recipe.seed).child("generation")
        return cls(Ancestral(schedule, times), measuring.generated, shape, noise, recipe.training.precision)

    def at_once(self, device: torch.device) -> int:
        """Samples that are drawn together; the same samples, however many."""
        return max(1, (TOKENS_AT_ONCE if device.type == "cpu" else TOKENS_ON_DEVICE) // self.shape[0])

    def part(self, denoiser: Denoiser[Any], ids: Tensor) -> Tensor:
        """(n, L) int8 tokens of the samples with these names (n,), on the CPU whatever the member's device."""
        x_T = self.noise.child("x_T").normal(0, ids, self.shape, torch.float32)
        x_0 = self.sampler(denoiser.computing(self.precision), x_T, self.noise.child("steps"), sample_ids=ids)
        return x_0.argmax(-1).to(torch.int8).cpu()


def generate(generation: Generation, denoiser: Denoiser[Any]) -> Tensor:
    """(count, L) int8 tokens of one member."""
    names = names_in_parts(generation.count, generation.at_once(denoiser.device), denoiser.device)
    return torch.cat([generation.part(denoiser, ids) for ids in names])


def generate_all(generation: Generation, denoisers: Sequence[Denoiser[Any]], executor: Executor) -> list[Tensor]:
    """The same of each member, drawn side by side."""
    at_once = generation.at_once(torch.device(executor.device))
    return [torch.cat(parts) for parts in draw_parts(generation.part, denoisers, generation.count, at_once, executor)]


def measure_neighbours(run: Run, world: World, generation: Generation, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """Nearest-neighbour distances at the given checkpoints, those that are not on disk yet."""
    splits = world.split_samples().to(torch.int8)
    fresh = held_out_rows(world.held_out_samples().to(torch.int8), splits)
    for step in (s for s in steps if s not in run.measured(NAME)):
        ensemble = world.load(run, step, executor.device)
        samples = generate_all(generation, ensemble.denoisers(), executor)
        distances = executor.map(
            _distances, [(drawn, splits[member.split]) for drawn, member in zip(samples, ensemble.members, strict=True)]
        )
        rows = [
            {"member": k, "split": member.split, "seed": member.seed, "source": "generated", "values": found}
            for k, (member, found) in enumerate(zip(ensemble.members, distances, strict=True))
        ]
        run.write_table(NAME, step, as_table(step, rows + fresh))
        yield Measured(step, (NAME,))


def held_out_rows(held_out: Tensor, splits: Tensor) -> Rows:
    """A row per split: distances of the held-out sequences to it (member -1: no network made them)."""
    return [
        {"member": -1, "split": i, "seed": -1, "source": "held_out", "values": nearest_hamming(held_out, split)[0].float().numpy()}
        for i, split in enumerate(splits)
    ]


def _distances(task: tuple[Tensor, Tensor]) -> object:
    generated, training = task
    return nearest_hamming(generated, training)[0].float().numpy()
