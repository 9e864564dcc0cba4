"""How alike two sets of images are, sample by sample ([BG] figures 1a and 2), and which training
images are nearest to a sample.

The first three functions compare the i-th sample with the i-th: cosine similarity of two noise
predictions, or of two samples drawn from the same noise. `blockwise_nearest` compares every sample
with every image, in bounded memory. Everything is computed in float64.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.errors import InputError

Images: TypeAlias = Tensor | NDArray[Any]
Features: TypeAlias = Callable[[Tensor], Tensor]
Found: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]  # squared distances and rows, (m, count)

LARGEST = 1e150  # the square of a larger number may not be a number
LARGEST_BLOCK, BLOCK_BYTES = 2048, 1 << 25
MANY = 16  # candidates per neighbour sought, from which on a sharper bound costs less than looking at each of them


def cosine_similarity(first: Images, second: Images) -> Tensor:
    """(n,) float64 in [-1, 1]: <a, b> / |a| |b| of each sample of first and second (n, ...), over
    all its entries.

    Where a vector is zero the angle has no meaning: the similarity is then 1 if both are zero (they
    are equal) and 0 if one is (it shares no direction with the other), so a mean over samples is
    always a number. Scaling a sample by a positive factor changes nothing. Raises InputError for
    shapes that differ, no entries, or values that are not finite.
    """
    return _cosine(*_paired(first, second))


def correlation(first: Images, second: Images) -> Tensor:
    """(n,) float64 in [-1, 1]: Pearson's, the cosine similarity after each sample's own mean has
    been taken off ([GAHB], [RP]).

    A constant sample is a zero vector then, and is treated as `cosine_similarity` treats one.
    """
    a, b = _paired(first, second)
    return _cosine(_centred(a), _centred(b))


def mean_squared_difference(first: Images, second: Images) -> Tensor:
    """(n,) float64: the mean over entries of (a - b)^2, for each sample of first and second (n, ...)."""
    a, b = _paired(first, second)
    return (a - b).square().mean(1)


def _paired(first: Images, second: Images) -> tuple[Tensor, Tensor]:
    a, b = torch.as_tensor(first), torch.as_tensor(second)
    if a.shape != b.shape or a.ndim < 2 or 0 in a.shape[1:]:
        raise InputError(f"samples of shapes {tuple(a.shape)} and {tuple(b.shape)}", "give two sets of one shape (n, ...)")
    return _numbers(a), _numbers(b)


def _numbers(images: Images) -> Tensor:
    """(n, d) float64; InputError where a value is not a finite real number below LARGEST."""
    tensor = torch.as_tensor(images)
    if tensor.is_complex():
        raise InputError(f"values of type {tensor.dtype}", "give real numbers")
    rows = tensor.double().flatten(1)
    if not bool((rows.abs() < LARGEST).all()):
        raise InputError(f"values that are not finite, or beyond {LARGEST:g}", "leave out samples that diverged, and say how many")
    return rows


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    a, b = _direction(a), _direction(b)
    lost = (a == 0).all(1) & (b == 0).all(1)
    return (a * b).sum(1).clamp(-1.0, 1.0).masked_fill(lost, 1.0)


def _direction(rows: Tensor) -> Tensor:
    """Rows of length 1, or of zeros. First by the largest entry, whose square neither vanishes nor
    overflows."""
    largest = rows.abs().amax(1, keepdim=True)
    rows = rows / torch.where(largest > 0, largest, torch.ones_like(largest))
    length = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(length > 0, length, torch.ones_like(length))


def _centred(rows: Tensor) -> Tensor:
    """Subtract each row's mean; the first entry is subtracted before, so that a constant row
    becomes exactly zero."""
    rows = rows - rows[:, :1]
    return rows - rows.mean(1, keepdim=True)


def blockwise_nearest(
    queries: Images, points: Images, count: int = 2, block: int | None = None, features: Features | None = None
) -> tuple[Tensor, Tensor]:
    """Euclidean distances (m, count) float64 from each query to its nearest points, nearest first,
    and the rows (m, count) int64 of these.

    queries: (m, ...), points: (N, ...) with N >= count; a point set may be asked about itself, and
    then finds itself at distance 0. features: maps images (k, ...) to (k, d), both sides in blocks;
    it sees every point once. block: rows taken at a time; by default as many as fill 32 MiB in
    float64, and memory is a few times that. The results are on the device of the queries.

    Exact: equal, to the bit and whatever the block, to sqrt(sum (a - b)^2) in float64 over all
    pairs, sorted; among equal distances the lower row comes first. |a|^2 + |b|^2 - 2 a.b only rules
    points out, by a bound on its rounding error: on its own it would give near copies distances
    that are not theirs. Raises InputError for shapes that differ, fewer than `count` points, or
    values not finite.
    """
    size = _block_size(queries, points, count, block)
    device = queries.device if isinstance(queries, Tensor) else torch.device("cpu")
    sought = [_described(part, features, device) for _, part in _blocks(queries, size)]
    best = [(np.full((len(part), count), np.inf), np.full((len(part), count), -1)) for part in sought]
    for start, part in _blocks(points, size):
        described = _described(part, features, device)
        best = [_nearer(found, query, described, start) for found, query in zip(best, sought, strict=True)]
    distance = np.sqrt(np.concatenate([np.empty((0, count)), *(squared for squared, _ in best)]))
    rows = np.concatenate([np.empty((0, count), np.int64), *(rows for _, rows in best)])
    return torch.from_numpy(distance).to(device), torch.from_numpy(rows).to(device)


def _block_size(queries: Images, points: Images, count: int, block: int | None) -> int:
    shapes = f"queries {tuple(queries.shape)} and points {tuple(points.shape)}"
    if queries.ndim < 2 or queries.shape[1:] != points.shape[1:] or 0 in points.shape[1:]:
        raise InputError(shapes, "give (m, ...) and (N, ...) with the same axes after the first")
    if not 1 <= count <= len(points):
        raise InputError(f"{count} nearest of {len(points)} points", "ask for at least one and at most as many as there are")
    if block is not None and block < 1:
        raise InputError(f"blocks of {block} rows", "use one or more")
    return block or int(np.clip(BLOCK_BYTES // (8 * int(np.prod(points.shape[1:]))), 1, LARGEST_BLOCK))


def _blocks(images: Images, size: int) -> Iterator[tuple[int, Images]]:
    return ((start, images[start : start + size]) for start in range(0, len(images), size))


def _described(images: Images, features: Features | None, device: torch.device) -> Tensor:
    """(k, d) numbers on `device`, in their own type where they are images: eight bits stay eight
    bits until they are used."""
    tensor = (images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))).to(device)
    with torch.no_grad():
        rows = tensor.flatten(1) if features is None else features(tensor)
    if rows.ndim != 2 or len(rows) != len(tensor):
        raise InputError(f"features of shape {tuple(rows.shape)} of {len(tensor)} images", "return one row (d,) for each image")
    _numbers(rows)
    return rows


def _nearer(found: Found, queries: Tensor, points: Tensor, start: int) -> Found:
    """Return `found` updated with the rows from `start` on."""
    a, b = queries.double(), points.double()
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features of {a.shape[1]} and {b.shape[1]} numbers", "return as many for every image")
    query, point = _candidates(a, b, torch.from_numpy(found[0]).to(a.device))
    return _merged(found, query, _squared_distances(a, b, query, point), point + start)


def _candidates(a: Tensor, b: Tensor, known: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (query, point), sorted by query: all that may belong to the `count` nearest. known: the
    best squares (m, count) so far."""
    near = torch.ones(len(a), len(b), dtype=torch.bool, device=a.device)
    for product in _products(a):
        near = _not_ruled_out(*_bounds(a, b, product), known)
        if int(near.sum()) <= MANY * known.numel():
            break
    query, point = near.nonzero().cpu().numpy().T
    return query, point


def _not_ruled_out(low: Tensor, width: Tensor, known: Tensor) -> Tensor:
    """(m, k): which distances may be as small as the last of `known`; where that says little, as
    the `count` smallest of these."""
    count = known.shape[1]
    near = low <= known[:, -1:]
    if low.shape[1] < count or int(near.sum()) <= MANY * known.numel():
        return near
    within = low.kthvalue(count, dim=1).values + width
    return low <= torch.minimum(within, known[:, -1])[:, None]


def _products(a: Tensor) -> list[torch.dtype]:
    """The types to multiply in: float32 first where it is one (it may be set to keep fewer digits),
    and has digits to spare."""
    single = a.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest" and a.shape[1] < 1 << 20
    return [torch.float32, torch.float64] if single else [torch.float64]


def _bounds(a: Tensor, b: Tensor, product: torch.dtype) -> tuple[Tensor, Tensor]:
    """low (m, k) and width (m,), float64: the squared distances of a (m, d) and b (k, d), as
    `_squared_distances` computes them, lie in [low, low + width].

    A sum of d products in a type with unit roundoff u is off by at most d u |a| |b| (1 + O(d u))
    (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1); the rounding of a and b
    themselves to that type adds 4 u (|a|^2 + |b|^2), and the sum that is compared with adds twice d
    u |a - b|^2 in float64. The scale is a power of two, which rounds nothing.
    """
    centre = a.mean(0)
    a, b = a - centre, b - centre
    scale = 2.0 ** np.ceil(np.log2(max(float(a.abs().max()), float(b.abs().max()), 1e-300)))
    a, b = (a / scale).to(product), (b / scale).to(product)
    share = (a.shape[1] + 16) * (0.6 * torch.finfo(product).eps + 2.0 * torch.finfo(torch.float64).eps)
    vanished = 4 * a.shape[1] * torch.finfo(product).tiny  # products too small for the type
    norm_a, norm_b = a.double().square().sum(1), b.double().square().sum(1)
    low = (a @ b.T).double().mul_(-2.0).add_(norm_a[:, None] * (1 - share)).add_(norm_b * (1 - share) - vanished)
    return low.mul_(scale**2), ((norm_a + norm_b.amax()) * share + vanished) * (2 * scale**2)


def _squared_distances(a: Tensor, b: Tensor, query: NDArray[np.int64], point: NDArray[np.int64]) -> NDArray[np.float64]:
    """(p,) sums of (a[query] - b[point])^2. NumPy adds up a row in an order of its own length
    alone, on every device."""
    squared = np.empty(len(query))
    size = max(1, BLOCK_BYTES // (8 * a.shape[1]))
    for start in range(0, len(query), size):
        part = slice(start, start + size)
        difference = (a[torch.from_numpy(query[part]).to(a.device)] - b[torch.from_numpy(point[part]).to(b.device)]).cpu().numpy()
        squared[part] = np.square(difference).sum(1)
    return squared


def _merged(found: Found, query: NDArray[np.int64], squared: NDArray[np.float64], rows: NDArray[np.int64]) -> Found:
    """The `count` first of each query, by distance and then by row."""
    count = found[0].shape[1]
    everyone = np.concatenate([np.repeat(np.arange(len(found[0])), count), query])
    squared, rows = np.concatenate([found[0].ravel(), squared]), np.concatenate([found[1].ravel(), rows])
    order = np.lexsort((rows, squared, everyone))
    first = np.searchsorted(everyone[order], np.arange(len(found[0])))
    kept = order[first[:, None] + np.arange(count)]
    return squared[kept], rows[kept]
