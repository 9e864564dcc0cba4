"""Fixed features of (x, t): products of one-dimensional rows over the coordinates and time, in any
dimension.

phi_{i1..iD,k}(x, t) = u_{i1}(x_1) ... u_{iD}(x_D) v_k(t), flattened with the time index fastest
([GTV] section 5).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from math import pi, prod, sqrt
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import as_time
from twinsplit.errors import InputError


@dataclass(frozen=True)
class AxisFeatures(ABC):
    """`count` functions of one real variable, laid out over [low, high]."""

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.count >= 2):
            raise InputError(f"{self.count} features on [{self.low}, {self.high}]", "give at least two on an interval of positive length")

    @abstractmethod
    def __call__(self, u: Tensor) -> Tensor:
        """(..., count) float64 from u (...)."""


@final
@dataclass(frozen=True)
class GaussianBumps(AxisFeatures):
    """Normal densities centred on `count` equally spaced points, standard deviation
    `relative_width` of their spacing."""

    relative_width: float = 0.5

    @property
    def spacing(self) -> float:
        """Distance between neighbouring centres, in units of u."""
        return (self.high - self.low) / (self.count - 1)

    def __call__(self, u: Tensor) -> Tensor:
        centres = torch.linspace(self.low, self.high, self.count, dtype=torch.float64)
        width = self.relative_width * self.spacing
        return torch.exp(-0.5 * ((u[..., None] - centres) / width) ** 2) / (width * sqrt(2 * pi))


@final
@dataclass(frozen=True)
class FourierModes(AxisFeatures):
    """1, then cosines, then sines of the lowest harmonics of period high - low; the odd one out is
    a cosine."""

    def __call__(self, u: Tensor) -> Tensor:
        sines = (self.count - 1) // 2
        harmonics = torch.arange(1, self.count - sines, dtype=torch.float64)
        angle = u[..., None] * harmonics * (2 * pi / (self.high - self.low))
        return torch.cat([torch.ones_like(angle[..., :1]), torch.cos(angle), torch.sin(angle[..., :sines])], -1)


def outer(left: Tensor, right: Tensor) -> Tensor:
    """(..., m n) from (..., m) and (..., n), the right index fastest."""
    return (left[..., :, None] * right[..., None, :]).flatten(-2)


@final
@dataclass(frozen=True)
class ProductFeatures:
    """Products of one row per coordinate (`axes`) and one for time."""

    axes: tuple[AxisFeatures, ...]
    time: AxisFeatures

    @property
    def dimension(self) -> int:
        """D, the number of coordinates."""
        return len(self.axes)

    @property
    def count(self) -> int:
        """F, the number of features."""
        return prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows per coordinate, then for time."""
        return (*(axis.count for axis in self.axes), self.time.count)

    def rows(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, ...]:
        """The factors: (..., count) per coordinate of x (..., D), then for t, a scalar or (...)."""
        if x.shape[-1] != self.dimension:
            raise InputError(f"states of dimension {x.shape[-1]}, features of {self.dimension}", "give one row of features per coordinate")
        time = self.time(as_time(t).expand(x.shape[:-1]))
        return (*(axis(x[..., i]) for i, axis in enumerate(self.axes)), time)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """(..., F) from x (..., D) and t, a scalar or (...)."""
        return reduce(outer, self.rows(x, t))

    def at_time(self, weights: Tensor, t: float) -> Tensor:
        """(..., u_1, .., u_D, E): weights (..., F, E) with time t contracted, functions of x alone."""
        by_time = weights.reshape(*weights.shape[:-2], -1, self.time.count, weights.shape[-1])
        return (self.time(as_time(t)) @ by_time).reshape(*weights.shape[:-2], *self.shape[:-1], weights.shape[-1])


def same_axes(
    axis: type[GaussianBumps] | type[FourierModes], D: int, count: int, half: float, span: tuple[float, float]
) -> ProductFeatures:
    """One kind of row, `count` of them on [-half, half] for each of D coordinates and on `span` for
    time, as published."""
    return ProductFeatures(tuple(axis(-half, half, count) for _ in range(D)), axis(*span, count))
