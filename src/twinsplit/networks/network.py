"""A network is a pure function of its parameters; K members of one shape are evaluated at once along a leading axis."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from twinsplit.noise import Noise

Parameters = Mapping[str, Tensor]
Drop = Callable[[Tensor], Tensor]


def keep(x: Tensor) -> Tensor:
    """No dropout: evaluation, and training at rate 0."""
    return x


class Network(ABC):
    """An architecture without weights. Parameters are named tensors; stacked, they carry a leading member axis K."""

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one member's parameter, in storage order."""

    @abstractmethod
    def initial(self, name: str, noise: Noise) -> Tensor:
        """The initial value (float32) of one member's parameter `name`, drawn from `noise`."""

    @abstractmethod
    def logits(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, ...) outputs of K stacked members for x_t (K, n, ...) at times t (K, n) int64."""

    def parameter_count(self) -> int:
        """Number of weights of one member."""
        return sum(_size(shape) for shape in self.shapes().values())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
