"""The Gaussian-mixture world: data whose denoiser, score and density are known exactly, in any
shape, images (C, H, W) among them.

With weights w_k, means m_k and isotropic variances v_k, x_t = signal x_0 + sigma eps is again a
mixture, with means signal m_k and variances signal^2 v_k + sigma^2; and so is x_0 given x_t
(`mixture_posterior`). Everything is float64, with weights as logarithms, and distances are sums of
squared differences rather than differences of squares, so that neither far components nor small t
lose digits.
"""

from dataclasses import dataclass
from math import pi
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.mixture_posterior import MixturePosterior, tiled
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """K isotropic Gaussians. weights: (K,) not negative, on any scale; means: (K, *shape);
    variance: positive, a scalar or (K,).

    Kept as float64, the weights with sum 1 and the variance as (K,).
    """

    weights: Tensor
    means: Tensor
    variance: Tensor | float

    def __post_init__(self) -> None:
        weights, means, variance = (torch.as_tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.variance))
        _refuse_bad_mixture(weights, means, variance)
        object.__setattr__(self, "weights", weights / weights.sum())
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "variance", variance.expand(len(weights)).clone())

    @classmethod
    def of_images(cls, centres: Tensor, variance: float) -> "GaussianMixture":
        """Equally likely clouds of one variance around the given images (K, C, H, W)."""
        return cls(torch.ones(len(centres)), centres, variance)

    @classmethod
    def random(cls, components: int, shape: tuple[int, ...], spread: float, variance: float, seed: int) -> "GaussianMixture":
        """Equally likely components whose means have independent coordinates N(0, spread^2); mean k
        depends on (seed, k) alone."""
        if components < 1:
            raise InputError(f"a mixture of {components} components", "choose at least 1")
        means = spread * Noise(seed, "mixture means").normal(0, torch.arange(components), shape)
        return cls(torch.ones(components), means, variance)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.means.shape[1:])

    @property
    def variances(self) -> Tensor:
        """(K,) variance of each component."""
        assert isinstance(self.variance, Tensor)
        return self.variance

    def labels(self, n: int, noise: Noise, sample_ids: Tensor | None = None) -> Tensor:
        """(n,) int64: the component each sample comes from."""
        u = noise.child("component").uniform(0, _ids(n, sample_ids))
        return torch.searchsorted(self.weights.cumsum(0).to(u.device), u, right=True).clamp(max=len(self.weights) - 1)

    def sample(self, n: int, noise: Noise, sample_ids: Tensor | None = None) -> Tensor:
        """(n, *shape) float64 samples; sample_ids: (n,) their names for the noise (default 0..n-1),
        which alone decide them."""
        chosen, ids = self.labels(n, noise, sample_ids), _ids(n, sample_ids)
        deviation = self.variances.to(ids.device)[chosen].sqrt().reshape(-1, *(1 for _ in self.shape))
        return self.means.to(ids.device)[chosen] + deviation * noise.child("normal").normal(0, ids, self.shape)

    def log_density(self, x: Tensor) -> Tensor:
        """(n,) natural log of the density at x (n, *shape); float64, differentiable."""
        return self.log_joint(x, torch.ones(()), torch.zeros(())).logsumexp(1)

    def log_joint(self, x: Tensor, signal: Tensor, noise_variance: Tensor) -> Tensor:
        """(n, K) natural log of w_k N(x; signal m_k, signal^2 v_k + noise_variance); signal,
        noise_variance: scalars or (n,)."""
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"states of shape {tuple(x.shape)}", f"give (n, {', '.join(map(str, self.shape))})")
        flat, means = x.double().flatten(1), self.means.flatten(1).to(x.device)
        signal, noise_variance = (v.to(x.device, torch.float64).reshape(-1, 1) for v in (signal, noise_variance))
        scale = signal.expand(len(flat), 1)[..., None]
        distance = tiled(flat, len(means), lambda r, k: (flat[r, None] - scale[r] * means[k]).square().sum(-1))
        variance = signal.square() * self.variances.to(x.device) + noise_variance
        return self.weights.log().to(x.device) - 0.5 * (distance / variance + flat.shape[1] * torch.log(2 * pi * variance))


@final
@dataclass(frozen=True, eq=False)
class MixtureDenoiser(Denoiser[MixturePosterior]):
    """The exact denoiser of a Gaussian mixture: with one component the Wiener filter, with many and
    little variance a memorizer."""

    mixture: GaussianMixture
    schedule: Schedule

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.mixture.shape

    def forward(self, x_t: Tensor, t: int | Tensor) -> MixturePosterior:
        """x_t: (n, *shape); t: an int or (n,) in 1..T. Float64 on the device of x_t.

        Given component k, x_0 is Gaussian with mean m_k + g (x_t - signal m_k), g = signal v_k /
        (signal^2 v_k + sigma^2), and variance v_k sigma^2 / (signal^2 v_k + sigma^2).
        """
        signal, noise_variance = self._scales(t, x_t)
        evidence = self.mixture.log_joint(x_t, signal, noise_variance)
        v = self.mixture.variances.to(x_t.device)
        total = signal.square() * v + noise_variance
        return MixturePosterior(
            x_t=x_t.double(),
            means=self.mixture.means.to(x_t.device),
            log_weights=torch.log_softmax(evidence, 1),
            shrinkage=(noise_variance / total).expand_as(evidence),
            gain=(signal * v / total).expand_as(evidence),
            variances=(v * noise_variance / total).expand_as(evidence),
        )

    def noise_prediction(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n, *shape) E[eps | x_t], float64."""
        return self.schedule.noise_prediction(x_t.double(), self(x_t, t).mean, t)

    def score(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n, *shape) grad log p_t(x_t), float64."""
        return self.schedule.score(x_t.double(), self(x_t, t).mean, t)

    def log_density(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n,) log p_t(x_t), float64, differentiable."""
        return self.mixture.log_joint(x_t, *self._scales(t, x_t)).logsumexp(1)

    def _scales(self, t: int | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and sigma^2 as (1, 1) or (n, 1) on the device of `like`."""
        alpha_bar = self.schedule.at(t).to(like.device).reshape(-1, 1)
        if bool((alpha_bar == 1).any()):
            raise InputError("a posterior at t = 0, where nothing is hidden", f"choose times from 1 to {self.schedule.T}")
        return alpha_bar.sqrt(), 1.0 - alpha_bar


def _ids(n: int, sample_ids: Tensor | None) -> Tensor:
    ids = torch.arange(n) if sample_ids is None else sample_ids
    if len(ids) != n:
        raise InputError(f"{len(ids)} sample ids for {n} samples", "give as many")
    return ids


def _refuse_bad_mixture(weights: Tensor, means: Tensor, variance: Tensor) -> None:
    if weights.ndim != 1 or means.ndim < 2 or len(weights) != len(means) or not means.numel():
        raise InputError(f"weights of shape {tuple(weights.shape)}, means of {tuple(means.shape)}", "give (K,) and (K, ...), K at least 1")
    if variance.ndim > 1 or (variance.ndim == 1 and len(variance) != len(weights)):
        raise InputError(f"variances of shape {tuple(variance.shape)}", f"give one number, or ({len(weights)},)")
    if not all(bool(v.isfinite().all()) for v in (weights, means, variance)):
        raise InputError("a mixture with numbers that are not finite", "look for nan and inf among weights, means and variances")
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise InputError("weights that are negative or all 0", "give weights of at least 0, one of them positive")
    if not bool((variance > 0).all()):
        raise InputError("a variance that is not positive", "give positive ones; for 0, the images themselves, use EmpiricalImages")
