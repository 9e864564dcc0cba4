"""Networks that predict the noise, as denoisers: the prediction read as a Gaussian posterior."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, Gaussian
from twinsplit.diffusion.schedule import Schedule, expand_like
from twinsplit.networks.network import Network
from twinsplit.noise.reference import Noise

CHUNK = 256


@dataclass(frozen=True, eq=False)
class PredictsNoise(Denoiser[Gaussian]):
    """One network that is told the time and predicts the noise in states of any shape.

    parameters: name -> (1, *shape); schedule: its noising process.
    """

    network: Network
    parameters: Mapping[str, Tensor]
    schedule: Schedule

    @classmethod
    def initial(cls, network: Network, schedule: Schedule, noise: Noise) -> Self:
        """Untrained, with weights drawn from `noise`."""
        return cls(network, {name: network.initial(name, noise)[None] for name in network.shapes()}, schedule)

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @torch.no_grad()
    def noise_prediction(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n, ...) the predicted noise in x_t (n, ...) at t, an int or (n,), in 1..T."""
        self.schedule.at(t)  # refuses times of another schedule
        dtype = next(iter(self.parameters.values())).dtype
        times = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        pairs = zip(torch.split(x_t.to(dtype), CHUNK), torch.split(times, CHUNK), strict=True)
        parts = [self.network.outputs(self.parameters, x[None], at[None])[0] for x, at in pairs if len(x)]
        return torch.cat([x_t.new_empty(0, *x_t.shape[1:], dtype=dtype), *parts]).to(x_t.dtype)

    def forward(self, x_t: Tensor, t: int | Tensor) -> Gaussian:
        """x_0 ~ N((x_t - sigma eps) / signal, (sigma / signal)^2): so that KL between two networks is |eps_a - eps_b|^2 / 2."""
        signal, sigma = (expand_like(scale, x_t) for scale in self.schedule.scales(t))
        return Gaussian((x_t - sigma * self.noise_prediction(x_t, t)) / signal, _ratio(self.schedule, t))


@final
@dataclass(frozen=True, eq=False)
class NoiseDenoiser(PredictsNoise):
    """One network of any architecture that predicts the noise."""


def _ratio(schedule: Schedule, t: int | Tensor) -> Tensor:
    alpha_bar = schedule.at(t)
    return (1.0 - alpha_bar) / alpha_bar
