"""Dropout whose masks are keyed by (seed, step, member): no state to save, nothing shared between members."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.networks.network import Drop
from twinsplit.noise.reference import Noise, philox_key

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
        rows = [self._kept(x.numel() // len(self.generators), k, x.device) for k in range(len(self.generators))]
        mask = torch.stack(rows).to(x.dtype).mul_(self.gain)
        return x * mask.view_as(x)

    @staticmethod
    def room(count: int, device: torch.device | None = None) -> Tensor:
        """int64 words for `count` entries: one 64-bit draw serves four, for drawing is otherwise a seventh of a step on a processor."""
        return torch.empty(-(-count // 4), dtype=torch.int64, device=device)

    def draw(self, k: int, words: Tensor) -> None:
        """Member k's next words, for as many entries as there is room; seen as int16, an entry's word decides about it."""
        words.random_(-(2**63), None, generator=self.generators[k])

    def member(self, k: int) -> "Dropout":
        """The same masks, of member k alone."""
        return Dropout(self.rate, (self.generators[k],))

    @property
    def dropped(self) -> int:
        """How many of the 2^16 equally likely words drop an entry: the rate is rounded to a multiple of 2^-16."""
        return round(self.rate * RANGE)

    @property
    def least(self) -> int:
        """The smallest word, as int16, that keeps its entry."""
        return self.dropped - RANGE // 2

    @property
    def gain(self) -> float:
        """What a kept entry is multiplied by."""
        return 1 / (1 - self.dropped / RANGE)

    def _kept(self, count: int, k: int, device: torch.device) -> Tensor:
        """(count,) bool."""
        words = self.room(count, device)
        self.draw(k, words)
        return words.view(torch.int16)[:count] >= self.least
