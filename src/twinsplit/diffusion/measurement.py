"""Linear measurements of images, c = M^T x with orthonormal rows, and the constraints they put on a
sample.

Orthonormal rows make M c the point nearest to 0 that measures c, and M M^T the projection on what
is measured: nothing has to be inverted (Kadkhodaie and Simoncelli, NeurIPS 2021, section 3).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from twinsplit.errors import InputError


class Measurement(ABC):
    """A linear map with orthonormal rows from images (n, C, H, W) to values (n, ...)."""

    @abstractmethod
    def measure(self, x: Tensor) -> Tensor:
        """M^T x."""

    @abstractmethod
    def spread(self, values: Tensor) -> Tensor:
        """M c (n, C, H, W): `measure` gives the values back, and everything orthogonal to the rows is 0."""


@final
@dataclass(frozen=True, eq=False)
class Inpainting(Measurement):
    """Some pixels, as they are: values (n, m). seen: (C, H, W) bool."""

    seen: Tensor

    def __post_init__(self) -> None:
        if self.seen.dtype != torch.bool or self.seen.ndim != 3:
            raise InputError(f"pixels seen of {self.seen.dtype}, shape {tuple(self.seen.shape)}", "give (C, H, W) booleans")

    @classmethod
    def hidden_square(cls, shape: tuple[int, int, int], side: int) -> "Inpainting":
        """All but a square of `side` pixels in the middle of images (C, H, W)."""
        _, height, width = shape
        if not 0 <= side <= min(height, width):
            raise InputError(f"a hidden square of {side} pixels in images of {height} x {width}", "choose a side that fits")
        seen = torch.ones(shape, dtype=torch.bool)
        top, left = (height - side) // 2, (width - side) // 2
        seen[:, top : top + side, left : left + side] = False
        return cls(seen)

    def measure(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.seen.shape:
            raise InputError(f"images of shape {tuple(x.shape[1:])} for pixels of {tuple(self.seen.shape)}", "give images of that shape")
        return x[:, self.seen.to(x.device)]

    def spread(self, values: Tensor) -> Tensor:
        seen = self.seen.to(values.device)
        return values.new_zeros(len(values), *seen.shape).masked_scatter(seen.expand(len(values), *seen.shape), values)


@final
@dataclass(frozen=True)
class BlockMeans(Measurement):
    """Low resolution: the mean of every block of `factor` x `factor` pixels, times `factor`, (n, C,
    H / factor, W / factor)."""

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise InputError(f"blocks of {self.factor} pixels", "choose a factor of at least 1")

    def measure(self, x: Tensor) -> Tensor:
        if x.shape[-2] % self.factor or x.shape[-1] % self.factor:
            raise InputError(f"images of {x.shape[-2]} x {x.shape[-1]} pixels in blocks of {self.factor}", "choose a factor of their sides")
        return self.factor * F.avg_pool2d(x, self.factor)

    def spread(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1) / self.factor


@final
@dataclass(frozen=True, eq=False)
class Rows(Measurement):
    """Any orthonormal rows (m, C, H, W): values (n, m). `Rows.spanning` makes them so."""

    rows: Tensor

    def __post_init__(self) -> None:
        flat = self.rows.flatten(1).double()
        if self.rows.ndim != 4 or not torch.allclose(flat @ flat.T, torch.eye(len(flat), dtype=flat.dtype, device=flat.device), atol=1e-5):
            raise InputError("rows that are not orthonormal", "give (m, C, H, W) from Rows.spanning")

    @classmethod
    def spanning(cls, directions: Tensor) -> "Rows":
        """Orthonormal rows with the span of linearly independent directions (m, C, H, W)."""
        q, r = torch.linalg.qr(directions.double().flatten(1).T)
        size = r.diagonal().abs()
        if len(directions) > directions[0].numel() or float(size.min()) <= 1e-10 * float(size.max()):
            raise InputError("measured directions that are not linearly independent", "leave out those that the others span")
        return cls(q.T.reshape(directions.shape).to(directions.dtype))

    def measure(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.rows.flatten(1).T.to(x)

    def spread(self, values: Tensor) -> Tensor:
        return (values @ self.rows.flatten(1).to(values)).reshape(len(values), *self.rows.shape[1:])


class Constraint(ABC):
    """A constraint on n samples."""

    @abstractmethod
    def of(self, chosen: Tensor) -> "Constraint":
        """Return the constraint on the chosen samples (m,)."""

    @abstractmethod
    def start(self, mean: Tensor) -> Tensor:
        """(n, C, H, W) where to start instead of `mean`."""

    @abstractmethod
    def direction(self, y: Tensor, residual: Tensor) -> Tensor:
        """What to take off y, like y, to reach a clean sample that meets the constraint, from the
        denoiser's residual at y."""


@final
@dataclass(frozen=True)
class Free(Constraint):
    """No constraint: samples of the prior."""

    def of(self, chosen: Tensor) -> Constraint:
        return self

    def start(self, mean: Tensor) -> Tensor:
        return mean

    def direction(self, y: Tensor, residual: Tensor) -> Tensor:
        return residual


FREE = Free()


@final
@dataclass(frozen=True, eq=False)
class Measured(Constraint):
    """Each sample measures its row of values (n, ...) (Kadkhodaie and Simoncelli, NeurIPS 2021,
    algorithm 2)."""

    measurement: Measurement
    values: Tensor

    @classmethod
    def on(cls, measurement: Measurement, images: Tensor) -> "Measured":
        """What the measurement sees of images (n, C, H, W)."""
        return cls(measurement, measurement.measure(images))

    def of(self, chosen: Tensor) -> "Measured":
        return Measured(self.measurement, self.values[chosen])

    def start(self, mean: Tensor) -> Tensor:
        """`mean` moved as little as possible: (1 - M M^T) mean + M c."""
        self._refuse_other_counts(mean)
        return mean + self.measurement.spread(self.values.to(mean) - self.measurement.measure(mean))

    def direction(self, y: Tensor, residual: Tensor) -> Tensor:
        """(1 - M M^T) f(y) + M (M^T y - c): the denoiser decides what is not measured, the values what is."""
        self._refuse_other_counts(y)
        seen = self.measurement.measure(y - residual)
        return residual + self.measurement.spread(seen - self.values.to(y))

    def violation(self, x: Tensor) -> Tensor:
        """(n,) the largest |M^T x - c| of each sample."""
        return (self.measurement.measure(x) - self.values.to(x)).flatten(1).abs().amax(1)

    def _refuse_other_counts(self, y: Tensor) -> None:
        if len(y) != len(self.values):
            raise InputError(f"{len(self.values)} rows of measured values for {len(y)} samples", "give one row for each sample")
