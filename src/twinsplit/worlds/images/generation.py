"""Images drawn by every member from the same x_T and the same step noise ([BG] fig. 1a), and how near they come to its training images.

At each checkpoint: `sample_similarity`, a row per ordered pair of members; `memorization`, rows per member with the distance of every
sample to its nearest training image and the gap ratio, and the same of the held-out images; and the samples themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.series import Twins
from twinsplit.execution.local import Executor
from twinsplit.measures.divergence import ordered_pairs
from twinsplit.measures.memorization import gap_ratio_of
from twinsplit.measures.similarity import blockwise_nearest, cosine_similarity
from twinsplit.networks.parametrisation import Draw, Drawn, Sampling
from twinsplit.noise.reference import Noise
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.judging import SAMPLES, levels
from twinsplit.worlds.images.pictured import PicturedWorld
from twinsplit.worlds.parts import draw_parts, names_in_parts

SIMILARITY, MEMORIZATION = "sample_similarity", "memorization"
NAMES = (MEMORIZATION, SIMILARITY)  # the one that says the stage is done stands last
CHUNK = 128


@final
@dataclass(frozen=True, eq=False)
class Drawing:
    """How images are drawn, and how many; every member meets the same noise. shape: (C, H, W)."""

    draw: Draw
    count: int
    shape: tuple[int, ...]
    noise: Noise

    def __call__(self, denoiser: Denoiser[Any]) -> Drawn:
        """All `count` of them, on the CPU whatever the member's device, the same whatever the chunk."""
        return joined([self.on_cpu(denoiser, ids) for ids in names_in_parts(self.count, CHUNK, denoiser.device)])

    def on_cpu(self, denoiser: Denoiser[Any], ids: Tensor) -> Drawn:
        """The samples with these names (n,), brought to the CPU."""
        drawn = self.draw(denoiser, self.shape, self.noise, ids)
        return Drawn(drawn.samples.cpu(), drawn.finished.cpu())


def joined(parts: list[Drawn]) -> Drawn:
    """Parts of one member's samples as one."""
    return Drawn(torch.cat([part.samples for part in parts]), torch.cat([part.finished for part in parts]))


def drawing_of(world: PicturedWorld) -> Drawing:
    """As the recipe says; a reverse process has at most T steps."""
    options, shape = world.recipe.measuring, tuple(world.image_set.pixels.shape[1:])
    sampling = Sampling(options.sampling_steps, options.sampler, options.step_size, options.injected, options.sigma_end)
    return Drawing(world.parametrisation.sampler(sampling), options.generated, shape, world.root.child("generation"))


def measure_samples(run: Run[Any], world: PicturedWorld, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """Samples at the given checkpoints and what is measured on them, where it is not on disk yet."""
    todo = [step for step in steps if step not in run.measured(SIMILARITY)]
    if not todo:
        return
    training = [own.apply(images) for own, images in zip(world.normalisations, world.pictures[0], strict=True)]
    fresh = _held_out_rows(world, training)
    for step in todo:
        ensemble = world.load(run, step, executor.device)
        drawn = _drawn(drawing_of(world), ensemble, training, executor)
        _store(run, step, world, ensemble, drawn)
        near = [row for k, (_, nearest) in enumerate(drawn) for row in _near_rows(_name(ensemble, k), "generated", nearest)]
        run.write_table(MEMORIZATION, step, as_table(step, near + fresh))
        run.write_table(SIMILARITY, step, as_table(step, _similarity_rows(ensemble, [samples.samples for samples, _ in drawn])))
        yield Measured(step, NAMES)


Nearest = tuple[Tensor, Tensor]


def _drawn(drawing: Drawing, ensemble: Twins, training: list[Tensor], executor: Executor) -> list[tuple[Drawn, Nearest]]:
    """Each member's g samples; distances (g, 2) and rows (g, 2) of their nearest two images among its own."""
    samples = [joined(parts) for parts in draw_parts(drawing.on_cpu, ensemble.denoisers(), drawing.count, CHUNK, executor)]
    near = executor.map(_nearest_of, [(own.samples, training[member.split]) for own, member in zip(samples, ensemble.members, strict=True)])
    return list(zip(samples, near, strict=True))


def _nearest_of(task: tuple[Tensor, Tensor]) -> Nearest:
    return _nearest(*task)


def _nearest(images: Tensor, training: Tensor) -> Nearest:
    distances, rows = blockwise_nearest(images, training, 2)
    return torch.as_tensor(distances), torch.as_tensor(rows)


def _name(ensemble: Twins, k: int, suffix: str = "") -> dict[str, int]:
    member = ensemble.members[k]
    return {f"member{suffix}": k, f"split{suffix}": member.split, f"seed{suffix}": member.seed}


def _near_rows(name: dict[str, int], source: str, nearest: Nearest) -> Rows:
    """Euclidean distance to the nearest training image (of normalised images), its ratio to the next, and which image it is."""
    distances, rows = nearest
    found = (("distance", distances[:, 0]), ("gap_ratio", gap_ratio_of(distances)), ("row", rows[:, 0]))
    return [name | {"source": source, "quantity": quantity, "values": values.float().numpy()} for quantity, values in found]


def _held_out_rows(world: PicturedWorld, training: list[Tensor]) -> Rows:
    """The same of the held-out images, for every split (member -1: no network made them)."""
    held_out, rows = world.pictures[1], []
    for split, (own, images) in enumerate(zip(world.normalisations, training, strict=True)):
        name = {"member": -1, "split": split, "seed": -1}
        rows += _near_rows(name, "held_out", _nearest(own.apply(held_out), images))
    return rows


def _similarity_rows(ensemble: Twins, samples: list[Tensor]) -> Rows:
    """Cosine similarity of what two members draw from the same noise, each as it knows images (centred by its own split)."""
    return [
        _name(ensemble, a, "_a") | _name(ensemble, b, "_b") | {"values": cosine_similarity(samples[a], samples[b]).float().numpy()}
        for a, b in ordered_pairs(len(samples))
    ]


def _store(run: Run[Any], step: int, world: PicturedWorld, ensemble: Twins, drawn: list[tuple[Drawn, Nearest]]) -> None:
    """The samples and their nearest training images, as levels 0 to 255, clipped; and which samples were drawn to their end."""
    made, near = [], []
    for member, (samples, (_, rows)) in zip(ensemble.members, drawn, strict=True):
        made.append(world.normalisations[member.split].invert(samples.samples))
        near.append(world.pictures[0][member.split][rows[:, 0]])
    finished = torch.stack([samples.finished for samples, _ in drawn])
    images = {"images": levels(torch.stack(made)), "nearest": levels(torch.stack(near))}
    run.write_tensors(SAMPLES, step, images | {"finished": finished})
