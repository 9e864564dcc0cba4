"""How networks of images are asked: what they predict as noise, and what their loss weighs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Noising, Schedule, expand_like
from twinsplit.networks.unet_denoiser import UNetDenoiser


class Asking(ABC):
    """One way to read networks of one kind under their process, which noises the images."""

    process: Noising

    @abstractmethod
    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n, C, H, W) what the network says of the standard normal noise in x_t."""

    @abstractmethod
    def weight(self, t: int | Tensor) -> Tensor:
        """Of the squared error of that noise in the loss the network is trained on, like t."""


@final
@dataclass(frozen=True, eq=False)
class Told(Asking):
    """A network that is told the time and predicts the noise."""

    process: Schedule

    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        assert isinstance(denoiser, UNetDenoiser)
        return denoiser.noise_prediction(x_t, t)

    def weight(self, t: int | Tensor) -> Tensor:
        return torch.ones(torch.as_tensor(t).shape, dtype=torch.float64)


@final
@dataclass(frozen=True, eq=False)
class NotTold(Asking):
    """A blind network: its residual f(y), which stands for sigma z, in units of the sigma that was used and not told.

    So the squared error of the noise, times sigma^2, is the squared error of the denoised image, which is what it is trained on.
    """

    process: Noising

    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        assert isinstance(denoiser, Blind)
        with torch.no_grad():
            return denoiser.residual(x_t) / expand_like(self.process.scales(t)[1], x_t)

    def weight(self, t: int | Tensor) -> Tensor:
        return self.process.scales(t)[1].square()
