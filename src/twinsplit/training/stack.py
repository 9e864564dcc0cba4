"""The parameters of K members in one flat buffer, so that optimiser, average and checkpoint are each one operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import final

import torch
from torch import Tensor

from twinsplit.networks.network import Network
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class Stack:
    """flat: (K * P,) float32; views: name -> (K, *shape), contiguous windows on flat."""

    flat: Tensor
    views: dict[str, Tensor]
    members: int

    @classmethod
    def zeros(cls, network: Network, members: int, device: torch.device | str = "cpu") -> "Stack":
        """K members' worth of zeros."""
        return cls.over(torch.zeros(members * network.size_in_numbers(), device=device), network, members)

    @classmethod
    def over(cls, flat: Tensor, network: Network, members: int) -> "Stack":
        """Views on an existing buffer."""
        views, start = {}, 0
        for name, shape in network.shapes().items():
            stop = start + members * prod(shape)
            views[name] = flat[start:stop].view(members, *shape)
            start = stop
        return cls(flat, views, members)

    @torch.no_grad()
    def initialise(self, network: Network, noises: list[Noise]) -> "Stack":
        """Initial weights, member k drawn from noises[k]."""
        for name, view in self.views.items():
            for k, noise in enumerate(noises):
                view[k] = network.initial(name, noise)
        return self

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], prefix: str, members: slice) -> None:
        """Copy `prefix` + name -> (all members, ...) into this stack's members."""
        for name, view in self.views.items():
            view.copy_(tensors[prefix + name][members])

    def named(self, prefix: str) -> dict[str, Tensor]:
        """The views under `prefix` + name."""
        return {prefix + name: view for name, view in self.views.items()}


def concatenated(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stacks of several shards as one, along the member axis."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
