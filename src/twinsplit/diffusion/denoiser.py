"""The one interface: a denoiser maps a noised state and a time to the posterior of x_0."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, final

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import expand_like
from twinsplit.errors import InputError


class Posterior(ABC):
    """The law of x_0 given x_t: its mean, its log-density, its divergence from another of the same kind."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E[x_0 | x_t], shaped like x_t."""

    @abstractmethod
    def log_prob(self, x_0: Tensor) -> Tensor:
        """(n,) natural log of the density at x_0, summed over sites."""

    @abstractmethod
    def kl(self, other: "Posterior") -> Tensor:
        """(n,) KL(self || other) in nats, summed over sites."""

    def cpu(self) -> Self:
        """The same, with its tensors on the CPU, where exact posteriors always are."""
        return self

    @classmethod
    def cat(cls, parts: Sequence[Any]) -> Self:
        """Posteriors of several batches as one; InputError for a kind that knows one batch only."""
        if len(parts) != 1:
            raise InputError(f"{len(parts)} batches of {cls.__name__}", "compute it on one batch")
        only: Self = parts[0]
        return only


@final
@dataclass(frozen=True, eq=False)
class Categorical(Posterior):
    """Independent categorical sites. log_probs: (n, L, q) normalised over the last axis; -inf is allowed."""

    log_probs: Tensor

    @classmethod
    def from_logits(cls, logits: Tensor) -> "Categorical":
        """From unnormalised logits (n, L, q)."""
        return cls(torch.log_softmax(logits, dim=-1))

    @property
    def mean(self) -> Tensor:
        return self.log_probs.exp()

    def cpu(self) -> "Categorical":
        return Categorical(self.log_probs.cpu())

    @classmethod
    def cat(cls, parts: Sequence["Categorical"]) -> "Categorical":
        return cls(torch.cat([part.log_probs for part in parts]))

    def log_prob(self, x_0: Tensor) -> Tensor:
        """x_0: tokens (n, L), any integer dtype."""
        return self.log_probs.gather(-1, x_0.long()[..., None])[..., 0].sum(-1)

    def kl(self, other: Posterior) -> Tensor:
        assert isinstance(other, Categorical)
        return self.cross_entropy(other) - self.cross_entropy(self)

    def cross_entropy(self, other: "Categorical") -> Tensor:
        """(n,) -sum_x self(x) log other(x) in nats, summed over sites."""
        terms = _product(self.mean, other.log_probs)
        return -terms.sum((-1, -2))


def _product(weight: Tensor, value: Tensor) -> Tensor:
    """weight * value with 0 * -inf = 0."""
    return torch.where(weight > 0, weight * value, torch.zeros_like(value))


@final
@dataclass(frozen=True, eq=False)
class Gaussian(Posterior):
    """Isotropic Gaussian. location: (n, ...); variance: scalar or (n,), positive."""

    location: Tensor
    variance: Tensor

    @property
    def mean(self) -> Tensor:
        return self.location

    def log_prob(self, x_0: Tensor) -> Tensor:
        variance = expand_like(self.variance, x_0)
        density = -0.5 * ((x_0 - self.location) ** 2 / variance + torch.log(2 * torch.pi * variance))
        return density.flatten(1).sum(1)

    def cpu(self) -> "Gaussian":
        return Gaussian(self.location.cpu(), self.variance.cpu())

    @classmethod
    def cat(cls, parts: Sequence["Gaussian"]) -> "Gaussian":
        return cls(torch.cat([part.location for part in parts]), torch.cat([part.variance.expand(len(part.location)) for part in parts]))

    def kl(self, other: Posterior) -> Tensor:
        assert isinstance(other, Gaussian)
        own, theirs = expand_like(self.variance, self.mean), expand_like(other.variance, self.mean)
        terms = 0.5 * (own / theirs - 1 - torch.log(own / theirs) + (self.mean - other.mean) ** 2 / theirs)
        return terms.flatten(1).sum(1)


P_co = TypeVar("P_co", bound=Posterior, covariant=True)


class Denoiser(ABC, Generic[P_co]):
    """Anything that maps (x_t, t) to a posterior: a network, an exact oracle, a memorizer, a fit."""

    @property
    def device(self) -> torch.device:
        """The device for x_t and the noise: that of a network's parameters, or the CPU where there are none."""
        return torch.device("cpu")

    @property
    def state_shape(self) -> tuple[int, ...] | None:
        """The shape of one noised state, where the denoiser knows it: samplers start from it."""
        return None

    def computing(self, precision: str) -> "Denoiser[P_co]":
        """The same denoiser in the arithmetic of a recipe's precision; one that has no other arithmetic stays as it is."""
        return self

    @abstractmethod
    def forward(self, x_t: Tensor, t: int | Tensor) -> P_co:
        """x_t: (n, ...); t: an int or (n,) int64 in 1..T. Denoisers that are blind to the noise
        level ignore t."""

    def __call__(self, x_t: Tensor, t: int | Tensor) -> P_co:
        return self.forward(x_t, t)
