"""Blind denoisers: y = x + sigma z without being told sigma. The residual y - E[x | y] says all, by
Miyasawa's identity.

grad log p(y) = (E[x | y] - y) / sigma^2 (Miyasawa 1961; Tweedie), and the residual's size estimates
sigma: |y - E[x | y]|^2 / pixels = sigma^2 less the variance left in x (Kadkhodaie and Simoncelli,
*Stochastic solutions for linear inverse problems using the prior implicit in a denoiser*, NeurIPS
2021, section 2.1).
"""

from abc import abstractmethod

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, Gaussian
from twinsplit.diffusion.schedule import expand_like


class Blind(Denoiser[Gaussian]):
    """A denoiser that looks at y alone. States are y = x + sigma z (n, ...), with x on the scale it
    learned from; times are ignored."""

    @abstractmethod
    def residual(self, y: Tensor) -> Tensor:
        """f(y) = y - E[x | y], like y; differentiable."""

    def mean(self, y: Tensor) -> Tensor:
        """E[x | y] = y - f(y), like y; differentiable."""
        return y - self.residual(y)

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: int | Tensor = 0) -> Gaussian:
        """N(y - f(y), |f(y)|^2 / pixels): isotropic around the mean with the estimated noise as its
        width, whatever t says."""
        f = self.residual(x_t)
        return Gaussian(x_t - f, residual_sigma(f).square().clamp(min=torch.finfo(f.dtype).tiny))

    def __call__(self, x_t: Tensor, t: int | Tensor = 0) -> Gaussian:
        return self.forward(x_t, t)

    @torch.no_grad()
    def sigma(self, y: Tensor) -> Tensor:
        """(n,) the estimated noise level of y."""
        return residual_sigma(self.residual(y))

    @torch.no_grad()
    def score(self, y: Tensor) -> Tensor:
        """grad log p(y), like y: -f(y) / sigma^2 with sigma estimated, so |score| = sqrt(pixels) /
        sigma. Not finite where f(y) = 0."""
        f = self.residual(y)
        return -f / expand_like(residual_sigma(f).square(), f)

    @torch.no_grad()
    def noise_prediction(self, x_t: Tensor, t: int | Tensor = 0) -> Tensor:
        """E[z | y] = f(y) / sigma, like x_t, with sigma estimated: of mean square 1 in every image.
        Not finite where f(y) = 0."""
        f = self.residual(x_t)
        return f / expand_like(residual_sigma(f), f)


def residual_sigma(residual: Tensor) -> Tensor:
    """(n,) |f| / sqrt(pixels), the noise level that residuals (n, ...) stand for; all channels are
    counted."""
    return residual.flatten(1).square().mean(1).sqrt()
