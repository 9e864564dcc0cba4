"""The blind U-Net as a denoiser: its residual read by Miyasawa's identity as posterior mean and score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.networks.network import Network
from twinsplit.noise.reference import Noise

CHUNK = 256


@final
@dataclass(frozen=True, eq=False)
class BlindDenoiser(Blind):
    """One network, usually a `BlindUNet`, in evaluation mode. parameters: name -> (1, *shape), running deviations among them.

    It learns from images as they are, in [0, 1], and answers for y = x + sigma z on that scale. Homogeneous: residual(a y) = a residual(y)
    for a > 0, so a state of a variance-preserving process is denoised by dividing it by its signal first.
    """

    network: Network
    parameters: Mapping[str, Tensor]

    @classmethod
    def initial(cls, network: Network, noise: Noise) -> "BlindDenoiser":
        """Untrained, with weights drawn from `noise`."""
        return cls(network, {name: network.initial(name, noise)[None] for name in network.shapes()})

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    def residual(self, y: Tensor) -> Tensor:
        """(n, ...) f(y), the estimate of sigma z, in the dtype of y; differentiable."""
        dtype = next(iter(self.parameters.values())).dtype
        parts = [self._evaluated(part) for part in torch.split(y.to(dtype), CHUNK) if len(part)]
        return torch.cat(parts).to(y.dtype) if parts else y

    def converted(self, dtype: torch.dtype) -> "BlindDenoiser":
        """The same network in another precision: float64 for derivatives, bfloat16 for speed."""
        return BlindDenoiser(self.network, {name: value.to(dtype) for name, value in self.parameters.items()})

    def _evaluated(self, y: Tensor) -> Tensor:
        times = torch.zeros(1, len(y), dtype=torch.int64, device=y.device)
        return self.network.outputs(self.parameters, y[None], times)[0]
