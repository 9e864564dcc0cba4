"""Dropout whose masks are keyed by (seed, step, member): no state to save, nothing shared between members."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.networks.network import Drop
from twinsplit.noise import Noise, philox_key

RANGE = 1 << 16


@final
@dataclass(frozen=True, eq=False)
class Dropout(Drop):
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
        rows = [self._kept(x.numel() // len(self.generators), generator) for generator in self.generators]
        mask = torch.stack(rows).to(x.dtype).div_(1 - self.dropped / RANGE)
        return x * mask.view_as(x)

    def member(self, k: int) -> "Dropout":
        """The same masks, of member k alone."""
        return Dropout(self.rate, (self.generators[k],))

    @property
    def dropped(self) -> int:
        """How many of the 2^16 equally likely words drop an entry: the rate is rounded to a multiple of 2^-16."""
        return round(self.rate * RANGE)

    def _kept(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) bool. One 64-bit draw serves four entries: drawing is otherwise a seventh of a step on a processor."""
        words = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
        words.random_(-(2**63), None, generator=generator)
        return words.view(torch.int16)[:count] >= self.dropped - RANGE // 2
