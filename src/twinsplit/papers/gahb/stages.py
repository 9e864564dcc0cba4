"""What is measured on blind networks at one checkpoint: PSNR, one image denoised by two networks, and the bases they denoise in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.execution.local import Executor
from twinsplit.measures.jacobian import Basis, exact_basis, lanczos_basis
from twinsplit.measures.psnr import denoising_psnr
from twinsplit.noise.reference import Noise
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.world import ImageWorld

PSNR, SPECTRUM, SAME_IMAGE = "psnr", "jacobian_spectrum", "same_image"
LEVELS = tuple(float(v) for v in np.geomspace(2, 250, 15) / 255)  # sigma of [GAHB]'s curves, of white = 1
SHOWN, ANALYSED = 8, 4  # images shown, and images at which the Jacobian is taken
NOISY = 50 / 255
LARGEST_EXACT, LEADING = 1_600, 64  # numbers in an image (40 x 40) up to which the whole Jacobian is formed; directions of larger ones
PRODUCTS = 4  # for each direction sought: factors near 1 lie close together


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


def measure_psnr(run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per network, data (train, test) and noise level: PSNR of each denoised image, in decibels."""
    if step in run.measured(PSNR):
        return
    noise = world.root.child("psnr")
    tasks = [
        (name | {"sigma": sigma}, denoiser, sets_of(world, split))
        for name, denoiser, split in blind_members(run, world, step, executor.device)
        for sigma in LEVELS
    ]
    rows = [row for found in executor.map(partial(_psnr_rows, noise), tasks) for row in found]
    run.write_table(PSNR, step, as_table(step, rows))
    yield Measured(step, (PSNR,))


def _psnr_rows(noise: Noise, task: tuple[dict[str, Any], Blind, Sets]) -> Rows:
    name, denoiser, sets = task
    kinds = (("train", sets.train, sets.train_ids), ("test", sets.test, sets.test_ids))
    rows: Rows = []
    for data, images, ids in kinds:
        found = denoising_psnr(denoiser, images.to(denoiser.device), name["sigma"], noise, ids).float().cpu().numpy()
        rows += [name | {"data": data, "of": of, "values": found[:, i]} for i, of in enumerate(("input", "output"))]
    return rows


def measure_same_image(run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """Training images of the first network, noised, and denoised by it and by the second, which has never seen them; (SHOWN, C, H, W)."""
    members = blind_members(run, world, step)
    sets = sets_of(world, members[0][2])
    clean, ids = sets.train[:SHOWN], sets.train_ids[:SHOWN]
    noisy = _noised(world, clean, ids)
    made = [denoiser(noisy, 0).mean for _, denoiser, _ in members[:2]]
    run.write_tensors(SAME_IMAGE, step, {"clean": clean, "noisy": noisy, "seen": made[0], "unseen": made[1]})
    yield Measured(step, (SAME_IMAGE,))


def _noised(world: ImageWorld, clean: Tensor, ids: Tensor) -> Tensor:
    return clean + NOISY * world.root.child("psnr").normal(0, ids, tuple(clean.shape[1:]), clean.dtype)


def measure_bases(run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per network and noised held-out image: shrinkage factors of the Jacobian, descending, the asymmetry that they do not show, and
    how far a factor may be off; the first directions beside the table.
    """
    if step in run.measured(SPECTRUM):
        return
    fresh = sets_of(world, 0)
    clean, ids = fresh.test[:ANALYSED], fresh.test_ids[:ANALYSED]
    noisy, noise = _noised(world, clean, ids), world.root.child("lanczos")
    members = blind_members(run, world, step, executor.device)
    found = list(executor.map(partial(_bases, noise), [(denoiser, noisy) for _, denoiser, _ in members]))
    rows = [
        name | {"image": i, "asymmetry": basis.asymmetry, "bound": float(basis.bounds.max()), "values": basis.values.float().numpy()}
        for (name, _, _), bases in zip(members, found, strict=True)
        for i, basis in enumerate(bases)
    ]
    run.write_tensors("bases", step, {"image": clean, "noisy": noisy, "directions": torch.stack([bases[0].vectors for bases in found])})
    run.write_table(SPECTRUM, step, as_table(step, rows))
    yield Measured(step, (SPECTRUM,))


def _bases(noise: Noise, task: tuple[Blind, Tensor]) -> list[Basis]:
    """At each noised image, on the CPU; of the directions the first SHOWN."""
    denoiser, noisy = task
    bases = [basis_at(denoiser, image, noise) for image in noisy.to(denoiser.device)]
    return [replace(b, values=b.values.cpu(), vectors=b.vectors[:SHOWN].cpu().clone(), bounds=b.bounds.cpu()) for b in bases]


def basis_at(denoiser: Blind, image: Tensor, noise: Noise) -> Basis:
    """All directions of a small image (C, H, W); of a large one the LEADING ones, which the matrix would take hours to show."""
    if image.numel() <= LARGEST_EXACT:
        return exact_basis(denoiser.mean, image)
    k, steps = (min(count, image.numel()) for count in (LEADING, PRODUCTS * LEADING))
    return lanczos_basis(denoiser.mean, image, k, noise, steps)
