"""Nearest training images by a perceptual distance instead of correlation ([RP]: the perceptual
critique).

The ten training images that correlate best with a sample are ordered again by a perceptual
distance: LPIPS, or SSIM, which needs no weights. What counts is how often another image comes
first, and how far the two orders agree.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.similarity import blockwise_nearest

COUNT = 10
SMALLEST = 7  # pixels of SSIM's window, as published (Wang et al. 2004 use 11 with Gaussian weights)
BATCH = 64  # pairs that VGG sees at a time
SMALLEST_SIDE = 16  # pixels a side that VGG's four halvings need
NO_PACKAGE = "pip install 'twinsplit[lpips]' with a torchvision that fits your torch, or use SSIM"
SAVED = "save lpips.LPIPS(net='vgg') by safetensors.torch.save_model(network, FILE)"
Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(n,) distances of images (n, C, H, W) in [0, 1], one by one."""


def nearest_by_correlation(samples: Tensor, training: Tensor, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Correlations (m, count) float64, highest first, and rows (m, count) of the training images
    (N, ...) nearest to samples (m, ...).

    Correlation is of the images less their own means, as in [GAHB]: between directions a and b it
    is 1 - |a - b|^2 / 2.
    """
    distances, rows = blockwise_nearest(samples, training, count, features=_directions)
    return 1.0 - distances.square() / 2.0, rows


def constant(images: Tensor) -> Tensor:
    """(n,) bool: which of the images (n, ...) have one level throughout, and so correlate with nothing."""
    flat, norms = _centred(images)
    alike: Tensor = norms <= 1e-12 * flat.abs().amax(1)
    return alike


def _centred(images: Tensor) -> tuple[Tensor, Tensor]:
    """(n, d) float64 less their own means, and the lengths (n,) of that."""
    flat = torch.as_tensor(images).double().flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return centred, centred.norm(dim=1)


def _directions(images: Tensor) -> Tensor:
    if bool(constant(images).any()):
        raise InputError("an image of one colour correlates with nothing", "leave constant images out")
    centred, norms = _centred(images)
    return centred / norms[:, None]


def ssim_distance(first: Tensor, second: Tensor) -> Tensor:
    """(n,) 1 - SSIM (Wang et al. 2004) of images (n, C, H, W) in [0, 1], by scikit-image, in
    windows of 7 pixels or less."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise InputError("SSIM needs scikit-image", "pip install 'twinsplit[perceptual]'") from error
    side = min(first.shape[-2:])
    window = min(SMALLEST, side - 1 + side % 2)
    if window < 3:
        raise InputError(f"images of {tuple(first.shape[-2:])} pixels", "SSIM needs 3 or more a side")
    pairs = zip(first.double().numpy(), second.double().numpy(), strict=True)
    compare: Any = structural_similarity
    found = [1.0 - compare(a, b, win_size=window, data_range=1.0, channel_axis=0) for a, b in pairs]
    return torch.tensor(found, dtype=torch.float64)


@final
class Lpips:
    """LPIPS (Zhang et al. 2018) through the `lpips` package, with VGG weights from a local file;
    nothing is downloaded.

    weights: of the package's `LPIPS(net="vgg")`, backbone and linear layers, as
    `safetensors.torch.save_model` writes them. The package needs a torchvision that fits the
    installed torch.
    """

    def __init__(self, weights: Path) -> None:
        self.network = _lpips_network(weights)

    @torch.no_grad()
    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """(n,) distances; grey images are repeated to three channels, [0, 1] becomes [-1, 1], and
        small images are `enlarged`."""
        parts = zip(torch.split(first, BATCH), torch.split(second, BATCH), strict=True)
        return torch.cat([self._part(a, b) for a, b in parts])

    def _part(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = (enlarged(2.0 * images.float().expand(-1, 3, -1, -1) - 1.0) for images in (first, second))
        found: Tensor = self.network(a, b).flatten().double()
        return found


def enlarged(images: Tensor) -> Tensor:
    """Enlarge images (n, C, H, W) bilinearly by `enlargement` of their smaller side."""
    factor = enlargement(min(images.shape[-2:]))
    return images if factor == 1 else F.interpolate(images, scale_factor=factor, mode="bilinear")


def enlargement(side: int) -> int:
    """The smallest whole factor that brings `side` pixels to the 16 that VGG needs; 1 where they
    are enough."""
    return -(-SMALLEST_SIDE // side)


def _lpips_network(weights: Path) -> Any:
    try:
        import lpips
    except Exception as error:  # a torchvision that does not fit raises RuntimeError
        raise InputError(f"LPIPS does not load here: {str(error).splitlines()[0]}", NO_PACKAGE) from error
    network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False).eval()
    _load(network, weights)
    return network


def _load(network: Any, weights: Path) -> None:
    """The package names its linear layers twice (lin0, lins.0), and `save_model` writes each tensor
    once, under the first name."""
    try:
        missing, unexpected = network.load_state_dict(_state(weights), strict=False)
    except RuntimeError as error:  # tensors of other shapes
        raise InputError(f"{weights} holds weights of another network than LPIPS(net='vgg')", SAVED) from error
    wrong = [*(name for name in missing if not name.startswith("lins.")), *unexpected]
    if wrong:
        raise InputError(f"{weights} holds weights of another network than LPIPS(net='vgg') (first: {wrong[0]})", SAVED)


def _state(weights: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(weights)
    except Exception as error:  # the library's errors have no common base
        raise InputError(f"{weights} holds no LPIPS weights: {str(error).splitlines()[0]}", SAVED) from error


def perceptual_distances(samples: Tensor, training: Tensor, rows: Tensor, distance: Distance) -> Tensor:
    """(m, count) distances of every sample to the training images `rows` (m, count)."""
    count = rows.shape[1]
    found = distance(samples.repeat_interleave(count, 0), training[rows.flatten()])
    return found.reshape(rows.shape)


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation of (n,) and (n,), ties averaged; 0 where one is constant, which orders nothing."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0
