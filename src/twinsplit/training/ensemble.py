"""K same-shaped networks on one device, stepped together. Members never see each other: each has its own loss and gradient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.series import Member
from twinsplit.networks.network import Network
from twinsplit.noise.reference import Noise
from twinsplit.training import fused
from twinsplit.training.arithmetic import product_dtype
from twinsplit.training.stack import Stack


@final
@dataclass(frozen=True, eq=False)
class NetworkDenoiser(Denoiser[Categorical]):
    """One member as a denoiser. parameters: name -> (1, *shape)."""

    network: Network
    parameters: Mapping[str, Tensor]

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        weight = next(iter(self.parameters.values()))
        dtype = weight.dtype
        times = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        if len(x_t) and fused.evaluates(self.network, weight):
            return Categorical.from_logits(fused.evaluate(self.network, self.parameters, x_t, times))
        logits = self.network.outputs(self.parameters, x_t.to(dtype)[None], times[None])[0]
        return Categorical.from_logits(logits.float() if dtype == torch.bfloat16 else logits)

    def computing(self, precision: str) -> "NetworkDenoiser":
        """The same network with weights and activations in what a recipe's precision means on its device; posteriors stay float32."""
        dtype = product_dtype(precision, self.device)
        return NetworkDenoiser(self.network, {name: value.to(dtype) for name, value in self.parameters.items()})


Reading = Callable[[Network, Mapping[str, Tensor]], Denoiser[Any]]
"""How one member's outputs are read as a posterior: from a network and parameters (1, *shape) to a denoiser."""


@final
@dataclass(frozen=True, eq=False)
class Ensemble:
    """A network architecture, its members, their parameters (name -> (K, *shape)), and how their outputs are read."""

    network: Network
    members: tuple[Member, ...]
    parameters: Mapping[str, Tensor]
    reading: Reading = NetworkDenoiser

    @classmethod
    def initial(cls, network: Network, members: tuple[Member, ...], root: Noise, reading: Reading = NetworkDenoiser) -> "Ensemble":
        """Untrained members: weights drawn from each one's own stream below `root`."""
        stack = Stack.zeros(network, len(members)).initialise(network, [m.noise(root).child("weights") for m in members])
        return cls(network, members, stack.views, reading)

    def member(self, k: int) -> Denoiser[Any]:
        """Member k as a denoiser (a view, no copy)."""
        return self.reading(self.network, {name: value[k : k + 1] for name, value in self.parameters.items()})

    def denoisers(self) -> tuple[Denoiser[Any], ...]:
        """All members as denoisers, in storage order."""
        return tuple(self.member(k) for k in range(len(self.members)))
