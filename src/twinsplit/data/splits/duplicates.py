"""Near-duplicates: images that correlate with an earlier one, sought block by block, decided
exactly ([GAHB]; PROTOCOL section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Union, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.errors import InputError
from twinsplit.runs.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Rows: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]
Images: TypeAlias = Union["Tensor", NDArray[Any]]

THRESHOLD, SIDE = 0.95, 20
LARGEST = 1e150  # the sum of larger numbers may not be a number
STRIP_BYTES, PAIR_BYTES = 1 << 27, 1 << 24
BLOCKS = {"cpu": 2048, "cuda": 8192}
REMEDY = "give real, finite images (n, H, W) or (n, C, H, W)"


def published_pool(height: int) -> int:
    """The side of the squares that are averaged over: `height` // 20, so that 40 and 80 pixels
    become 20; 1 below 40."""
    return max(1, height // SIDE)


def _silent(done: int, note: str = "") -> None:
    """Report nothing."""


def near_duplicates(
    images: Images,
    threshold: float = THRESHOLD,
    pool: int | None = None,
    block: int | None = None,
    device: "torch.device | str | None" = None,
    report: Progress = _silent,
) -> Rows:
    """Rows to remove, ascending: every image whose correlation with some earlier image is above
    `threshold` in absolute value.

    As published, an image that is itself removed still removes later ones. images: (n, H, W) or (n,
    C, H, W), of any real type, perhaps a memory map. pool: average over squares of so many pixels
    first (None: `published_pool`; 1: none). The mean of each channel is taken off; an image that is
    constant then correlates with nothing, not even with its own copy. block: images multiplied at a
    time; device: where (default: where the images are). report: told how many of `products(n,
    block)` blocks are done.

    Exact: the decision is that of `correlations` in float64, whatever the block and the device.
    Products in float32 only settle the pairs that their rounding error cannot bring to the other
    side of the threshold. Memory is bounded whatever n; the images are read once for every 128 MiB
    of pooled float32 ones. Raises InputError for a threshold outside [0, 1), other shapes, or
    values not finite.
    """
    search = _search(images, threshold, pool, block, device)
    removed = np.zeros(len(images), dtype=bool)
    done = 0
    for strip in search.strips():
        later = {rows.start: search.features(rows) for rows in search.blocks(strip)}
        for rows in search.blocks(slice(0, strip.stop)):
            earlier = later.get(rows.start)
            earlier = search.features(rows) if earlier is None else earlier
            for start in (start for start in later if start >= rows.start):
                search.settle(removed, start, later[start], rows.start, earlier)
                done += 1
            report(done)
    return np.flatnonzero(removed).astype(np.int64)


def products(images: int, block: int) -> int:
    """Count the pairs of blocks to compare."""
    blocks = -(-images // block)
    return blocks * (blocks + 1) // 2


def correlations(images: Images, first: Rows, second: Rows, pool: int) -> Reals:
    """(p,) in [-1, 1]: Pearson's correlation of image first[i] with image second[i], pooled, in
    float64; 0 where one is constant.

    NumPy adds up a row in an order of its own length alone, so a pair's value does not depend on
    the others.
    """
    found: Reals = (unit_images(images[first], pool) * unit_images(images[second], pool)).sum(1).clip(-1.0, 1.0)
    return found


def unit_images(images: Images, pool: int) -> Reals:
    """(n, d) float64: each image pooled, each channel's mean taken off, scaled to length 1; zeros
    for a constant image."""
    pooled = _pooled(_channelled(images), pool)
    centred = pooled - pooled[:, :, :1]  # so that a constant image becomes exactly zero
    rows = (centred - centred.mean(2, keepdims=True)).reshape(len(pooled), -1)
    rows = _scaled(rows, np.abs(rows).max(1, keepdims=True))  # whose squares neither vanish nor overflow
    return _scaled(rows, np.sqrt(np.square(rows).sum(1, keepdims=True)))


def _scaled(rows: Reals, by: Reals) -> Reals:
    return rows / np.where(by > 0, by, 1.0)


def _channelled(images: Images) -> NDArray[Any]:
    """(n, C, H, W), in memory; InputError where a value is not a finite real number below LARGEST."""
    array = np.asarray(images) if isinstance(images, np.ndarray) else _array(images)
    if array.dtype.kind not in "buif" or not float(np.abs(array).max(initial=0)) < LARGEST:
        raise InputError(f"images with values that are not finite real numbers below {LARGEST:g}", REMEDY)
    return array[:, None] if array.ndim == 3 else array


def _array(images: "Tensor") -> NDArray[Any]:
    """Floats of any type in float64: NumPy has fewer types than torch."""
    found: NDArray[Any] = (images.double() if images.is_floating_point() else images).detach().cpu().numpy()
    return found


def _pooled(images: NDArray[Any], pool: int) -> Reals:
    """(n, C, h w): sums over squares, whose factor a correlation does not see; what does not fill a
    square is left out, as published."""
    count, channels, height, width = images.shape
    high, wide = height // pool, width // pool
    total = np.zeros((count, channels, high, wide))
    for i in range(pool):
        for j in range(pool):
            total += images[:, :, i : high * pool : pool, j : wide * pool : pool]
    return total.reshape(count, channels, high * wide)


def _search(images: Images, threshold: float, pool: int | None, block: int | None, device: "torch.device | str | None") -> "_Search":
    import torch

    if not 0 <= threshold < 1:
        raise InputError(f"threshold {threshold}", "give a correlation from 0 to below 1; the published one is 0.95")
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise InputError(f"images of shape {tuple(images.shape)}", REMEDY)
    height, width = images.shape[-2:]
    chosen = published_pool(height) if pool is None else pool
    if not 1 <= chosen <= min(height, width):
        raise InputError(f"averages over {chosen} x {chosen} of {height} x {width} pixels", "give a side from 1 to that of the image")
    if block is not None and block < 1:
        raise InputError(f"blocks of {block} images", "use one or more")
    where = torch.device(device or (images.device if isinstance(images, torch.Tensor) else "cpu"))
    return _Search(images, threshold, chosen, block or block_on(where), where)


def block_on(device: "torch.device | str") -> int:
    """Images multiplied at a time: as many as keep the device busy and their products small."""
    import torch

    return BLOCKS.get(torch.device(device).type, BLOCKS["cpu"])


@final
@dataclass(frozen=True, eq=False)
class _Search:
    images: Images
    threshold: float
    pool: int
    block: int
    device: "torch.device"

    @property
    def size(self) -> int:
        """Numbers in a pooled image."""
        *channels, height, width = self.images.shape[1:]
        return int(np.prod(channels)) * (height // self.pool) * (width // self.pool)

    def strips(self) -> Iterator[slice]:
        """Rows that are held at once, whole blocks."""
        return _slices(0, len(self.images), max(1, STRIP_BYTES // (4 * self.size * self.block)) * self.block)

    def blocks(self, rows: slice) -> Iterator[slice]:
        return _slices(rows.start, rows.stop, self.block)

    def features(self, rows: slice) -> "Tensor":
        """(k, d) unit images on the device, in the type that is multiplied in."""
        import torch

        return torch.from_numpy(unit_images(self.images[rows], self.pool)).to(_product_type()).to(self.device)

    def settle(self, removed: NDArray[np.bool_], start: int, later: "Tensor", before: int, earlier: "Tensor") -> None:
        """Mark in `removed` the rows start.. of `later` that one of the rows before.. of `earlier` removes."""
        product = later @ earlier.T
        if start == before:
            product.tril_(-1)
        width = _rounding(self.size)
        peak = product.amax(1).maximum(-product.amin(1)).double().cpu().numpy()
        marked = removed[start : start + len(peak)]
        marked |= peak > self.threshold + width
        unsure = np.flatnonzero((peak >= self.threshold - width) & ~marked)
        if len(unsure):
            near = (product[unsure.tolist()].abs() >= self.threshold - width).nonzero().cpu().numpy()
            self.decide(removed, start + unsure[near[:, 0]], before + near[:, 1])

    def decide(self, removed: NDArray[np.bool_], later: Rows, earlier: Rows) -> None:
        """Decide in float64 the pairs that the float32 products leave open."""
        step = max(1, PAIR_BYTES // (8 * int(np.prod(self.images.shape[1:]))))
        for part in _slices(0, len(later), step):
            second, first = later[part], earlier[part]
            above = np.abs(correlations(self.images, first, second, self.pool)) > self.threshold
            removed[second[above & (first < second)]] = True


def _slices(start: int, stop: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))


def _product_type() -> "torch.dtype":
    """float32, unless it is set to keep fewer digits than it has, for all devices or (then torch
    refuses to give one answer) for some."""
    import torch

    try:
        whole = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:
        whole = False
    return torch.float32 if whole else torch.float64


def _rounding(size: int) -> float:
    """By how much a product of two unit vectors of `size` entries may be off: (size + 2) u, u half
    of eps, with the rounding of the entries (Higham, *Accuracy and Stability of Numerical
    Algorithms*, section 3.1); and as much again of float64 for `correlations`."""
    import torch

    return (size + 16) * (0.6 * torch.finfo(_product_type()).eps + 1.2 * torch.finfo(torch.float64).eps)
