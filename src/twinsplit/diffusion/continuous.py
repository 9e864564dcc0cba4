"""Noising processes in continuous time: x_t = signal(t) x_0 + sigma(t) eps, and the coefficients of
their flow.

A process is dx = drift(t) x dt + sqrt(diffusion(t)) dw. Its probability-flow ODE (Song et al. 2021,
eq. 13) replaces the noise by half the score; with score = (signal E[x_0 | x_t] - x_t) / sigma^2 the
velocity is linear in the state and in the posterior mean, so two numbers per time describe it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, P_co
from twinsplit.errors import InputError


def as_time(t: float | Tensor) -> Tensor:
    """A time as a float64 tensor."""
    return torch.as_tensor(t, dtype=torch.float64)


def beside(value: Tensor, x: Tensor) -> Tensor:
    """A scalar, or a tensor shaped like x without its last axis, made to broadcast against x (..., D)."""
    return value[..., None] if value.ndim else value


class ContinuousDenoiser(Denoiser[P_co], Generic[P_co]):
    """A denoiser whose times are real numbers: t is a float, or a tensor shaped like x_t (..., D)
    without its last axis."""

    @abstractmethod
    def forward(self, x_t: Tensor, t: float | Tensor) -> P_co: ...

    def __call__(self, x_t: Tensor, t: float | Tensor) -> P_co:
        return self.forward(x_t, t)


class Process(ABC):
    """A linear noising process; every method maps t (scalar or tensor) to a float64 tensor of the
    same shape."""

    @abstractmethod
    def signal(self, t: float | Tensor) -> Tensor:
        """alpha(t), the factor on x_0."""

    @abstractmethod
    def variance(self, t: float | Tensor) -> Tensor:
        """sigma(t)^2, the variance of the noise."""

    @abstractmethod
    def drift(self, t: float | Tensor) -> Tensor:
        """d log alpha / dt."""

    @abstractmethod
    def times(self, end: float, start: float, steps: int) -> Tensor:
        """(steps + 1,) times, decreasing from start to end."""

    def diffusion(self, t: float | Tensor) -> Tensor:
        """g(t)^2 = d sigma^2 / dt - 2 drift sigma^2."""
        return self.variance_rate(t) - 2 * self.drift(t) * self.variance(t)

    @abstractmethod
    def variance_rate(self, t: float | Tensor) -> Tensor:
        """d sigma^2 / dt."""

    def signal_to_noise(self, t: float | Tensor) -> Tensor:
        """alpha^2 / sigma^2: the weight that turns a squared error of x_0 into one of eps."""
        return self.signal(t) ** 2 / self.variance(t)

    def scales(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """(signal, sigma) at t."""
        return self.signal(t), self.variance(t).sqrt()

    def noised(self, x_0: Tensor, t: float | Tensor, eps: Tensor) -> Tensor:
        """x_t (..., D) from x_0 and eps (..., D); t a scalar or (...)."""
        signal, sigma = self.scales(t)
        return beside(signal, x_0) * x_0 + beside(sigma, x_0) * eps

    def score(self, x_t: Tensor, mean: Tensor, t: float | Tensor) -> Tensor:
        """grad log p(x_t) (..., D) from the posterior mean (..., D) (Tweedie's formula)."""
        return (beside(self.signal(t), x_t) * mean - x_t) / beside(self.variance(t), x_t)

    def flow_coefficients(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) such that the probability flow is dx/dt = a x + b E[x_0 | x_t = x], in units of 1 / time."""
        half = 0.5 * self.diffusion(t) / self.variance(t)
        return self.drift(t) + half, -half * self.signal(t)


def spaced(end: float, start: float, steps: int) -> Tensor:
    """steps + 1 equally spaced times from start down to end."""
    if not (0 < end < start and steps >= 1):
        raise InputError(f"no {steps} steps lead from {start} to {end}", "give 0 < end < start and at least one step")
    return torch.linspace(end, start, steps + 1, dtype=torch.float64).flip(0)


@final
@dataclass(frozen=True)
class VariancePreserving(Process):
    """alpha = exp(-(b_min t + b_d t^2 / 2)), sigma^2 = 1 - alpha^2, t in (0, 1] ([GTV] section 5;
    Song et al. 2021, VP-SDE)."""

    b_min: float = 0.1
    b_d: float = 19.9

    def log_signal(self, t: float | Tensor) -> Tensor:
        """log alpha(t)."""
        t = as_time(t)
        return -(self.b_min * t + 0.5 * self.b_d * t * t)

    def signal(self, t: float | Tensor) -> Tensor:
        return self.log_signal(t).exp()

    def variance(self, t: float | Tensor) -> Tensor:
        return -torch.expm1(2 * self.log_signal(t))

    def drift(self, t: float | Tensor) -> Tensor:
        return -(self.b_min + self.b_d * as_time(t))

    def variance_rate(self, t: float | Tensor) -> Tensor:
        return -2 * self.drift(t) * self.signal(t) ** 2

    def times(self, end: float, start: float = 1.0, steps: int = 30) -> Tensor:
        return spaced(end, start, steps)


@final
@dataclass(frozen=True)
class VarianceExploding(Process):
    """EDM's process: alpha = 1, sigma = t, with times spaced evenly in t^(1/rho) (Karras et al.
    2022, eq. 5)."""

    rho: float = 7.0

    def signal(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(as_time(t))

    def variance(self, t: float | Tensor) -> Tensor:
        return as_time(t) ** 2

    def drift(self, t: float | Tensor) -> Tensor:
        return torch.zeros_like(as_time(t))

    def variance_rate(self, t: float | Tensor) -> Tensor:
        return 2 * as_time(t)

    def times(self, end: float, start: float = 80.0, steps: int = 18) -> Tensor:
        return spaced(end ** (1 / self.rho), start ** (1 / self.rho), steps) ** self.rho


@final
@dataclass(frozen=True)
class VarianceClock(Process):
    """A variance-preserving process whose time is its variance: alpha = sqrt(1 - t), sigma^2 = t, t
    in (0, 1) ([GTV] figure 1)."""

    def signal(self, t: float | Tensor) -> Tensor:
        return (1 - as_time(t)).sqrt()

    def variance(self, t: float | Tensor) -> Tensor:
        return as_time(t)

    def drift(self, t: float | Tensor) -> Tensor:
        return -0.5 / (1 - as_time(t))

    def variance_rate(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(as_time(t))

    def times(self, end: float, start: float = 0.999, steps: int = 30) -> Tensor:
        return spaced(end, start, steps)
