"""Variance-exploding noising: x_t = x_0 + sigma(t) eps for t in 0..T, sigma(0) = 0. Blind denoisers
are trained on it."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import Noising, entries, expand_like
from twinsplit.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class VarianceExploding(Noising):
    """A variance-exploding discrete schedule. sigma: (T + 1,) float64, strictly increasing from 0.

    With t uniform on 1..T, as training draws it, the entries are the law of sigma: the two laws of
    [GAHB] are `published` and `report`.
    """

    sigma: Tensor

    def __post_init__(self) -> None:
        s = self.sigma
        if s.ndim != 1 or len(s) < 2 or s[0] != 0 or not bool((s[1:] > s[:-1]).all()) or not bool(s.isfinite().all()):
            raise InputError("sigma does not increase from 0", "give T + 1 finite entries, the first 0, strictly increasing")

    @classmethod
    def published(cls, T: int = 1_000, highest: float = 1.0) -> "VarianceExploding":
        """sqrt(sigma) uniform up to sqrt(highest), as in [GAHB]'s code: sigma = highest (t / T)^2,
        so half of it lies below highest / 4."""
        return cls(highest * _fractions(T).square())

    @classmethod
    def report(cls, T: int = 1_000, highest: float = 1.0) -> "VarianceExploding":
        """sigma uniform up to `highest`, as [RP]'s report says: sigma = highest t / T."""
        return cls(highest * _fractions(T))

    @property
    def T(self) -> int:
        """The last time."""
        return len(self.sigma) - 1

    def scales(self, t: int | Tensor) -> tuple[Tensor, Tensor]:
        """(1, sigma) at t, float64."""
        sigma = entries(self.sigma, t)
        return torch.ones_like(sigma), sigma

    def time_of(self, sigma: float) -> int:
        """The t in 1..T whose sigma is nearest."""
        if not 0 < sigma <= float(self.sigma[-1]):
            raise InputError(f"sigma = {sigma} lies outside (0, {float(self.sigma[-1])}]", "choose one of this process")
        return 1 + int((self.sigma[1:] - sigma).abs().argmin())

    def reverse(self, x_t: Tensor, x_0: Tensor, t: int | Tensor, s: int | Tensor) -> tuple[Tensor, Tensor]:
        """Mean (like x_t) and variance (like t, float64) of x_s given x_t and x_0, for 0 <= s < t:
        the Gaussian bridge between them."""
        now, before = (entries(self.sigma, time).square() for time in (t, s))
        share = before / now
        mean = torch.lerp(x_0, x_t, expand_like(share, x_t).expand_as(x_t))
        return mean, before * (1.0 - share)


def _fractions(T: int) -> Tensor:
    if T < 1:
        raise InputError(f"T = {T} noise levels", "choose at least 1")
    return torch.arange(T + 1, dtype=torch.float64) / T


NOISE_LAWS = {"published": VarianceExploding.published, "report": VarianceExploding.report}
"""The laws of sigma by name."""
