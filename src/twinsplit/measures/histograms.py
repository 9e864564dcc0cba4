"""Densities from samples by counting, in any dimension; each integrates to one over its box.

Normalising by one axis of a 2-D histogram makes every column a density of its own; here the total
of all cells is what is divided by.
"""

from dataclasses import dataclass
from math import prod
from typing import final

import torch
from torch import Tensor

from twinsplit.errors import InputError


@final
@dataclass(frozen=True)
class Grid:
    """Equal cells on a box: low, high and cells per dimension."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (len(self.low) == len(self.high) == len(self.cells) > 0) or any(b <= a for a, b in zip(self.low, self.high, strict=True)):
            raise InputError(f"no box lies between {self.low} and {self.high}", "give low < high and a number of cells per dimension")

    @classmethod
    def cube(cls, half: float, cells: int, D: int) -> "Grid":
        """[-half, half]^D."""
        return cls((-half,) * D, (half,) * D, (cells,) * D)

    @classmethod
    def around(cls, low: float, high: float, centres: int) -> "Grid":
        """One dimension, `centres` cells centred on equally spaced points; the first on low, the last on high."""
        half = 0.5 * (high - low) / (centres - 1)
        return cls((low - half,), (high + half,), (centres,))

    @property
    def widths(self) -> tuple[float, ...]:
        """The cell's extent per dimension."""
        return tuple((b - a) / n for a, b, n in zip(self.low, self.high, self.cells, strict=True))

    @property
    def volume(self) -> float:
        """Volume of one cell."""
        return prod(self.widths)

    def centres(self, axis: int = 0) -> Tensor:
        """(cells,) float64 midpoints along one axis."""
        return self.low[axis] + (torch.arange(self.cells[axis], dtype=torch.float64) + 0.5) * self.widths[axis]

    def cell_of(self, x: Tensor) -> Tensor:
        """(...) flat index of the cell that holds x (..., D), last axis fastest; -1 outside the box
        or not a number."""
        low, width = (torch.tensor(v, dtype=x.dtype) for v in (self.low, self.widths))
        position = (x - low) / width
        inside = ((position >= 0) & (position < torch.tensor(self.cells))).all(-1)
        strides = torch.tensor([prod(self.cells[i + 1 :]) for i in range(len(self.cells))])
        index = (torch.where(inside[..., None], position, 0.0).long() * strides).sum(-1)
        return torch.where(inside, index, -1)

    def counts(self, x: Tensor) -> Tensor:
        """(..., *cells) int64 from samples (..., n, D); samples outside are not counted."""
        lead, total = x.shape[:-2], prod(self.cells)
        index = self.cell_of(x).reshape(-1, x.shape[-2]) + 1
        offset = torch.arange(len(index))[:, None] * (total + 1)
        counts = torch.bincount((index + offset).flatten(), minlength=len(index) * (total + 1))
        return counts.reshape(-1, total + 1)[:, 1:].reshape(*lead, *self.cells)

    def density(self, x: Tensor) -> Tensor:
        """(..., *cells) float64, the density of the samples inside the box; zero everywhere where
        none is inside."""
        counts = self.counts(x).double()
        total = counts.sum(tuple(range(-len(self.cells), 0)), keepdim=True)
        return counts / (total.clamp(min=1) * self.volume)

    def integral(self, density: Tensor) -> Tensor:
        """(...) of densities (..., *cells)."""
        return density.sum(tuple(range(-len(self.cells), 0))) * self.volume

    def total_variation(self, first: Tensor, second: Tensor) -> Tensor:
        """(...) half the integral of |first - second|: 0 for equal densities, 1 for disjoint ones."""
        return 0.5 * self.integral((first - second).abs())
