"""A network is a pure function of its parameters; K members of one shape are evaluated at once along a leading axis."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

from torch import Tensor

from twinsplit.noise import Noise

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

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one member's parameter, in storage order."""

    @abstractmethod
    def initial(self, name: str, noise: Noise) -> Tensor:
        """The initial value (float32) of one member's parameter `name`, drawn from `noise`."""

    @abstractmethod
    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, ...) outputs of K stacked members for x_t (K, n, ...) at times t (K, n) int64."""

    def parameter_count(self) -> int:
        """Number of weights of one member."""
        return sum(_size(shape) for shape in self.shapes().values())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
