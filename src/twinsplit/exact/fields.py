"""The best denoising error of the smooth regions of C^alpha images on a grid: Wiener's error, exact
for a Gaussian field.

It tells how far a grid of this size, at these noise levels, is from the limit in which the slope is
alpha / (alpha + 1).
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.data.synthetic import CAlphaImages

Floats = NDArray[np.float64]


def field_error(kind: CAlphaImages, ids: Tensor, sigma: float) -> float:
    """Mean squared error per pixel of the best denoiser of a region's field, seen over the whole
    image in noise sigma, over images `ids`.

    Wiener: a direction of power p keeps the error p n / (p + n), where noise has n = sigma^2 /
    pixels in every direction. The level that a field is moved to is one more direction, of which
    nothing is known. What a field is scaled by counts as known.
    """
    noise = sigma**2 / kind.size**2
    power = kind.scales(ids).reshape(-1, 1) ** 2 * kind.power
    return float((power * noise / (power + noise)).sum(1).mean() + noise)
