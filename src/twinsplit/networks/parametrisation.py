"""What a network is asked: how a sample becomes a noised state, and what its output is compared with."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


class Goal(ABC):
    """Samples are (K, n, *sample), states and noise (K, n, *state), scales (K, n)."""

    @abstractmethod
    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a noised state, from that of a sample."""

    @abstractmethod
    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """x_t = signal x_0 + sigma eps."""

    @abstractmethod
    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        """What the loss compares the output with."""


def noised_one_hot(tokens: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """x_t (..., L, q) from tokens (..., L) int64, eps (..., L, q) and scales (...,): signal at the token, noise everywhere."""
    x_t = eps * sigma[..., None, None]
    at_token = signal[..., None, None].expand(*tokens.shape, 1)
    return x_t.scatter_add_(-1, tokens[..., None], at_token.to(x_t.dtype))


@final
@dataclass(frozen=True)
class Tokens(Goal):
    """Which symbol stands where: tokens (L,), noised as one-hot rows (L, vocab_size)."""

    vocab_size: int

    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        return (*sample, self.vocab_size)

    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return noised_one_hot(samples, eps, signal, sigma)

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return samples


@final
@dataclass(frozen=True)
class NoisePrediction(Goal):
    """The noise in an image (C, H, W) (Ho et al. 2020, eq. 14)."""

    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        return sample

    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return torch.addcmul(signal[..., None, None, None] * samples, sigma[..., None, None, None], eps)

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return eps


@final
@dataclass(frozen=True)
class ResidualPrediction(Goal):
    """The noise as it was added to an image (C, H, W): y - x = sigma eps for y = x + sigma eps, sigma not told ([GAHB] eq. 3).

    For a process that only adds noise (`diffusion.exploding`); what is compared is what the published code compares.
    """

    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        return sample

    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return torch.addcmul(signal[..., None, None, None] * samples, sigma[..., None, None, None], eps)

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return sigma[..., None, None, None] * eps
