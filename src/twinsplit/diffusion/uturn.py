"""U-turns: noise a start to time t, denoise it back, and see how much of the start survives."""

from typing import Any

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.sampler import Sampler
from twinsplit.noise.reference import Noise


def uturn(denoiser: Denoiser[Any], x_0: Tensor, t: int, sampler: Sampler, noise: Noise, sample_ids: Tensor | None = None) -> Tensor:
    """x_0' (n, ...) after noising x_0 (n, ...) to t and sampling back; equal noise gives equal
    noised starts ([BG] fig. 5)."""
    ids = torch.arange(len(x_0), device=x_0.device) if sample_ids is None else sample_ids
    eps = noise.child("forward").normal(t, ids, tuple(x_0.shape[1:]), x_0.dtype)
    x_t = sampler.schedule.noised(x_0, t, eps)
    return sampler(denoiser, x_t, noise.child("backward"), start=t, sample_ids=ids)


def overlap(start: Tensor, end: Tensor) -> Tensor:
    """(n,) fraction of equal tokens between two (n, L) integer tensors."""
    return (start == end).double().mean(-1)
