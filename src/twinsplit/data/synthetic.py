"""Image classes whose best denoising rates are known: regular regions on both sides of a regular
contour, and discs of five parameters.

image i of a class is a function of (seed, i) alone: whatever is asked for beside it, the same
numbers come back. Both classes are those of [GAHB] (Kadkhodaie, Guth, Simoncelli and Mallat, ICLR
2024) up to what docs/rates.md says.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import zeta
from torch import Tensor

from twinsplit.data.images.frame import LARGEST_SIDE
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

Floats = NDArray[np.float64]
SMALLEST_SIDE = 4
COLUMNS = 4  # places in a pixel's width at which the contour is taken; its height within the pixel is exact
SPREAD = 0.1  # standard deviation of a contour, in heights of the image
MIDDLE = (0.35, 0.65)  # mean height of a contour
RADII = (0.1, 0.4)  # of a disc, in sides of the image
DISC_PARAMETERS = 5
FIRST_FRESH = 1 << 32  # number of the first image that no data folder reaches


class ImageClass(ABC):
    """Grey images without end. size: pixels a side; seed: any integer."""

    size: int
    seed: int

    @property
    @abstractmethod
    def slope(self) -> float:
        """Decibels that the best output PSNR gains for each of the input PSNR, as the noise
        vanishes and pixels abound."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What decides the images, for data.json."""

    @abstractmethod
    def images(self, ids: Tensor) -> Floats:
        """(n, 1, size, size) in [0, 1] for ids (n,) int64, from 0."""


def _check_size(size: int) -> None:
    if not SMALLEST_SIDE <= size <= LARGEST_SIDE:
        raise InputError(f"images of {size} pixels a side", f"choose from {SMALLEST_SIDE} to {LARGEST_SIDE}")


@final
@dataclass(frozen=True)
class CAlphaImages(ImageClass):
    """Two regions, each a Gaussian field, above and below a Gaussian contour that runs from left to
    right; all periodic.

    Amplitudes fall as |k|^-(alpha + 1) in the plane and |k|^-(alpha + 1/2) along the contour, so
    that both have every Hölder regularity below alpha and none above. On this class no denoiser's
    mean squared error falls faster than sigma^(2 alpha / (alpha + 1)) (Korostelev and Tsybakov,
    *Minimax theory of image reconstruction*, 1993; Dossal, Le Pennec and Mallat, arXiv 0809.3092,
    section 2).

    One region is scaled to span [u, 1], the other [0, v], with u, v uniform and either above; a
    pixel on the contour mixes both by area. Coarse frequencies are the same at every size, so a
    larger image is the same picture in finer detail.
    """

    alpha: float
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_size(self.size)
        if not 0 < self.alpha < float("inf"):
            raise InputError(f"images of regularity {self.alpha}", "choose a positive alpha")

    @property
    def slope(self) -> float:
        return self.alpha / (self.alpha + 1)

    @property
    def noise(self) -> Noise:
        """Its root of randomness; the same normals for every alpha."""
        return Noise(self.seed, "calpha")

    def describe(self) -> dict[str, Any]:
        return {"kind": "calpha", "alpha": float(self.alpha), "size": self.size, "seed": self.seed}

    def contours(self, ids: Tensor) -> Floats:
        """(n, COLUMNS size) height of the contour at evenly spaced places from the left, from the
        top, in heights of the image."""
        places = COLUMNS * self.size
        k = np.arange(1, places // 2)
        scale = SPREAD / np.sqrt(zeta(2 * self.alpha + 1)) * k ** -(self.alpha + 0.5)
        waves = np.zeros((len(ids), places), np.complex128)
        waves[:, k] = _complex(self.noise.child("contour"), ids, len(k)) * scale * np.exp(1j * np.pi * k / places)
        low, high = MIDDLE
        middle = low + (high - low) * self.noise.child("middle").uniform(0, ids, (1,)).numpy()
        heights: Floats = middle + np.fft.ifft(waves, norm="forward").real
        return heights

    def fields(self, ids: Tensor, region: int) -> Floats:
        """(n, size, size) the Gaussian field of a region (0 or 1) before it is scaled, at the
        centres of pixels; of mean 0."""
        rows, columns = half_plane(self.size)
        scale = np.hypot(rows, columns) ** -(self.alpha + 1) * np.exp(1j * np.pi * (rows + columns) / self.size)
        waves = np.zeros((len(ids), self.size, self.size), np.complex128)
        waves[:, rows, columns] = _complex(self.noise.child(f"field {region}"), ids, len(rows)) * scale
        fields: Floats = np.fft.ifft2(waves, norm="forward").real
        return fields

    def levels(self, ids: Tensor) -> Floats:
        """(n, 2, 2) lowest and highest level of each region."""
        u, v = self.noise.child("levels").uniform(0, ids, (2,)).numpy().T
        levels: Floats = np.stack([u, np.ones_like(u), np.zeros_like(v), v], axis=1).reshape(-1, 2, 2)
        return levels

    def scales(self, ids: Tensor) -> Floats:
        """(n, 2) what each region's field is multiplied by."""
        spans = np.stack([np.ptp(self.fields(ids, region), axis=(1, 2)) for region in (0, 1)], axis=1)
        scales: Floats = np.diff(self.levels(ids), axis=2)[..., 0] / spans
        return scales

    @property
    def power(self) -> Floats:
        """(size^2 - 1 or fewer,) variance of a field before it is scaled in each direction of an
        orthonormal basis, over size^2."""
        rows, columns = half_plane(self.size)
        power: Floats = np.repeat(0.5 * np.hypot(rows, columns) ** (-2 * (self.alpha + 1)), 2)
        return power

    def images(self, ids: Tensor) -> Floats:
        levels = self.levels(ids)[..., None, None]
        first, second = (_spanning(self.fields(ids, region), *levels[:, region].swapaxes(0, 1)) for region in (0, 1))
        bright = self.noise.child("bright").uniform(0, ids, (1, 1, 1)).numpy()
        above = np.clip(self.contours(ids)[:, None] * self.size - np.arange(self.size)[:, None], 0.0, 1.0)
        above = above.reshape(len(ids), self.size, self.size, COLUMNS).mean(-1)
        share = np.where(bright[:, 0] < 0.5, above, 1.0 - above)
        images: Floats = (share * first + (1.0 - share) * second)[:, None]
        return images


def _complex(noise: Noise, ids: Tensor, count: int) -> NDArray[np.complex128]:
    """(n, count) a + ib of two standard normals; the first ones do not depend on count."""
    pairs = noise.normal(0, ids, (count, 2)).numpy()
    values: NDArray[np.complex128] = pairs[..., 0] + 1j * pairs[..., 1]
    return values


@lru_cache(maxsize=16)
def half_plane(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of one of each pair of opposite frequencies below Nyquist's, square around
    square from the coarsest."""
    limit = (size - 1) // 2
    rows, columns = (v.ravel() for v in np.meshgrid(*(np.arange(-limit, limit + 1),) * 2, indexing="ij"))
    kept = (rows > 0) | ((rows == 0) & (columns > 0))
    rows, columns = rows[kept], columns[kept]
    order = np.lexsort((columns, rows, np.maximum(np.abs(rows), np.abs(columns))))
    return rows[order], columns[order]


def _spanning(fields: Floats, low: Floats, high: Floats) -> Floats:
    """Each field scaled to lowest value low and highest high."""
    least, most = fields.min((1, 2), keepdims=True), fields.max((1, 2), keepdims=True)
    scaled: Floats = low + (high - low) * (fields - least) / (most - least)
    return scaled


@final
@dataclass(frozen=True)
class DiscImages(ImageClass):
    """A disc of one grey on another: five parameters, so that the best mean squared error is 5
    sigma^2 / pixels once the noise is low.

    Radius uniform over RADII sides, centre uniform over where the whole disc is inside, both greys
    uniform in [0, 1]. Every pixel is mixed by the exact area of the disc in it.
    """

    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_size(self.size)

    @property
    def slope(self) -> float:
        return 1.0

    def describe(self) -> dict[str, Any]:
        return {"kind": "discs", "size": self.size, "seed": self.seed}

    @property
    def radii(self) -> tuple[float, float]:
        """Smallest and largest radius, in pixels."""
        low, high = RADII
        return low * self.size, high * self.size

    def parameters(self, ids: Tensor) -> Floats:
        """(n, 5) row and column of the centre from the upper left corner, and radius, in pixels;
        grey inside, grey outside."""
        u: Floats = Noise(self.seed, "discs").uniform(0, ids, (DISC_PARAMETERS,)).numpy()
        return np.concatenate([self.placed(u[:, :3]), u[:, 3:]], axis=1)

    def placed(self, u: Floats) -> Floats:
        """(n, 3) row, column and radius from uniform numbers (n, 3)."""
        low, high = self.radii
        radius = low + (high - low) * u[:, 2:]
        return np.concatenate([radius + (self.size - 2 * radius) * u[:, :2], radius], axis=1)

    def coverage(self, places: Floats) -> Floats:
        """(n, size, size) the share of each pixel that lies in the disc of row, column and radius
        (n, 3, ...), in pixels."""
        row, column, radius = places[:, :3].T[:, :, None]
        edges = np.arange(self.size + 1)
        down, right = (edges - row) / radius, (edges - column) / radius
        corners = _corner_area(down[:, :, None], right[:, None, :])
        found: Floats = radius[..., None] ** 2 * np.diff(np.diff(corners, axis=1), axis=2)
        return np.clip(found, 0.0, 1.0)

    def draw(self, parameters: Floats) -> Floats:
        """(n, 1, size, size) the images of parameters (n, 5)."""
        inside, outside = parameters[:, 3:].T[:, :, None, None]
        images: Floats = (outside + (inside - outside) * self.coverage(parameters))[:, None]
        return images

    def images(self, ids: Tensor) -> Floats:
        return self.draw(self.parameters(ids))


def _cap(x: Floats) -> Floats:
    """Area of the unit disc's upper half to the left of x in [-1, 1]."""
    area: Floats = 0.5 * (x * np.sqrt(1.0 - x * x) + np.arcsin(x) + np.pi / 2)
    return area


def _corner_area(a: Floats, b: Floats) -> Floats:
    """Area of the unit disc where one coordinate is below a and the other below b.

    What lies beyond |b| on one side, left of a, is the cap between the chord and the arc; below b >
    0 lies all but that.
    """
    a, b = np.clip(a, -1.0, 1.0), np.clip(b, -1.0, 1.0)
    half = np.sqrt(1.0 - b * b)
    end = np.clip(a, -half, half)
    beyond = _cap(end) - _cap(-half) - np.abs(b) * (end + half)
    area: Floats = np.where(b > 0, 2 * _cap(a) - beyond, beyond)
    return area


def fresh(count: int) -> Tensor:
    """(count,) numbers of images that are in no data folder."""
    return torch.arange(count) + FIRST_FRESH
