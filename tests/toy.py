"""A noise predictor written down, as a denoiser: what samplers are compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, Gaussian
from twinsplit.diffusion.schedule import Schedule, expand_like

Predictor = Callable[[Tensor, int], Tensor]


def waves(x: Tensor, t: int) -> Tensor:
    """A smooth noise prediction that depends on the state and on the time, and mixes neighbouring pixels."""
    return 0.8 * x + 0.3 * torch.sin(x.roll(1, -1) + t / 100)


@dataclass(frozen=True, eq=False)
class Toy(Denoiser[Gaussian]):
    predictor: Predictor
    schedule: Schedule

    def forward(self, x_t: Tensor, t: int | Tensor) -> Gaussian:
        signal, sigma = self.schedule.scales(t)
        location = (x_t - expand_like(sigma, x_t) * self.predictor(x_t, int(t))) / expand_like(signal, x_t)
        return Gaussian(location, (sigma / signal) ** 2)
