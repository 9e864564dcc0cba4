"""What gahb-rates measures: every network and the best possible denoiser on fresh images of a class, as the generator gives them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twinsplit.data.synthetic import DiscImages, ImageClass, fresh
from twinsplit.diffusion.blind import Blind
from twinsplit.exact.discs import DiscPosterior, best_errors
from twinsplit.execution.local import Executor
from twinsplit.measures.psnr import denoising_psnr
from twinsplit.noise.reference import Noise
from twinsplit.papers.gahb.rate_settings import Rates
from twinsplit.papers.gahb.stages import LEVELS, NOISY, SHOWN, blind_members
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.world import ImageWorld

ERRORS, BEST, PICTURES = "rate_errors", "best_errors", "rate_pictures"


def _noise(world: ImageWorld) -> Noise:
    """That of the test images; the same for all networks, noise levels and the best denoiser."""
    return world.root.child("rates")


def _clean(kind: ImageClass, count: int) -> tuple[Tensor, Tensor]:
    """ids and images (count, 1, size, size) float32, unrounded."""
    ids = fresh(count)
    return ids, torch.from_numpy(kind.images(ids)).float()


def measure_errors(kind: ImageClass, count: int, run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per network and noise level: mean squared error per pixel of each fresh image, noised (input) and denoised (output)."""
    if step in run.measured(ERRORS):
        return
    tasks = [
        (name | {"sigma": sigma}, denoiser) for name, denoiser, _ in blind_members(run, world, step, executor.device) for sigma in LEVELS
    ]
    rows = [row for found in executor.map(partial(_rows, kind, count, _noise(world)), tasks) for row in found]
    run.write_table(ERRORS, step, as_table(step, rows))
    yield Measured(step, (ERRORS,))


def _rows(kind: ImageClass, count: int, noise: Noise, task: tuple[dict[str, Any], Blind]) -> Rows:
    name, denoiser = task
    ids, images = _clean(kind, count)
    found = 10 ** (-denoising_psnr(denoiser, images.to(denoiser.device), name["sigma"], noise, ids) / 10)
    return [name | {"of": of, "values": found[:, i].float().cpu().numpy()} for i, of in enumerate(("input", "output"))]


def measure_best(kind: DiscImages, setting: Rates, run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per noise level: estimated errors of the best denoiser, told sigma, on the first fresh images; `effective` particles."""
    if step in run.measured(BEST):
        return
    posterior = DiscPosterior(kind, setting.best.particles)
    levels = LEVELS[:: setting.best.every]
    tasks = [(sigma, i) for sigma in levels for i in range(setting.best.images)]
    found = list(executor.map(partial(_best, posterior, _noise(world)), tasks))
    per_level = np.array(found).reshape(len(levels), setting.best.images, 2)
    rows = [
        {"sigma": sigma, "effective": float(both[:, 1].min()), "values": both[:, 0].astype(np.float32)}
        for sigma, both in zip(levels, per_level, strict=True)
    ]
    run.write_table(BEST, step, as_table(step, rows))
    yield Measured(step, (BEST,))


def _best(posterior: DiscPosterior, noise: Noise, task: tuple[float, int]) -> tuple[float, float]:
    """Error and effective particles of one fresh image, in the noise that the networks met."""
    sigma, i = task
    ids = fresh(i + 1)[i:]
    side = posterior.discs.size
    normals = noise.normal(0, ids, (1, side, side), torch.float32)[:, 0].double().numpy()
    errors, effective = best_errors(posterior, ids, normals, sigma, noise.child("particles"))
    return float(errors[0]), float(effective[0])


def write_pictures(kind: ImageClass, run: Run[Any], world: ImageWorld, step: int) -> None:
    """Fresh images, noised, and denoised by the first network; (SHOWN, 1, size, size) each."""
    ids, clean = _clean(kind, SHOWN)
    noisy = clean + NOISY * _noise(world).normal(0, ids, tuple(clean.shape[1:]), clean.dtype)
    denoised = blind_members(run, world, step)[0][1](noisy, 0).mean
    run.write_tensors(PICTURES, step, {"clean": clean, "noisy": noisy, "denoised": denoised})
