"""How close generated sequences come to the training set, compared with held-out ones ([BG] section
2, figure 4a).

Each sequence has a Hamming distance to its nearest training sequence. The nearest-neighbour
divergence is the KL divergence from the histogram of that distance over generated sequences to the
one over held-out sequences: 0 for a model that has learned the law, large for one that copies.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.errors import InputError

Tokens: TypeAlias = Tensor | npt.NDArray[Any]

LARGEST_TOKEN = 126
CHUNK_QUERIES, CHUNK_TRAINING = 1024, 8192


def nearest_hamming(queries: Tokens, training: Tokens) -> tuple[Tensor, Tensor]:
    """Distance (n,) int64 from each query to its nearest training sequence, and the index (n,)
    int64 of that one.

    queries: (n, L), training: (N, L), integer tokens 0..126, N at least 1. Exact; among equally
    near ones the lowest index wins. Memory is bounded whatever n and N. The result is on the device
    of the queries.
    """
    a, b = torch.as_tensor(queries), torch.as_tensor(training)
    vocab_size = 1 + _largest_token(a, b)
    if kernels.serves(a) and kernels.serves(b):
        from twinsplit.kernels.hamming import nearest

        distance, index = nearest(a.numpy(), b.numpy(), vocab_size)
        return torch.from_numpy(distance), torch.from_numpy(index)
    parts = [_nearest(part, b, vocab_size) for part in torch.split(a, CHUNK_QUERIES)]
    keys = torch.cat([torch.empty(0, dtype=torch.int64, device=a.device), *parts])
    return keys >> 32, keys & 0xFFFFFFFF


def _largest_token(queries: Tensor, training: Tensor) -> int:
    shapes = f"queries {tuple(queries.shape)} and training {tuple(training.shape)}"
    if queries.ndim != 2 or training.ndim != 2 or queries.shape[1] != training.shape[1] or not training.numel():
        raise InputError(shapes, "give (n, L) and (N, L) with one L and at least one training sequence")
    if queries.is_floating_point() or training.is_floating_point():
        raise InputError(f"tokens of type {queries.dtype} and {training.dtype}", "give integers")
    values = [int(bound) for tokens in (queries, training) if len(tokens) for bound in torch.aminmax(tokens)]
    if min(values) < 0 or max(values) > LARGEST_TOKEN:
        raise InputError(f"tokens {min(values)}..{max(values)}", f"use symbols 0..{LARGEST_TOKEN}")
    return max(values)


def _nearest(queries: Tensor, training: Tensor, vocab_size: int) -> Tensor:
    """(n,) int64: distance * 2^32 + index, so that the smallest key is the nearest and, among
    equals, the first."""
    one_hot = _one_hot(queries, vocab_size, queries.device)
    best = torch.full((len(queries),), torch.iinfo(torch.int64).max, device=queries.device)
    for start in range(0, len(training), CHUNK_TRAINING):
        points = training[start : start + CHUNK_TRAINING]
        agreement = one_hot @ _one_hot(points, vocab_size, queries.device).T  # whole numbers, exact in float32
        keys = ((queries.shape[1] - agreement).long() << 32) + torch.arange(start, start + len(points), device=queries.device)
        best = torch.minimum(best, keys.amin(1))
    return best


def _one_hot(tokens: Tensor, vocab_size: int, device: torch.device) -> Tensor:
    return torch.nn.functional.one_hot(tokens.to(device).long(), vocab_size).flatten(1).float()


def distance_histogram(distance: Tokens, length: int) -> Tensor:
    """(L + 1,) int64 counts of the Hamming distances 0..L (L = length) in distance (n,)."""
    values = torch.as_tensor(distance)
    if values.ndim != 1 or values.is_floating_point():
        raise InputError(f"distances of shape {tuple(values.shape)} and type {values.dtype}", "give integers (n,)")
    if values.numel() and (int(values.min()) < 0 or int(values.max()) > length):
        raise InputError(f"distances {int(values.min())}..{int(values.max())} between sequences of {length}", f"give 0..{length}")
    return torch.bincount(values.long(), minlength=length + 1)


def nearest_neighbour_divergence(generated_distance: Tokens, reference_distance: Tokens, length: int, smoothing: float = 0.5) -> float:
    """KL(generated || held-out) in nats between the histograms of the distance to the nearest
    training sequence.

    generated_distance: (n,), reference_distance: (m,), integers 0..length. Both histograms get
    `smoothing` pseudo-counts in each of their length + 1 bins before they are normalised (1/2 is
    Jeffreys' prior), so that no empty bin decides the result. 0 asks for the bare histograms:
    infinite where the generated ones reach a distance that no held-out sequence has.
    """
    if not 0 <= smoothing < np.inf:
        raise InputError(f"smoothing = {smoothing}", "choose pseudo-counts from 0 up")
    p, q = (_smoothed(distance, length, smoothing) for distance in (generated_distance, reference_distance))
    return float(torch.where(p > 0, p * (p / q).log(), torch.zeros_like(p)).sum())


def _smoothed(distance: Tokens, length: int, smoothing: float) -> Tensor:
    counts = distance_histogram(distance, length).double()
    if not counts.sum():
        raise InputError("an empty list of distances", "give at least one sequence")
    return (counts + smoothing) / (counts.sum() + smoothing * (length + 1))
