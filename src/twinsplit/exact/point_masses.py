"""The exact denoiser of data on a few points: x_0 is one of M points of R^D, each with probability
1/M.

With log-weights l_m = -|x_t - alpha p_m|^2 / 2 sigma^2 the posterior is softmax(l) on the points;
its mean gives the score, and its covariance times (alpha / sigma^2)^2 is the covariance of the
noisy target that a denoiser learns from, the proxy score ([GTV] eq. 8-10).
"""

from dataclasses import dataclass
from math import log, pi
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import ContinuousDenoiser, Process, beside
from twinsplit.diffusion.denoiser import Posterior
from twinsplit.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class PointPosterior(Posterior):
    """A law on M points: log_weights (..., M), normalised over the last axis; points (M, D)."""

    log_weights: Tensor
    points: Tensor

    @property
    def mean(self) -> Tensor:
        return self.log_weights.exp() @ self.points

    @property
    def covariance(self) -> Tensor:
        """(..., D, D); centred before squaring, so nothing cancels when one point dominates."""
        spread = self.points - self.mean[..., None, :]
        return (spread * self.log_weights.exp()[..., None]).mT @ spread

    def log_prob(self, x_0: Tensor) -> Tensor:
        """x_0: (..., D); -inf where it is none of the points."""
        hit = (x_0[..., None, :] == self.points).all(-1)
        return torch.where(hit, self.log_weights, -torch.inf).logsumexp(-1)

    def kl(self, other: Posterior) -> Tensor:
        assert isinstance(other, PointPosterior)
        assert torch.equal(self.points, other.points)
        weights = self.log_weights.exp()
        ratio = torch.where(weights > 0, self.log_weights - other.log_weights, 0.0)
        return (weights * ratio).sum(-1)


@final
@dataclass(frozen=True, eq=False)
class PointMasses(ContinuousDenoiser[PointPosterior]):
    """The denoiser that knows the data: points (M, D) float64, equally likely, noised by `process`."""

    points: Tensor
    process: Process

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.dtype != torch.float64 or not len(self.points):
            raise InputError(f"points of shape {tuple(self.points.shape)}, {self.points.dtype}", "give (M, D) in float64")

    def log_likelihoods(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """(..., M) natural log of N(x_t; alpha p_m, sigma^2)."""
        signal, variance = (beside(beside(v, x_t), x_t[..., None]) for v in (self.process.signal(t), self.process.variance(t)))
        squared = ((x_t[..., None, :] - signal * self.points) ** 2 / variance).sum(-1)
        log_volume = torch.log(2 * pi * (variance[..., 0] if variance.ndim else variance))
        return -0.5 * (squared + self.points.shape[1] * log_volume)

    def forward(self, x_t: Tensor, t: float | Tensor) -> PointPosterior:
        """x_t: (..., D); t: a scalar or (...)."""
        return PointPosterior(torch.log_softmax(self.log_likelihoods(x_t, t), -1), self.points)

    def log_density(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """(...) natural log of p(x_t)."""
        return self.log_likelihoods(x_t, t).logsumexp(-1) - log(len(self.points))

    def score(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """(..., D) grad log p(x_t)."""
        return self.process.score(x_t, self(x_t, t).mean, t)

    def proxy_score_covariance(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """(..., D, D) covariance of the target (alpha x_0 - x_t) / sigma^2 given x_t ([GTV] eq. 10)."""
        gain = (self.process.signal(t) / self.process.variance(t)) ** 2
        covariance = self(x_t, t).covariance
        return beside(beside(gain, x_t), covariance) * covariance

    def variance_fraction(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """(...) tr C / (tr C + |score|^2): how much of the target's size is noise ([GTV] figure 1)."""
        trace = self.proxy_score_covariance(x_t, t).diagonal(dim1=-2, dim2=-1).sum(-1)
        return trace / (trace + self.score(x_t, t).square().sum(-1))
