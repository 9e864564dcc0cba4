"""Coarse-to-fine filters of images: principal components, and three scales of Haar wavelets ([BG]
figure 7).

Both are linear and keep the shape: a filtered copy of the data is data. Images are (n, ..., H, W),
floating point.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.errors import InputError

LEVELS = 3
Gains = tuple[float, float, float]
Images = Tensor | NDArray[Any]


def pca(images: Images, components: int, fit_on: Images) -> Tensor:
    """`images` with all but the `components` leading principal components of `fit_on` removed; the
    mean of `fit_on` stays.

    images: (n, ...). fit_on: images (m, ...) of the same shape, or row numbers (m,) of `images`.
    Fitted in float64, given back in the type of `images`. m images span at most m - 1 directions
    around their mean; a component beyond their span is rounding error and is left out.
    """
    pictures = _floating(images)
    given = torch.as_tensor(fit_on)
    sample = pictures[given.long()] if given.ndim == 1 and not given.is_floating_point() else given
    return Principal.fit(sample, components).apply(pictures)


@final
@dataclass(frozen=True, eq=False)
class Principal:
    """The leading principal components of some images, for as many sets as are to be projected. float64.

    mean: (d,); basis: (k, d) orthonormal rows; shape: of one image.
    """

    mean: Tensor
    basis: Tensor
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, images: Images, components: int) -> "Principal":
        """Fit the components to images (m, ..., H, W); see `pca`."""
        sample = _floating(images)
        _check_components(sample, components)
        flat = sample.double().flatten(1)
        mean = flat.mean(0)
        return cls(mean, _leading(flat - mean, components), tuple(sample.shape[1:]))

    def apply(self, images: Images) -> Tensor:
        """`images` (n, ..., H, W) projected, in their own type."""
        pictures = _floating(images)
        if tuple(pictures.shape[1:]) != self.shape:
            raise InputError(f"PCA of images {tuple(pictures.shape[1:])} fitted on {self.shape}", "fit on images of the same shape")
        flat = pictures.double().flatten(1)
        projected: Tensor = ((flat - self.mean) @ self.basis.T @ self.basis + self.mean).to(pictures.dtype)
        return projected.reshape(pictures.shape)


def _leading(centred: Tensor, components: int) -> Tensor:
    """(k, d) orthonormal rows, k <= components: the directions in which (m, d) points vary most."""
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    rounding = torch.finfo(torch.float64).eps * max(centred.shape) * float(spread[0])
    kept: Tensor = directions[:components][spread[:components] > rounding]
    return kept


def haar(images: Images, zero_finest: int = 0, gains: Gains = (1.0, 1.0, 1.0)) -> Tensor:
    """`images` (n, ..., H, W) with the details of a 3-level Haar transform multiplied by gains
    (coarse, medium, fine).

    zero_finest: how many of the finest scales get gain 0 instead, 0..3. The defaults change
    nothing. H and W are at least 8; where they are not multiples of 8 the image is continued by
    reflection, and cut back.
    """
    import pywt

    pictures = _floating(images)
    scales = _scales(zero_finest, gains)
    if min(pictures.shape[-2:]) < 1 << LEVELS:
        raise InputError(
            f"images of shape {tuple(pictures.shape)} for {LEVELS} levels of wavelets", f"use {1 << LEVELS} pixels or more a side"
        )
    coarse, *details = pywt.wavedec2(pictures.numpy(), "haar", level=LEVELS, axes=(-2, -1))
    scaled = [tuple(band * gain for band in bands) for gain, bands in zip(scales, details, strict=True)]
    height, width = pictures.shape[-2:]
    whole: NDArray[Any] = pywt.waverec2([coarse, *scaled], "haar", axes=(-2, -1))[..., :height, :width]
    return torch.from_numpy(np.ascontiguousarray(whole)).to(pictures.dtype)


def _scales(zero_finest: int, gains: Gains) -> list[float]:
    if not 0 <= zero_finest <= LEVELS:
        raise InputError(f"zero_finest = {zero_finest}", f"choose from 0 to {LEVELS}")
    if len(gains) != LEVELS or not np.isfinite(gains).all():
        raise InputError(f"gains {gains}", "give three finite numbers: (coarse, medium, fine)")
    return [float(gain) if level < LEVELS - zero_finest else 0.0 for level, gain in enumerate(gains)]


def _floating(images: Images) -> Tensor:
    pictures = torch.as_tensor(images)
    if pictures.ndim < 3 or not pictures.is_floating_point():
        raise InputError(f"images of shape {tuple(pictures.shape)} and type {pictures.dtype}", "give floats of shape (n, ..., H, W)")
    return pictures.detach().cpu()


def _check_components(sample: Tensor, components: int) -> None:
    if not len(sample):
        raise InputError("PCA fitted on no images", "fit on two or more")
    most = min(len(sample), sample[0].numel())
    if not 1 <= components <= most:
        raise InputError(f"{components} components of {len(sample)} images of {sample[0].numel()} numbers", f"choose from 1 to {most}")
