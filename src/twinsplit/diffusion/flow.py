"""Probability-flow samplers in continuous time: dx/dt = a(t) x + b(t) E[x_0 | x_t = x], solved from
x_T down; no noise on the way."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import ContinuousDenoiser, Process
from twinsplit.errors import InputError


@dataclass(frozen=True, eq=False)
class Flow(ABC):
    """A solver of the probability flow over `times` (decreasing, all positive).

    Any denoiser that takes a float time will do; x_t may carry leading axes for models, (..., n,
    D).
    """

    process: Process
    times: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.times) < 2 or self.times[-1] <= 0 or any(s >= t for t, s in pairwise(self.times)):
            raise InputError("the times of a flow do not decrease to a positive end", "take them from Process.times")

    @abstractmethod
    def step(self, denoiser: ContinuousDenoiser[Any], x_t: Tensor, t: float, s: float) -> Tensor:
        """x_s from x_t, for s < t."""

    def velocity(self, denoiser: ContinuousDenoiser[Any], x_t: Tensor, t: float) -> Tensor:
        """dx/dt at (x_t, t), shaped like x_t."""
        a, b = (float(c) for c in self.process.flow_coefficients(t))
        return torch.add(a * x_t, denoiser(x_t, t).mean, alpha=b)

    @torch.no_grad()
    def __call__(self, denoiser: ContinuousDenoiser[Any], x_T: Tensor) -> Tensor:
        """The state at times[-1], shaped like x_T (which is the state at times[0])."""
        x = x_T
        for t, s in pairwise(self.times):
            x = self.step(denoiser, x, t, s)
        return x

    @torch.no_grad()
    def path(self, denoiser: ContinuousDenoiser[Any], x_T: Tensor) -> Tensor:
        """(len(times), *x_T.shape): the state at every time."""
        states = [x_T]
        for t, s in pairwise(self.times):
            states.append(self.step(denoiser, states[-1], t, s))
        return torch.stack(states)


@final
@dataclass(frozen=True, eq=False)
class Euler(Flow):
    """First order, as published: x_s = x_t + (s - t) v(x_t, t) ([GTV] section 5)."""

    def step(self, denoiser: ContinuousDenoiser[Any], x_t: Tensor, t: float, s: float) -> Tensor:
        a, b = (float(c) * (s - t) for c in self.process.flow_coefficients(t))
        return torch.add((1 + a) * x_t, denoiser(x_t, t).mean, alpha=b)  # x + (s - t)(a x + b m) in two passes over memory
