"""gahb-rates, what it needs: blind denoisers on image classes whose best rates are known ([GAHB] section 3), and their errors.

Every network and the best possible denoiser are measured on fresh images of a class, as the generator gives them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.data.images.builtin import SyntheticSource
from twinsplit.data.synthetic import CAlphaImages, DiscImages, ImageClass, fresh
from twinsplit.diffusion.blind import Blind
from twinsplit.errors import InputError
from twinsplit.exact.discs import DiscPosterior, best_errors
from twinsplit.execution.local import Executor
from twinsplit.measures.psnr import denoising_psnr
from twinsplit.noise.reference import Noise
from twinsplit.papers.gahb.ladder import LAPTOP, PAPER, SMOKE
from twinsplit.papers.gahb.stages import LEVELS, NOISY, SHOWN, blind_members
from twinsplit.papers.scales import Scale
from twinsplit.recipes import BlindSizes, ImageRecipe
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.world import ImageWorld

ERRORS, BEST, PICTURES = "rate_errors", "best_errors", "rate_pictures"
FEWEST_NETWORKS = 2
SPARE = 50  # of so many images one is drawn to spare: contents may coincide, as of discs, where one in 256 is a constant image
FITTED = (10 / 255, 100 / 255)  # noise levels of the slope, where the smooth regions alone have it on the grid (docs/rates.md)


@final
@dataclass(frozen=True)
class Best:
    """The exact denoiser of discs. images: how many; particles: proposals for each; every: which noise levels (each so many-th)."""

    images: int
    particles: int
    every: int


@final
@dataclass(frozen=True)
class Rates:
    """A scale. base: the run of every class but for its images; size: pixels a side; alphas: of the C^alpha classes; fresh: test images."""

    base: ImageRecipe
    size: int
    alphas: tuple[float, ...]
    fresh: int
    best: Best

    def kinds(self, seed: int) -> dict[str, ImageClass]:
        """Name of a class -> its images; every seed has images of its own."""
        classes: dict[str, ImageClass] = {f"alpha = {alpha:g}": CAlphaImages(alpha, self.size, seed) for alpha in self.alphas}
        return classes | {"discs": DiscImages(self.size, seed)}

    def source(self, kind: ImageClass, splits: int) -> SyntheticSource:
        """All that the networks of a class are trained on, and what the run holds out, and some to replace those that coincide."""
        needed = splits * self.base.data.split_size + self.base.data.held_out
        return SyntheticSource(kind, needed + needed // SPARE)

    def recipe(self, seed: int, splits: int, folder: Path) -> ImageRecipe:
        """The run on a prepared folder."""
        return replace(self.base, seed=seed, data=replace(self.base.data, splits=splits)).on_folder(folder.resolve())

    def networks(self, options: int | None) -> int:
        """Networks of every class, each on images of its own."""
        count = self.base.data.splits if options is None else options
        if count < FEWEST_NETWORKS:
            raise InputError(f"{count} networks show no spread", f"use --seeds {FEWEST_NETWORKS} or more")
        return count


def _on_classes(base: ImageRecipe, split_size: int, held_out: int) -> ImageRecipe:
    """Images as listed, since they are drawn independently."""
    return replace(base, data=replace(base.data, splits=3, split_size=split_size, held_out=held_out, order="listed"))


SCALES: Mapping[Scale, Rates] = {
    "smoke": Rates(_on_classes(SMOKE, 32, 4), 8, (1.0, 4.0), fresh=16, best=Best(8, 1_024, 7)),
    "laptop": Rates(
        replace(_on_classes(LAPTOP, 4_096, 64), network=BlindSizes(width=8, blocks=3)),
        32,
        (1.0, 2.0, 4.0),
        fresh=256,
        best=Best(64, 2_048, 3),
    ),
    "paper": Rates(_on_classes(PAPER, 100_000, 1_000), 80, (1.0, 2.0, 4.0), fresh=1_000, best=Best(64, 2_048, 2)),
}


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
