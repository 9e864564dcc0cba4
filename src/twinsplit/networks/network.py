"""A network is a pure function of its parameters; K members of one shape are evaluated at once along a leading axis."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

from torch import Tensor

from twinsplit.networks.flops import Flops, counted
from twinsplit.noise.reference import Noise

Parameters = Mapping[str, Tensor]


class Drop(ABC):
    """Drops entries of activations, (K * n, ...) or (K, n, ...), of K members."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """x with some entries 0 and the others scaled up."""

    @abstractmethod
    def member(self, k: int) -> "Drop":
        """What drops entries of member k alone, (n, ...)."""


@final
class _Keep(Drop):
    def __call__(self, x: Tensor) -> Tensor:
        return x

    def member(self, k: int) -> Drop:
        return self


keep: Drop = _Keep()
"""No dropout: evaluation, and training at rate 0."""


class Network(ABC):
    """An architecture without weights. Parameters are named tensors; stacked, they carry a leading member axis K."""

    dropout: float = 0.0
    """The rate at which activations are dropped in training."""

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one member's parameter, in storage order."""

    @abstractmethod
    def initial(self, name: str, noise: Noise) -> Tensor:
        """The initial value (float32) of one member's parameter `name`, drawn from `noise`."""

    @abstractmethod
    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, ...) outputs of K stacked members for x_t (K, n, ...) at times t (K, n) int64."""

    def state(self) -> frozenset[str]:
        """Names in `shapes` that no gradient reaches: running statistics, which a step of training sets to what `learning` says."""
        return frozenset()

    def learning(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> tuple[Tensor, dict[str, Tensor]]:
        """`outputs` as in training, and for every name of `state` its value (K, *shape) after this batch, without gradient."""
        return self.outputs(parameters, x_t, t, drop), {}

    def flops(self, state: tuple[int, ...]) -> Flops:
        """Operations for one noised state of this shape; counted on tensors without values, where a network does not know better."""
        return counted(self.outputs, self.shapes(), state)

    def parameter_count(self) -> int:
        """Number of weights of one member; its `state` is not counted."""
        return sum(_size(shape) for name, shape in self.shapes().items() if name not in self.state())

    def size_in_numbers(self) -> int:
        """Numbers that one member takes: weights and state."""
        return sum(_size(shape) for shape in self.shapes().values())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
