"""f(x) = sum_{i1..iD} c_{i1..iD} u_{i1}(x_1) ... u_{iD}(x_D) for many x and many c: compiled where
numba is there, torch otherwise.

The compiled rows need two exponentials (or one sine and cosine) per coordinate: along equally
spaced bumps and along harmonics each value follows from its neighbour by a product.
"""

from math import pi, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit import kernels
from twinsplit.exact.linear.features import AxisFeatures, GaussianBumps, ProductFeatures

PIECE = 2048  # states per call of the torch path


def evaluate(features: ProductFeatures, coefficients: Tensor, x: Tensor) -> Tensor:
    """f (n, E) or (K, n, E) from coefficients ([K,] u_1, .., u_D, E) and x ([K,] n, D)."""
    batched = x if x.ndim == 3 else x[None]
    if coefficients.ndim == features.dimension + 1:
        coefficients = coefficients[None].expand(len(batched), *coefficients.shape)
    compute = evaluate_compiled if kernels.serves(x) else evaluate_torch
    value = compute(features, coefficients.contiguous(), batched.contiguous())
    return value if x.ndim == 3 else value[0]


def evaluate_torch(features: ProductFeatures, coefficients: Tensor, x: Tensor) -> Tensor:
    """The definition (K, n, E), in pieces that stay in the cache."""
    return torch.cat([contract_rows(features, coefficients, piece) for piece in torch.split(x, PIECE, 1)], 1)


def contract_rows(features: ProductFeatures, coefficients: Tensor, x: Tensor) -> Tensor:
    """The rows of every coordinate summed against the coefficients, coordinate by coordinate."""
    K, n, _ = x.shape
    first, *others = (axis(x[..., i]) for i, axis in enumerate(features.axes))
    value = (first @ coefficients.flatten(2)).reshape(K, n, *coefficients.shape[2:])
    for row in others:
        value = (value * row.reshape(K, n, -1, *(1 for _ in value.shape[3:]))).sum(2)
    return value


def layout(axis: AxisFeatures) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what the compiled loop needs of one coordinate: (kind, count) and four numbers,
    defined in `contract`."""
    from twinsplit.kernels.products import BUMPS, MODES

    if isinstance(axis, GaussianBumps):
        width = axis.relative_width * axis.spacing
        numbers = (axis.low, 1 / axis.spacing, 0.5 / axis.relative_width**2, 1 / (width * sqrt(2 * pi)))
        return np.array((BUMPS, axis.count)), np.array(numbers)
    return np.array((MODES, axis.count)), np.array((0.0, 1 / (axis.high - axis.low), 0.0, 0.0))


def evaluate_compiled(features: ProductFeatures, coefficients: Tensor, x: Tensor) -> Tensor:
    """As `evaluate_torch`, through the compiled loop, on as many threads as torch may use."""
    from twinsplit.kernels import products as kernel

    out = torch.empty(*x.shape[:2], coefficients.shape[-1], dtype=torch.float64)
    kinds, numbers = (np.array(column) for column in zip(*(layout(axis) for axis in features.axes), strict=True))
    tasks = len(x) * -(-x.shape[1] // kernel.TASK)
    if coefficients.shape[1:] == (kinds[0, 1], 1) and kinds[0, 0] == kernel.BUMPS:  # one coordinate, one output
        line = (x[..., 0].numpy(), coefficients[..., 0].numpy(), tuple(numbers[0].tolist()), out[..., 0].numpy())
        kernels.over_rows(lambda begin, end: kernel.contract_line(*line, begin, end), tasks, 1)
        return out
    flat = coefficients.reshape(len(x), -1, features.axes[-1].count * coefficients.shape[-1])
    arrays = (x.numpy(), flat.numpy(), kinds, numbers, out.numpy())
    kernels.over_rows(lambda begin, end: kernel.contract(*arrays, begin, end), tasks, 1)
    return out
