"""Probes: clean samples with fixed noised versions, so that every checkpoint, member and oracle answers the same question."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import Schedule
from twinsplit.networks.parametrisation import noised_one_hot
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """tokens (n, L) int64; x_t (n, L, q) float32; t (n,) int64."""

    tokens: Tensor
    x_t: Tensor
    t: Tensor


def probe_at(tokens: Tensor, ids: Tensor, t: int, draws: int, schedule: Schedule, vocab_size: int, noise: Noise) -> Probe:
    """Every sample `draws` times at one time t; the noise is keyed by (seed, sample id, draw)."""
    return _stack([_noised(tokens, ids, torch.full_like(ids, t), draw, schedule, vocab_size, noise) for draw in range(draws)])


def probe_over_times(tokens: Tensor, ids: Tensor, draws: int, schedule: Schedule, vocab_size: int, noise: Noise) -> Probe:
    """Every sample `draws` times, each at its own time, uniform on 1..T."""
    return _stack([drawn_over_times(tokens, ids, draw, schedule, vocab_size, noise) for draw in range(draws)])


def drawn_over_times(tokens: Tensor, ids: Tensor, draw: int, schedule: Schedule, vocab_size: int, noise: Noise) -> Probe:
    """One draw of `probe_over_times`."""
    return _noised(tokens, ids, noise.child("time").integers(draw, ids, 1, schedule.T), draw, schedule, vocab_size, noise)


def _noised(tokens: Tensor, ids: Tensor, t: Tensor, draw: int, schedule: Schedule, vocab_size: int, noise: Noise) -> Probe:
    eps = noise.child("eps").normal(draw, ids, (tokens.shape[1], vocab_size), torch.float32)
    signal, sigma = (scale.float() for scale in schedule.scales(t))
    return Probe(tokens, noised_one_hot(tokens, eps, signal, sigma), t)


def _stack(probes: list[Probe]) -> Probe:
    return Probe(*(torch.cat([getattr(p, name) for p in probes]) for name in ("tokens", "x_t", "t")))
