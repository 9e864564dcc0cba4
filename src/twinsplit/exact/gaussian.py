"""The exact blind denoiser of Gaussian images: which noise level is likely, and what each would
say, both in closed form.

Given sigma, y = x + sigma z is N(m, C + sigma^2) and the residual y - E[x | y] is sigma^2 (C +
sigma^2)^-1 (y - m). Not told sigma, the exact residual is the average of these under p(sigma | y),
here over a finite list of levels.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class BlindGaussian(Blind):
    """x ~ N(mean, covariance). mean: (C, H, W); covariance: (D, D) for D = C H W; levels: (S,)
    positive, equally likely values of sigma.

    One level makes it the Wiener filter of that noise. Float64 inside. `score` and
    `noise_prediction` are Miyasawa's with the noise level that the residual shows, as for a
    network; `log_density` and its gradient are exact.
    """

    centre: Tensor
    covariance: Tensor
    levels: Tensor

    def __post_init__(self) -> None:
        size = self.centre.numel()
        if self.covariance.shape != (size, size) or not torch.allclose(self.covariance, self.covariance.T):
            raise InputError(f"a covariance of shape {tuple(self.covariance.shape)}", f"give a symmetric ({size}, {size})")
        if self.levels.ndim != 1 or not len(self.levels) or not bool((self.levels > 0).all()):
            raise InputError("noise levels that are not a list of positive numbers", "give (S,)")
        if float(self.spectrum[0].min()) < -1e-9 * float(self.spectrum[0].max().clamp(min=1.0)):
            raise InputError("a covariance with negative eigenvalues", "give a positive semi-definite one")

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (D,) ascending and eigenvectors (D, D), columns, of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance.double())
        return values, vectors

    def residual(self, y: Tensor) -> Tensor:
        """(n, C, H, W) y - E[x | y], in the dtype of y."""
        vectors = self.spectrum[1].to(y.device)
        weights = torch.softmax(self._log_joint(y), 1)
        noise = self.levels.double().square().to(y.device)[:, None]
        shrinkage = weights @ (noise / (self._variances(y).clamp(min=0) + noise))
        residual = ((self._centred(y) @ vectors) * shrinkage) @ vectors.T
        return residual.reshape(y.shape).to(y.dtype)

    def log_density(self, y: Tensor) -> Tensor:
        """(n,) log p(y), float64, differentiable."""
        return self._log_joint(y).logsumexp(1)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """(n, C, H, W) float64 clean images."""
        values, vectors = self.spectrum
        z = noise.normal(0, torch.arange(n), (len(values),))
        return self.centre.double() + ((z * values.clamp(min=0).sqrt()) @ vectors.T).reshape(n, *self.centre.shape)

    def _centred(self, y: Tensor) -> Tensor:
        return (y.double() - self.centre.double().to(y.device)).flatten(1)

    def _variances(self, y: Tensor) -> Tensor:
        return self.spectrum[0].to(y.device)

    def _log_joint(self, y: Tensor) -> Tensor:
        """(n, S) log of p(sigma) p(y | sigma)."""
        parts = self._centred(y) @ self.spectrum[1].to(y.device)
        total = self._variances(y).clamp(min=0) + self.levels.double().square().to(y.device)[:, None]
        log_likelihood = -0.5 * (parts.square() @ (1 / total).T + (2 * torch.pi * total).log().sum(1))
        return log_likelihood - torch.log(torch.tensor(float(len(self.levels))))
