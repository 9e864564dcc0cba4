"""Denoisers linear in fixed features, fitted in closed form for K models at once.

D(x, t) = W^T phi(x, t) minimises mean_i snr(t_i) |x_0i - W^T phi_i|^2 + ridge |W|^2 over P noised
samples ([GTV] section 5), so W = (S_P + ridge)^-1 A_P with S_P = mean snr phi phi^T and A_P = mean
snr phi x_0^T. The weight snr = alpha^2 / sigma^2 is that of a Gaussian posterior of variance
sigma^2 / alpha^2, which makes the fit a maximum-likelihood one and fixes the KL between two fits.
"""

from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import ContinuousDenoiser, Process
from twinsplit.diffusion.denoiser import Gaussian
from twinsplit.errors import InputError
from twinsplit.exact.linear.draws import NoisyDraws
from twinsplit.exact.linear.features import ProductFeatures
from twinsplit.exact.linear.products import evaluate


@final
@dataclass(frozen=True, eq=False)
class LinearDenoiser(ContinuousDenoiser[Gaussian]):
    """weights: (F, D), or (K, F, D) for K models, which then map x_t (K, n, D) to (K, n, D) side by side."""

    features: ProductFeatures
    weights: Tensor
    process: Process

    def __post_init__(self) -> None:
        expected = (self.features.count, self.features.dimension)
        if tuple(self.weights.shape[-2:]) != expected or self.weights.dtype != torch.float64:
            raise InputError(f"weights of shape {tuple(self.weights.shape)}, {self.weights.dtype}", f"give (..., {expected}) in float64")

    def forward(self, x_t: Tensor, t: float | Tensor) -> Gaussian:
        """x_t: (n, D) or (K, n, D); t: a scalar, or the shape of x_t without D. The features are
        evaluated, never interpolated."""
        variance = 1.0 / self.process.signal_to_noise(t)
        if isinstance(t, Tensor) and t.ndim:
            return Gaussian(self.features(x_t, t) @ self.weights, variance)
        return Gaussian(evaluate(self.features, self.features.at_time(self.weights, float(t)), x_t), variance)

    def member(self, k: int) -> "LinearDenoiser":
        """The k-th of K models alone."""
        return LinearDenoiser(self.features, self.weights[k], self.process)


def solve_spd(matrix: Tensor, right: Tensor, ridge: float) -> Tensor:
    """(matrix + ridge)^-1 right for symmetric matrices (..., n, n), by Cholesky."""
    shifted = matrix + ridge * torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    return torch.cholesky_solve(right, torch.linalg.cholesky(shifted))


def fit_primal(features: ProductFeatures, process: Process, draws: NoisyDraws, ridge: float) -> Tensor:
    """(K, F, D) weights through the F x F second moments; the cheaper way when P >= F."""
    root = process.signal_to_noise(draws.t).sqrt()[..., None]
    phi, target = features(draws.x_t, draws.t) * root, draws.x_0 * root
    return solve_spd(phi.mT @ phi / draws.size, phi.mT @ target / draws.size, ridge)


def fit_dual(features: ProductFeatures, process: Process, draws: NoisyDraws, ridge: float) -> Tensor:
    """As `fit_primal`, through the P x P Gram matrix, which for product features is a product of
    small ones; cheaper when P < F."""
    root = process.signal_to_noise(draws.t).sqrt()[..., None]
    rows = features.rows(draws.x_t, draws.t)
    gram = root * reduce(torch.mul, (row @ row.mT for row in rows)) * root.mT
    return reduce_rows(rows, root * solve_spd(gram / draws.size, draws.x_0 * root, ridge)) / draws.size


def reduce_rows(rows: tuple[Tensor, ...], coefficients: Tensor) -> Tensor:
    """(K, F, D) = sum over samples of phi coefficients^T, from the factors of phi (K, P, count) and
    coefficients (K, P, D)."""
    *space, time = rows
    by_time = (time[..., :, None] * coefficients[..., None, :]).flatten(-2)
    total = reduce(lambda a, b: (a[..., :, None] * b[..., None, :]).flatten(-2), space).mT @ by_time
    return total.reshape(len(total), -1, coefficients.shape[-1])


def fit(features: ProductFeatures, process: Process, draws: NoisyDraws, ridge: float) -> LinearDenoiser:
    """K models fitted to K training sets."""
    if ridge <= 0:
        raise InputError(f"ridge = {ridge}", "give a positive one: with fewer samples than features nothing else fixes the weights")
    solve = fit_dual if draws.size < features.count else fit_primal
    return LinearDenoiser(features, solve(features, process, draws, ridge), process)
