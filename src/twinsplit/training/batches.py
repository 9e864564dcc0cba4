"""What each step trains on: the epoch's order, the noised batch, its times. All keyed by (seed, step), nothing drawn from a state."""

from functools import lru_cache

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import Schedule
from twinsplit.noise import Noise


def steps_per_epoch(n: int, batch: int) -> int:
    """Batches in a pass over n samples; the last one may be partial."""
    return -(-n // batch)


@lru_cache(maxsize=64)
def _order(noise: Noise, epoch: int, n: int, device: torch.device) -> Tensor:
    return noise.child("order").permutation(epoch, n, device)


def batch_rows(noise: Noise, step: int, n: int, batch: int, device: torch.device) -> Tensor:
    """(b,) positions in the split of step 1, 2, ...; each epoch is a fresh permutation and its last batch is kept."""
    epoch, i = divmod(step - 1, steps_per_epoch(n, batch))
    return _order(noise, epoch, n, device)[i * batch : (i + 1) * batch]


def noised_one_hot(tokens: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """x_t (..., L, q) from tokens (..., L) int64, eps (..., L, q) and scales (...,): signal at the token, noise everywhere."""
    x_t = eps * sigma[..., None, None]
    at_token = signal[..., None, None].expand(*tokens.shape, 1)
    return x_t.scatter_add_(-1, tokens[..., None], at_token.to(x_t.dtype))


def draw_times(noise: Noise, step: int, count: int, schedule: Schedule, device: torch.device) -> Tensor:
    """(count,) int64 times, uniform on 1..T."""
    return noise.child("time").integers(step, torch.arange(count, device=device), 1, schedule.T)


def draw_eps(noise: Noise, step: int, count: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(count, *shape) float32 standard normals."""
    return noise.child("eps").normal(step, torch.arange(count, device=device), shape, torch.float32)
