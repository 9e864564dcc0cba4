"""The Fréchet distance between two samples of features, each summed up by a Gaussian (Dowson and
Landau 1982; Heusel et al. 2017)."""

import torch
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.similarity import Images


def frechet_distance(features_a: Images, features_b: Images) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^{1/2}) of features (n, d) and (m, d), with A and B
    their unbiased covariances.

    It is the squared 2-Wasserstein distance of two Gaussians, in the square of the features' unit;
    it is 0 for equal samples and sees nothing but means and covariances. Two samples of one law are
    not at 0: the estimate is biased upwards by about C/n + C'/m, with constants that depend on the
    law (Chong and Forsyth 2020), so compare only values of equal n and m, and measure two halves of
    held-out data at that size for the floor. n <= d is allowed and makes the bias large.

    With centred samples X and Y, the eigenvalues of A B are the squared singular values of X Y^T /
    sqrt((n - 1)(m - 1)), whose sum is the trace wanted: no covariance is formed and no root taken
    of a product that is not symmetric, which costs half the digits where A or B lacks full rank. X
    is replaced by its triangular factor, so the matrix has at most d rows. Computed in float64.
    Raises InputError for shapes that differ, fewer than two samples, or values that are not finite.
    """
    a, b = _features(features_a), _features(features_b)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features of {a.shape[1]} and {b.shape[1]} numbers", "use the same feature function for both sets")
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    shared = torch.linalg.svdvals(root_a @ root_b.T).sum()
    spread = root_a.square().sum() + root_b.square().sum() - 2.0 * shared
    return float((mean_a - mean_b).square().sum() + spread.clamp(min=0.0))


def _features(features: Images) -> Tensor:
    values = torch.as_tensor(features)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise InputError(f"features of shape {tuple(values.shape)}", "give (n, d) with n of 2 or more: one sample has no covariance")
    values = values.detach().double().cpu()
    if not bool(values.isfinite().all()):
        raise InputError("features that are not finite", "leave out samples that diverged, and say how many")
    return values


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a root R (min(n, d), d) of the unbiased covariance R^T R."""
    mean = features.mean(0)
    root = torch.linalg.qr(features - mean, mode="r").R
    return mean, root / (len(features) - 1) ** 0.5
