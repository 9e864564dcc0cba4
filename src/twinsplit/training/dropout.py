"""Dropout whose masks are keyed by (seed, step, member): no state to save, nothing shared between members."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.noise import Noise, philox_key


@final
@dataclass(frozen=True, eq=False)
class Dropout:
    """Drop entries of (K * n, ...) or (K, ...) activations at `rate`; member k's masks come from generators[k], in order of use."""

    rate: float
    generators: tuple[torch.Generator, ...]

    @classmethod
    def keyed(cls, rate: float, noises: list[Noise], step: int, device: torch.device) -> "Dropout":
        """Fresh generators for one step."""
        generators = []
        for noise in noises:
            high, low = philox_key(noise.seed, f"{noise.stream}/dropout/{step}")
            generators.append(torch.Generator(device).manual_seed((high << 31) ^ low))
        return cls(rate, tuple(generators))

    def __call__(self, x: Tensor) -> Tensor:
        parts = x.view(len(self.generators), -1)
        mask = torch.empty_like(parts)
        for row, generator in zip(mask, self.generators, strict=True):
            row.bernoulli_(1 - self.rate, generator=generator)
        return x * mask.view_as(x).div_(1 - self.rate)
