"""Twins that are linear, along training: their divergence and their test loss at every step,
exactly, for any P.

Two denoisers see the same noised inputs (x_i, t_i) and two independent draws of the targets x_0i
from the posterior. Both start from independent Gaussian weights of standard deviation `scale` and
follow the gradient flow of the weighted squared error with the ridge, W' = A_P - (S_P + ridge) W,
so that at step s

    W(s) = e^{-H s} W(0) + H^-1 (1 - e^{-H s}) A_P,      H = S_P + ridge.

Given the inputs W(s) is linear in W(0) and in the targets, and every second moment follows: the
twins forget their different starts while they learn their different targets. The disagreement
therefore falls, turns and rises, and where it turns is known.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from twinsplit.exact.linear.draws import World, redraw_targets
from twinsplit.exact.linear.features import ProductFeatures
from twinsplit.exact.linear.population import Population
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class TwinWorld:
    """Noised inputs x_t (P, D), t (P,) of a world, features, ridge, and the spread of the starting
    weights."""

    world: World
    features: ProductFeatures
    x_t: Tensor
    t: Tensor
    ridge: float
    scale: float

    @cached_property
    def phi(self) -> Tensor:
        """(P, F) features of the inputs."""
        return self.features(self.x_t, self.t)

    @cached_property
    def snr(self) -> Tensor:
        """(P, 1) weight of each sample."""
        return self.world.process.signal_to_noise(self.t)[:, None]

    @cached_property
    def posterior(self) -> Tensor:
        """(P, M) probability of each point given the input."""
        return self.world.oracle(self.x_t, self.t).log_weights.exp()

    @cached_property
    def modes(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (F,) of H = S_P + ridge and its eigenvectors (F, F), as columns."""
        S = (self.phi * self.snr).mT @ self.phi / len(self.t)
        value, vector = torch.linalg.eigh(S)
        return value.clamp(min=0) + self.ridge, vector

    def learned(self, step: float) -> Tensor:
        """(F,) share of each mode learned at a step, (1 - e^{-h s}) / h."""
        return -torch.expm1(-self.modes[0] * step) / self.modes[0]

    def kept(self, step: float) -> Tensor:
        """(F,) share of the start left in each mode, e^{-h s}."""
        return torch.exp(-self.modes[0] * step)

    def targets(self, noise: Noise, twins: Tensor) -> Tensor:
        """(K, P, D) each twin's own draw of x_0 at the shared inputs."""
        return redraw_targets(self.world.points, self.posterior, noise, twins)

    def in_modes(self, targets: Tensor) -> Tensor:
        """(..., F, D) of targets (..., P, D): A_P = mean snr phi x_0^T in the eigenbasis."""
        return self.modes[1].mT @ ((self.phi * self.snr).mT @ targets) / len(self.t)

    @cached_property
    def target_covariance(self) -> Tensor:
        """(D, F, F) covariance of A_P in the eigenbasis, per coordinate: sum snr^2 phi phi^T
        Var(x_0 | x_t) / P^2."""
        rotated = self.phi @ self.modes[1] * self.snr / len(self.t)
        variance = self.world.oracle(self.x_t, self.t).covariance.diagonal(dim1=-2, dim2=-1)
        return torch.stack([(rotated * v[:, None]).mT @ rotated for v in variance.T])

    def train(self, noise: Noise, twins: Tensor, steps: Tensor) -> Tensor:
        """(S, K, F, D) weights of K twins at the given steps; a twin's start and targets depend on
        its name alone."""
        start = self.scale * noise.child("start weights").normal(0, twins, (self.features.count, self.features.dimension))
        pull, push = self.in_modes(self.targets(noise, twins)), self.modes[1].mT @ start
        return torch.stack([self.modes[1] @ (self.kept(s)[:, None] * push + self.learned(s)[:, None] * pull) for s in steps.tolist()])

    def mean(self, step: float) -> Tensor:
        """(F, D) expected weights, in the eigenbasis."""
        return self.learned(step)[:, None] * self.in_modes(self.posterior @ self.world.points)

    def covariance(self, step: float) -> Tensor:
        """(D, F, F) covariance of one twin's weights, in the eigenbasis."""
        kept, learned = self.kept(step), self.learned(step)
        return self.scale**2 * torch.diag(kept**2) + learned[:, None] * self.target_covariance * learned


@final
@dataclass(frozen=True, eq=False)
class Examination:
    """Where twins are compared: fixed x_t (N, D), t (N,) and the exact posterior there."""

    twins: TwinWorld
    x_t: Tensor
    t: Tensor

    @cached_property
    def phi(self) -> Tensor:
        """(N, F) features in the eigenbasis of training."""
        return self.twins.features(self.x_t, self.t) @ self.twins.modes[1]

    @cached_property
    def weight(self) -> Tensor:
        """(N,) snr: half of it times a squared distance of posterior means is a divergence in nats."""
        return self.twins.world.process.signal_to_noise(self.t)

    @property
    def target(self) -> Tensor:
        """(N, D) exact posterior means."""
        return self.twins.world.oracle(self.x_t, self.t).mean

    def spread(self, step: float) -> Tensor:
        """(N,) variance of one twin's posterior mean, summed over coordinates."""
        return torch.einsum("nf,dfg,ng->n", self.phi, self.twins.covariance(step), self.phi)

    def divergence(self, steps: Tensor) -> Tensor:
        """(S, N) expected KL between two twins in nats: snr / 2 times twice the variance of one."""
        return torch.stack([self.weight * self.spread(s) for s in steps.tolist()])

    def test_loss(self, steps: Tensor) -> Tensor:
        """(S, N) expected excess loss of a twin over the exact denoiser, snr / 2 times bias^2 +
        variance, in nats."""
        bias = [(self.phi @ self.twins.mean(s) - self.target).square().sum(-1) for s in steps.tolist()]
        return torch.stack([0.5 * self.weight * (b + self.spread(s)) for b, s in zip(bias, steps.tolist(), strict=True)])

    def measured(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Divergence (S, pairs, N) of all pairs of twins in lexical order, and test loss (S, K, N),
        from weights (S, K, F, D)."""
        mean = self.phi @ (self.twins.modes[1].mT @ weights)
        first, second = torch.triu_indices(weights.shape[1], weights.shape[1], 1)
        divergence = 0.5 * self.weight * (mean[:, first] - mean[:, second]).square().sum(-1)
        return divergence, 0.5 * self.weight * (mean - self.target).square().sum(-1)


def sample_split_divergence(population: Population, covariance: Tensor) -> float:
    """KL between two independent fits in nats, over all noisy samples: sum_d tr(S Cov(W_d)), S =
    E[snr phi phi^T]."""
    S = population.gram(population.snr)
    return float(sum((S * block).sum() for block in covariance.diagonal(dim1=0, dim2=1).movedim(-1, 0)))
