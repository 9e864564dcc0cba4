"""Noise schedules: x_t = signal(t) x_0 + sigma(t) eps, for t in 0..T with alpha_bar[0] = 1."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.errors import InputError


def expand_like(value: Tensor, x: Tensor) -> Tensor:
    """A scalar or (n,) tensor, in the dtype of x, shaped to broadcast against x (n, ...)."""
    value = value.to(device=x.device, dtype=x.dtype)
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim)) if value.ndim else value


def entries(values: Tensor, t: int | Tensor) -> Tensor:
    """Entries t of values (T + 1,), in the shape of t; t outside 0..T is refused."""
    t = torch.as_tensor(t)
    if t.numel() and (int(t.min()) < 0 or int(t.max()) >= len(values)):
        raise InputError(f"time {int(t.min())}..{int(t.max())} lies outside 0..{len(values) - 1}", "choose times of this schedule")
    return values.to(t.device)[t]


@dataclass(frozen=True, eq=False)
class Noising(ABC):
    """A discrete noising process: x_t = signal(t) x_0 + sigma(t) eps for t in 0..T, with nothing
    hidden at t = 0."""

    @property
    @abstractmethod
    def T(self) -> int:
        """The last time."""

    @abstractmethod
    def scales(self, t: int | Tensor) -> tuple[Tensor, Tensor]:
        """(signal, sigma) at t, float64, in the shape of t; t outside 0..T is refused."""

    @abstractmethod
    def reverse(self, x_t: Tensor, x_0: Tensor, t: int | Tensor, s: int | Tensor) -> tuple[Tensor, Tensor]:
        """Mean (like x_t) and variance (like t, float64) of x_s given x_t and x_0, for 0 <= s < t."""

    def noised(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """x_t (n, ...) from x_0 and eps of one shape; t an int or (n,)."""
        signal, sigma = self.scales(t)
        return expand_like(signal, x_0) * x_0 + expand_like(sigma, x_0) * eps

    def noise_prediction(self, x_t: Tensor, mean: Tensor, t: int | Tensor) -> Tensor:
        """E[eps | x_t] = (x_t - signal mean) / sigma, like x_t, from the posterior mean of x_0
        (both (n, ...)); t in 1..T."""
        signal, sigma = (expand_like(v, x_t) for v in self.scales(t))
        return (x_t - signal * mean) / sigma

    def score(self, x_t: Tensor, mean: Tensor, t: int | Tensor) -> Tensor:
        """grad log p(x_t) = (signal mean - x_t) / sigma^2, like x_t (Tweedie's formula); t in 1..T."""
        return -self.noise_prediction(x_t, mean, t) / expand_like(self.scales(t)[1], x_t)


@final
@dataclass(frozen=True, eq=False)
class Schedule(Noising):
    """A variance-preserving discrete schedule.

    alpha_bar: (T + 1,) float64, strictly decreasing, alpha_bar[0] = 1. Times are integers 0..T, so
    "the step before the first" is entry 0 and needs no special case.
    """

    alpha_bar: Tensor

    def __post_init__(self) -> None:
        ab = self.alpha_bar
        if ab.ndim != 1 or len(ab) < 2 or ab[0] != 1 or not bool((ab[1:] < ab[:-1]).all()) or ab[-1] < 0:
            raise InputError("alpha_bar does not decrease from 1", "give T + 1 entries, the first 1, strictly decreasing, none negative")

    @classmethod
    def from_beta(cls, beta: Tensor) -> "Schedule":
        """From the step variances beta (T,) of t = 1..T."""
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1.0 - beta.double(), 0)]))

    @classmethod
    def diffusion_lm(cls, T: int = 500) -> "Schedule":
        """Linear beta from s 1e-4 to s 0.02 with s = 1000 / T (Li et al. 2022; [BG] section 2); T =
        1000 is DDPM's own."""
        if T < 21:
            raise InputError(f"T = {T} makes the largest step variance at least 1", "use at least T = 21")
        return cls.from_beta(torch.linspace(0.1 / T, 20.0 / T, T, dtype=torch.float64))

    @classmethod
    def one_minus_sqrt(cls, T: int = 500) -> "Schedule":
        """alpha_bar = 1 - sqrt(t/T + 1e-4), the second schedule of [BG]'s code, floored at 1e-6
        where it turns negative."""
        t = torch.arange(1, T + 1, dtype=torch.float64) / T
        tail = (1.0 - torch.sqrt(t + 1e-4)).clamp(min=1e-6)
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), tail]))

    @property
    def T(self) -> int:
        """The last time."""
        return len(self.alpha_bar) - 1

    def vlb_weight(self) -> Tensor:
        """(T,) float64 weights of the loss at t = 1..T: beta^2 ab_{t-1} / (2 var_t (1 - ab_t)^2),
        mean 1, clipped to [0.01, 50] ([BG]).

        var_t is the variance of the reverse step; at t = 1, where that is 0, the one of t = 2
        stands in.
        """
        now, before = self.alpha_bar[1:], self.alpha_bar[:-1]
        beta = 1.0 - now / before
        variance = beta * (1.0 - before) / (1.0 - now)
        variance[0] = variance[1]
        weight = beta**2 * before / (2.0 * variance * (1.0 - now) ** 2)
        return (weight / weight.mean()).clamp(0.01, 50.0)

    def at(self, t: int | Tensor) -> Tensor:
        """alpha_bar at t, float64, in the shape of t; t outside 0..T is refused."""
        return entries(self.alpha_bar, t)

    def scales(self, t: int | Tensor) -> tuple[Tensor, Tensor]:
        """(signal, sigma) = (sqrt(alpha_bar), sqrt(1 - alpha_bar)) at t, float64."""
        alpha_bar = self.at(t)
        return alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()

    def reverse(self, x_t: Tensor, x_0: Tensor, t: int | Tensor, s: int | Tensor) -> tuple[Tensor, Tensor]:
        """Mean (like x_t) and variance (like t, float64) of x_s given x_t and x_0, for 0 <= s < t.

        The Gaussian bridge of DDPM (Ho et al. 2020, eq. 6-7) between any two times; for s = 0 it is
        x_0 itself with variance 0.
        """
        ab_t, ab_s = self.at(t), self.at(s)
        ratio = ab_t / ab_s
        from_x_0 = ab_s.sqrt() * (1.0 - ratio) / (1.0 - ab_t)
        from_x_t = ratio.sqrt() * (1.0 - ab_s) / (1.0 - ab_t)
        mean = expand_like(from_x_0, x_t) * x_0 + expand_like(from_x_t, x_t) * x_t
        return mean, (1.0 - ratio) * (1.0 - ab_s) / (1.0 - ab_t)
