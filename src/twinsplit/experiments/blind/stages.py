"""What is measured on blind networks at one checkpoint: PSNR, the bases they denoise in, and what the eye would call nearest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.experiments.images.world import ImageWorld
from twinsplit.experiments.measuring import as_table
from twinsplit.experiments.world import Measured, Rows
from twinsplit.measures.jacobian import exact_basis
from twinsplit.measures.perceptual import COUNT, Distance, Lpips, nearest_by_correlation, perceptual_distances, spearman, ssim_distance
from twinsplit.measures.psnr import denoising_psnr
from twinsplit.report.pictures import Samples
from twinsplit.store import Run
from twinsplit.workers import Crew

PSNR, SPECTRUM, PERCEPTUAL = "psnr", "jacobian_spectrum", "perceptual"
LEVELS = tuple(float(v) for v in np.geomspace(2, 250, 15) / 255)  # sigma of [GAHB]'s curves, of white = 1
SHOWN, ANALYSED = 8, 4  # images shown, and images at which the Jacobian is taken
NOISY = 50 / 255


@final
@dataclass(frozen=True, eq=False)
class Sets:
    """The images a network is judged on: its own, and held-out ones; with their names for the noise."""

    train: Tensor
    train_ids: Tensor
    test: Tensor
    test_ids: Tensor


def sets_of(world: ImageWorld, split: int) -> Sets:
    """As many of each as the recipe says."""
    own, held_out = world.pictures
    kept = world.recipe.measuring.train_images
    rows = torch.from_numpy(world.splits.rows[split])
    return Sets(own[split][:kept], rows[:kept], held_out, torch.from_numpy(world.splits.held_out))


def blind_members(run: Run[Any], world: ImageWorld, step: int, device: str = "cpu") -> list[tuple[dict[str, int], Blind, int]]:
    """Name, denoiser and split of every network."""
    ensemble = world.load(run, step, device)
    found = []
    for k, member in enumerate(ensemble.members):
        denoiser = ensemble.member(k)
        assert isinstance(denoiser, Blind)
        found.append(({"member": k, "split": member.split, "seed": member.seed}, denoiser, member.split))
    return found


def measure_psnr(run: Run[Any], world: ImageWorld, step: int, crew: Crew) -> Iterator[Measured]:
    """A row per network, data (train, test) and noise level: PSNR of each denoised image, in decibels."""
    if step in run.measured(PSNR):
        return
    noise = world.root.child("psnr")
    tasks = [
        (name | {"sigma": sigma}, denoiser, sets_of(world, split))
        for name, denoiser, split in blind_members(run, world, step, crew.device)
        for sigma in LEVELS
    ]
    rows = [row for found in crew.map(partial(_psnr_rows, noise), tasks) for row in found]
    run.write_table(PSNR, step, as_table(step, rows))
    yield Measured(step, (PSNR,))


def _psnr_rows(noise: Any, task: tuple[dict[str, Any], Blind, Sets]) -> Rows:
    name, denoiser, sets = task
    kinds = (("train", sets.train, sets.train_ids), ("test", sets.test, sets.test_ids))
    rows: Rows = []
    for data, images, ids in kinds:
        found = denoising_psnr(denoiser, images.to(denoiser.device), name["sigma"], noise, ids).float().cpu().numpy()
        rows += [name | {"data": data, "of": of, "values": found[:, i]} for i, of in enumerate(("input", "output"))]
    return rows


def same_image(run: Run[Any], world: ImageWorld, step: int) -> dict[str, Tensor]:
    """Training images of the first network, noised, and denoised by it and by the second, which has never seen them; (SHOWN, C, H, W)."""
    members = blind_members(run, world, step)
    sets = sets_of(world, members[0][2])
    clean, ids = sets.train[:SHOWN], sets.train_ids[:SHOWN]
    noisy = clean + NOISY * world.root.child("psnr").normal(0, ids, tuple(clean.shape[1:]), clean.dtype)
    made = [denoiser(noisy, 0).mean for _, denoiser, _ in members[:2]]
    return {"clean": clean, "noisy": noisy, "seen": made[0], "unseen": made[1]}


def measure_bases(run: Run[Any], world: ImageWorld, step: int, crew: Crew) -> Iterator[Measured]:
    """A row per network and noised held-out image: shrinkage factors of the Jacobian, descending; the first directions beside the table."""
    if step in run.measured(SPECTRUM):
        return
    fresh = sets_of(world, 0)
    clean, ids = fresh.test[:ANALYSED], fresh.test_ids[:ANALYSED]
    noisy = clean + NOISY * world.root.child("psnr").normal(0, ids, tuple(clean.shape[1:]), clean.dtype)
    members = blind_members(run, world, step, crew.device)
    found = list(crew.map(_bases, [(denoiser, noisy) for _, denoiser, _ in members]))
    rows = [
        name | {"image": i, "asymmetry": asymmetry, "values": values.float().numpy()}
        for (name, _, _), bases in zip(members, found, strict=True)
        for i, (values, _, asymmetry) in enumerate(bases)
    ]
    run.write_tensors("bases", step, {"image": clean, "noisy": noisy, "directions": torch.stack([bases[0][1] for bases in found])})
    run.write_table(SPECTRUM, step, as_table(step, rows))
    yield Measured(step, (SPECTRUM,))


def _bases(task: tuple[Blind, Tensor]) -> list[tuple[Tensor, Tensor, float]]:
    """Factors, first SHOWN directions and asymmetry at each noised image; on the CPU."""
    denoiser, noisy = task
    bases = [exact_basis(denoiser.mean, image) for image in noisy.to(denoiser.device)]
    return [(basis.values.cpu(), basis.vectors[:SHOWN].cpu(), basis.asymmetry) for basis in bases]


def measure_perceptual(weights: Path | None, run: Run[Any], world: ImageWorld, step: int, crew: Crew) -> Iterator[Measured]:
    """A row per network and quantity: of each sample, whether its nearest training image changes when the ten that correlate best are
    ordered by SSIM (or by LPIPS, with local weights), how far both orders agree, and the largest correlation.
    """
    if step in run.measured(PERCEPTUAL):
        return
    distance: Distance = ssim_distance if weights is None else Lpips(weights)
    images = torch.from_numpy(Samples.read(run, step).images).float() / 255
    rows: Rows = []
    for member, samples in zip(world.load(run, step).members, images, strict=True):
        name = {"member": member.seed, "split": member.split, "seed": member.seed, "distance": "SSIM" if weights is None else "LPIPS"}
        rows += [
            name | {"quantity": quantity, "values": values}
            for quantity, values in _reranked(samples, world.pictures[0][member.split], distance)
        ]
    run.write_table(PERCEPTUAL, step, as_table(step, rows))
    yield Measured(step, (PERCEPTUAL,))


def _reranked(samples: Tensor, training: Tensor, distance: Distance) -> list[tuple[str, Any]]:
    varied = samples[samples.flatten(1).std(1) > 0]
    correlations, near = nearest_by_correlation(varied, training, min(COUNT, len(training)))
    distances = perceptual_distances(varied, training, near, distance)
    changed = (distances.argmin(1) != 0).float().numpy()
    agreement = np.array([spearman(-a, b) for a, b in zip(correlations.numpy(), distances.numpy(), strict=True)], np.float32)
    return [("changed", changed), ("agreement", agreement), ("correlation", correlations[:, 0].float().numpy())]


Stage = Callable[[Run[Any], ImageWorld, int, Crew], Iterator[Measured]]
