"""K same-shaped networks on one device, stepped together. Members never see each other: each has its own loss and gradient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.series import Member
from twinsplit.networks.network import Network
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.noise.reference import Noise
from twinsplit.training.stack import Stack

ReadAs = Callable[[Network, Mapping[str, Tensor]], Denoiser[Any]]
"""`Parametrisation.denoiser`: from a network and one member's parameters (1, *shape) to a denoiser."""


@final
@dataclass(frozen=True, eq=False)
class Ensemble:
    """A network architecture, its members, their parameters (name -> (K, *shape)), and how their outputs are read as posteriors."""

    network: Network
    members: tuple[Member, ...]
    parameters: Mapping[str, Tensor]
    read_as: ReadAs = NetworkDenoiser

    @classmethod
    def initial(cls, network: Network, members: tuple[Member, ...], root: Noise, read_as: ReadAs = NetworkDenoiser) -> "Ensemble":
        """Untrained members: weights drawn from each one's own stream below `root`."""
        stack = Stack.zeros(network, len(members)).initialise(network, [m.noise(root).child("weights") for m in members])
        return cls(network, members, stack.views, read_as)

    def member(self, k: int) -> Denoiser[Any]:
        """Member k as a denoiser (a view, no copy)."""
        return self.read_as(self.network, {name: value[k : k + 1] for name, value in self.parameters.items()})

    def denoisers(self) -> tuple[Denoiser[Any], ...]:
        """All members as denoisers, in storage order."""
        return tuple(self.member(k) for k in range(len(self.members)))
