"""Samplers: walk x_T back to x_0 with any denoiser; deterministic given the noise."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Schedule, expand_like
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise


def strided_times(T: int, steps: int) -> tuple[int, ...]:
    """`steps` + 1 times from T down to 0, as evenly spaced as integers allow."""
    if not 1 <= steps <= T:
        raise InputError(f"{steps} sampling steps do not fit a schedule of {T}", f"choose between 1 and {T}")
    return tuple(round(T * (steps - i) / steps) for i in range(steps + 1))


@dataclass(frozen=True, eq=False)
class Sampler(ABC):
    """A reverse process over `times` (decreasing, ending in 0; empty means every time of the schedule)."""

    schedule: Schedule
    times: tuple[int, ...] = ()

    @abstractmethod
    def step(self, x_t: Tensor, x_0: Tensor, t: int, s: int, z: Tensor) -> Tensor:
        """x_s from x_t, the posterior mean x_0 at t, and standard normals z (all of one shape)."""

    def grid(self, start: int) -> tuple[int, ...]:
        """The times from `start` down to 0."""
        times = self.times or tuple(range(self.schedule.T, -1, -1))
        return (start, *(t for t in times if t < start))

    @torch.no_grad()
    def __call__(
        self,
        denoiser: Denoiser[Any],
        x_T: Tensor,
        noise: Noise,
        start: int | None = None,
        sample_ids: Tensor | None = None,
    ) -> Tensor:
        """x_0 (the last posterior mean), shaped like x_T (n, ...).

        start: the time of x_T (default T). sample_ids: (n,) names of the samples for the noise
        (default 0..n-1): a sample's path does not depend on its batch.
        """
        ids = torch.arange(len(x_T), device=x_T.device) if sample_ids is None else sample_ids
        times = self.grid(self.schedule.T if start is None else start)
        x = x_T
        for t, s in pairwise(times):
            z = noise.normal(t, ids, tuple(x.shape[1:]), x.dtype)
            x = self.step(x, denoiser(x, t).mean.to(x.dtype), t, s, z)
        return x

    def sample(self, denoiser: Denoiser[Any], n: int, seed: int = 0, shape: tuple[int, ...] | None = None, at_once: int = 256) -> Tensor:
        """Draw n samples (n, *shape), on the denoiser's device.

        Args:
            denoiser: what gives the posterior at every step.
            n: number of samples, at least 1.
            seed: of the starts and of the step noise; sample i is the same whatever n and at_once.
            shape: of one noised state; left out, the denoiser's own `state_shape`.
            at_once: samples that are drawn together, which bounds the memory.

        Raises:
            InputError: where n or at_once is below 1, or no shape is known.

        Examples:
            >>> import twinsplit as ts
            >>> schedule = ts.Schedule.diffusion_lm(50)
            >>> oracle = ts.TreeOracle(ts.TreeGrammar.random(4, 2, 2, 1.0, 0), schedule)
            >>> ts.Ancestral(schedule).sample(oracle, 3, seed=0).shape
            torch.Size([3, 4, 4])
        """
        shape = denoiser.state_shape if shape is None else shape
        if n < 1 or at_once < 1:
            raise InputError(f"{n} samples, {at_once} at once", "ask for 1 or more of each")
        if shape is None:
            raise InputError(f"a {type(denoiser).__name__} does not know the shape of a state", "give shape=(...), such as (1, 32, 32)")
        noise, names = Noise(seed).child("sample"), torch.arange(n, device=denoiser.device)
        parts = []
        for ids in torch.split(names, at_once):
            x_T = noise.child("x_T").normal(0, ids, shape, torch.float32)
            parts.append(self(denoiser, x_T, noise.child("steps"), sample_ids=ids))
        return torch.cat(parts)


@final
@dataclass(frozen=True, eq=False)
class Ancestral(Sampler):
    """DDPM's reverse process (Ho et al. 2020, algorithm 2), with the bridge variance and no noise
    in the step to 0."""

    def step(self, x_t: Tensor, x_0: Tensor, t: int, s: int, z: Tensor) -> Tensor:
        mean, variance = self.schedule.reverse(x_t, x_0, t, s)
        return mean + expand_like(variance.sqrt(), x_t) * z


@final
@dataclass(frozen=True, eq=False)
class DDIM(Sampler):
    """DDIM (Song et al. 2021, eq. 12 and 16); eta = 0 is deterministic, eta = 1 has the ancestral
    variance."""

    eta: float = 0.0

    def step(self, x_t: Tensor, x_0: Tensor, t: int, s: int, z: Tensor) -> Tensor:
        signal_t, sigma_t = (expand_like(v, x_t) for v in self.schedule.scales(t))
        signal_s, sigma_s = (expand_like(v, x_t) for v in self.schedule.scales(s))
        spread = self.eta * sigma_s / sigma_t * (1 - (signal_t / signal_s) ** 2).clamp(min=0).sqrt()
        eps = (x_t - signal_t * x_0) / sigma_t
        return signal_s * x_0 + (sigma_s**2 - spread**2).clamp(min=0).sqrt() * eps + spread * z


@final
@dataclass(frozen=True, eq=False)
class PublishedAncestral(Sampler):
    """The reverse process of [BG]'s released code, for parity with its numbers only: our figures
    use `Ancestral`.

    Two things differ. The noise has variance beta_t, the upper of the two that Ho et al. give
    (section 3.2): right for data that are themselves N(0, 1), too wide for anything narrower, by
    the factor (1 - ab_t) / (1 - ab_{t-1}), which is largest in the last steps. And the steps from t
    = 2 and t = 1 both add no noise, where only the last should, so samples lack the finest scale of
    the model's own law. It goes down one time at a time; a larger step is refused, because the code
    has none to compare with.
    """

    def step(self, x_t: Tensor, x_0: Tensor, t: int, s: int, z: Tensor) -> Tensor:
        if s != t - 1:
            raise InputError(f"a step from {t} to {s} of the published sampler", "leave `times` empty, or use Ancestral")
        mean, _ = self.schedule.reverse(x_t, x_0, t, s)
        beta = 1.0 - self.schedule.at(t) / self.schedule.at(s)
        return mean + expand_like(beta.sqrt(), x_t) * z if t > 2 else mean
