"""Stochastic ascent of the density that a blind denoiser knows: coarse to fine, each sample at its
own pace, with no schedule of noise.

Kadkhodaie and Simoncelli, *Stochastic solutions for linear inverse problems using the prior
implicit in a denoiser*, NeurIPS 2021, algorithms 1 (samples) and 2 (inverse problems); PROTOCOL
section 4.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind, residual_sigma
from twinsplit.diffusion.measurement import FREE, Constraint
from twinsplit.diffusion.schedule import expand_like
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class Ascended:
    """samples: (n, C, H, W); steps: (n,) int64, taken by each; sigma: (n,) the noise level found at
    its last; finished: (n,) bool."""

    samples: Tensor
    steps: Tensor
    sigma: Tensor
    finished: Tensor


@final
@dataclass(frozen=True)
class Ascent:
    """From y_0 down to the noise level sigma_end, by d = f(y), y <- y - h_t d + gamma z, and at
    last y - f(y).

    h_t = h0 t / (1 + h0 (t - 1)) grows from h0 towards 1. The noise level of each sample is what
    its own residual says, sigma = |d| / sqrt(pixels), and gamma^2 = sigma^2 [(1 - beta h)^2 - (1 -
    h)^2] is chosen so that it falls by the factor 1 - beta h. beta = 1 adds no noise, smaller ones
    more. A sample is finished after the step that finds sigma <= sigma_end. One whose sigma grows
    beyond sigma_limit is given up, and `max_steps` caps those that do neither; both are flagged.
    (The published code ends a batch when one passes 2; with an exact denoiser some do and come
    back.) The published ends are 0.1, and 0.01 for fine samples. The published h0 makes samples of
    a Gaussian about a sixth too narrow in variance (docs/lab-notes.md); smaller ones cost steps and
    come nearer.
    """

    h0: float = 0.01
    beta: float = 0.1
    sigma_end: float = 0.1
    sigma_start: float = 1.0
    max_steps: int = 2_000
    sigma_limit: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.h0 <= 1 and 0 < self.beta <= 1):
            raise InputError(f"an ascent with h0 = {self.h0}, beta = {self.beta}", "choose both in (0, 1]")
        if not (0 < self.sigma_end < self.sigma_limit and 0 <= self.sigma_start < self.sigma_limit and self.max_steps >= 1):
            raise InputError(
                f"an ascent from {self.sigma_start} to {self.sigma_end} in {self.max_steps} steps, given up at {self.sigma_limit}",
                "choose sigma_end above 0, sigma_start of at least 0, both below sigma_limit, and max_steps positive",
            )

    def step_size(self, t: int) -> float:
        """h_t of step t = 1, 2, ..."""
        return self.h0 * t / (1 + self.h0 * (t - 1))

    def __call__(self, denoiser: Blind, mean: Tensor, noise: Noise, sample_ids: Tensor, wanted: Constraint = FREE) -> Tensor:
        """(n, C, H, W) samples; raises InputError where one does not finish.

        mean: (C, H, W) or (n, C, H, W), what the first noise is added to; twins share it, whatever
        their data. sample_ids: (n,) names of the samples for the noise: a sample does not depend on
        its batch, and twins meet the same noise.
        """
        y_0 = self.start(mean, noise, sample_ids, wanted)
        found = self.ascend(denoiser, y_0, noise, sample_ids, wanted)
        if not bool(found.finished.all()):
            raise InputError(
                self._complaint(found), "raise max_steps or sigma_end, or train the denoiser longer; `ascend` flags them instead"
            )
        return found.samples

    def start(self, mean: Tensor, noise: Noise, sample_ids: Tensor, wanted: Constraint = FREE) -> Tensor:
        """(n, C, H, W) y_0 = mean + sigma_start z, where the mean is first made to meet what is wanted."""
        shape = tuple(mean.shape[-3:])
        z = noise.child("start").normal(0, sample_ids.to(mean.device), shape, mean.dtype)
        return wanted.start(mean.expand(len(sample_ids), *shape)) + self.sigma_start * z

    @torch.no_grad()
    def ascend(self, denoiser: Blind, y_0: Tensor, noise: Noise, sample_ids: Tensor, wanted: Constraint = FREE) -> Ascended:
        """From any y_0 (n, C, H, W); samples that do not finish are flagged, and are where they got to."""
        y, ids = y_0.clone(), sample_ids.to(y_0.device)
        steps, sigma = torch.zeros_like(ids), y.new_full((len(y),), float("inf"))
        moving = torch.arange(len(y), device=y.device)
        for t in range(1, self.max_steps + 1):
            if not len(moving):
                break
            z = noise.child("step").normal(t, ids[moving], tuple(y.shape[1:]), y.dtype)
            y[moving], sigma[moving] = self._step(y[moving], _direction(denoiser, y[moving], wanted.of(moving)), t, z)
            steps[moving] = t
            found = sigma[moving]
            moving = moving[(found > self.sigma_end) & (found <= self.sigma_limit)]  # not a number: leaves too, and is never finished
        return Ascended(y - _direction(denoiser, y, wanted), steps, sigma, sigma <= self.sigma_end)

    def _step(self, y: Tensor, d: Tensor, t: int, z: Tensor) -> tuple[Tensor, Tensor]:
        """y after step t, and the noise levels (n,) before it."""
        h, sigma = self.step_size(t), residual_sigma(d)
        gamma = sigma * ((1 - self.beta * h) ** 2 - (1 - h) ** 2) ** 0.5
        return y - h * d + expand_like(gamma, y) * z, sigma

    def _complaint(self, found: Ascended) -> str:
        worst = float(found.sigma[~found.finished].max())
        return (
            f"{int((~found.finished).sum())} of {len(found.steps)} samples did not reach sigma = {self.sigma_end} "
            f"in {self.max_steps} steps, or went beyond {self.sigma_limit} (the worst stands at {worst:.3g})"
        )


def _direction(denoiser: Blind, y: Tensor, wanted: Constraint) -> Tensor:
    return wanted.direction(y, denoiser.residual(y))
