"""Averages over all noisy samples a world can give: what the fit's moments become when P grows.

x_0 is one of J points, t uniform on the span, and the coordinates of x_t are independent given
both. Product features then make every average a chain of one-dimensional sums. Times are
Gauss-Legendre nodes in log(t + 0.03) (the weights of the fit vary by orders of magnitude near the
early end); coordinates are equally spaced nodes under the Gaussian, which converge faster than any
power.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from twinsplit.exact.linear.draws import World
from twinsplit.exact.linear.features import ProductFeatures, outer

EARLY = 0.03  # below this time nodes are spread evenly, above it evenly in log t
REACH = 6.5  # standard deviations on each side: what is left out weighs 1e-10


def time_nodes(span: tuple[float, float], count: int) -> tuple[Tensor, Tensor]:
    """(count,) times and their weights, which sum to 1, for averages over t uniform on the span."""
    node, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(count))
    low, high = (torch.tensor(span, dtype=torch.float64) + EARLY).log()
    shifted = (0.5 * (low + high) + 0.5 * (high - low) * node).exp()
    return shifted - EARLY, weight * shifted * 0.5 * (high - low) / (span[1] - span[0])


def normal_nodes(count: int) -> tuple[Tensor, Tensor]:
    """(count,) values of a standard normal and their weights, which sum to 1."""
    z = torch.linspace(-REACH, REACH, count, dtype=torch.float64)
    return z, torch.softmax(-0.5 * z * z, 0)


def chain(value: Tensor, tables: list[Tensor]) -> Tensor:
    """(B, m_1, .., m_D) = sum over n_1..n_D of value (B, n_1, .., n_D) times one table (B, n_a,
    m_a) per axis."""
    for table in tables:
        moved = table.mT @ value.flatten(2) if value.ndim > 2 else (table.mT @ value[..., None])
        value = moved.reshape(len(value), table.shape[-1], *value.shape[2:]).movedim(1, -1)
    return value


@final
@dataclass(frozen=True, eq=False)
class Population:
    """A world seen through features, on `times` x J points x `nodes` per coordinate.

    Functions of a noisy sample are tensors (T, J, N, .., N); matrices over features are (F, F) with
    the features' own order.
    """

    features: ProductFeatures
    world: World
    times: int = 96
    nodes: int = 128

    @cached_property
    def clock(self) -> tuple[Tensor, Tensor]:
        """Times (T,) and their weights."""
        return time_nodes(self.world.span, self.times)

    @cached_property
    def time_rows(self) -> Tensor:
        """(T, count) features of time."""
        return self.features.time(self.clock[0])

    @cached_property
    def coordinates(self) -> tuple[Tensor, ...]:
        """(T, J, N) values of each coordinate of x_t."""
        signal, sigma = (v[:, None, None] for v in self.world.process.scales(self.clock[0]))
        return tuple(signal * p[:, None] + sigma * normal_nodes(self.nodes)[0] for p in self.world.points.T)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """(T, J, N, count) features of each coordinate."""
        return tuple(axis(x) for axis, x in zip(self.features.axes, self.coordinates, strict=True))

    @property
    def D(self) -> int:
        """Coordinates."""
        return self.features.dimension

    @property
    def positions(self) -> Tensor:
        """(T, J, N, .., N, D) the states themselves."""
        views = [x.reshape(*x.shape[:2], *(-1 if a == i else 1 for a in range(self.D))) for i, x in enumerate(self.coordinates)]
        return torch.stack(torch.broadcast_tensors(*views), -1)  # type: ignore[no-untyped-call]

    def over_time(self, value: Tensor) -> Tensor:
        """(T,) made to broadcast against functions (T, J, N, .., N)."""
        return value.reshape(-1, *(1,) * (self.D + 1))

    def over_points(self, value: Tensor) -> Tensor:
        """(J,) made to broadcast against functions (T, J, N, .., N)."""
        return value.reshape(1, -1, *(1,) * self.D)

    @cached_property
    def snr(self) -> Tensor:
        """The weight of the fit, alpha^2 / sigma^2, as a function of the sample."""
        return self.over_time(self.world.process.signal_to_noise(self.clock[0]))

    @cached_property
    def probability(self) -> Tensor:
        """Weights of the nodes, summing to 1 over (T, J, N, .., N)."""
        axis = normal_nodes(self.nodes)[1]
        space = axis
        for _ in range(self.D - 1):
            space = space[..., None] * axis
        return self.over_time(self.clock[1]) * space / len(self.world.points)

    def mean(self, value: Tensor) -> Tensor:
        """() average of a function over all samples."""
        return (value * self.probability).sum()

    @cached_property
    def pair_rows(self) -> list[Tensor]:
        """Per coordinate, products of two features at the nodes: (T J, N, count^2)."""
        return [outer(row, row).flatten(0, 1) for row in self.rows]

    def by_time(self, value: Tensor, tables: list[Tensor]) -> Tensor:
        """(T, m_1 .. m_D): a function summed over points and nodes against one table per coordinate."""
        shape = (self.times, len(self.world.points), *(self.nodes,) * self.D)
        by_sample = chain((value * self.probability).expand(shape).flatten(0, 1), tables)
        return by_sample.reshape(*shape[:2], -1).sum(1)

    def vector(self, value: Tensor) -> Tensor:
        """(F,) = E[value phi]."""
        return (self.by_time(value, [row.flatten(0, 1) for row in self.rows]).mT @ self.time_rows).flatten()

    def gram(self, value: Tensor) -> Tensor:
        """(F, F) = E[value phi phi^T]."""
        by_pair = self.by_time(value, self.pair_rows).mT @ outer(self.time_rows, self.time_rows)
        split = by_pair.reshape(*(c for count in self.features.shape for c in (count, count)))
        order = [*range(0, 2 * self.D + 2, 2), *range(1, 2 * self.D + 2, 2)]
        return split.permute(order).reshape(self.features.count, self.features.count)

    def linear(self, weights: Tensor) -> Tensor:
        """(T, J, N, .., N) values of weights^T phi, weights (F,)."""
        shape = (-1, *(axis.count for axis in self.features.axes))
        coefficients = (self.time_rows @ weights.reshape(-1, self.features.time.count).mT).reshape(shape)
        return self.at_nodes(coefficients, [row.flatten(0, 1) for row in self.rows])

    def quadratic(self, matrix: Tensor) -> Tensor:
        """(T, J, N, .., N) values of phi^T matrix phi, matrix (F, F)."""
        *counts, k = self.features.shape
        order = [i for a in range(self.D + 1) for i in (a, a + self.D + 1)]
        by_pair = matrix.reshape(*counts, k, *counts, k).permute(order).reshape(-1, k * k)
        coefficients = outer(self.time_rows, self.time_rows) @ by_pair.mT
        return self.at_nodes(coefficients.reshape(-1, *(c * c for c in counts)), self.pair_rows)

    def at_nodes(self, coefficients: Tensor, tables: list[Tensor]) -> Tensor:
        """(T, J, N, .., N): coefficients (T, m_1, .., m_D) summed against one table per coordinate."""
        J = len(self.world.points)
        value = chain(coefficients.repeat_interleave(J, 0), [table.mT for table in tables])
        return value.reshape(-1, J, *(self.nodes,) * self.D)
