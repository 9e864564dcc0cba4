"""The perfect memorizer: the exact denoiser of the training points themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.streaming import streamed_softmax
from twinsplit.exact.tree import leaf_log_likelihood

QUERIES = 1024


@final
@dataclass(frozen=True, eq=False)
class EmpiricalDenoiser(Denoiser[Categorical]):
    """Posterior under the empirical law of `data`: softmax over its points of -|x_t - sqrt(ab) x|^2
    / (2 (1 - ab)) ([BG] section 2).

    data: (N, L) tokens 0..vocab_size-1; chunk: training points held in memory at once as one-hot
    rows. The training set is streamed past with a running maximum, so memory does not grow with N.
    A symbol whose weight relative to the best point is below 1e-308 has log-probability -inf.
    """

    data: Tensor
    schedule: Schedule
    vocab_size: int
    chunk: int = 4096

    def __post_init__(self) -> None:
        data = torch.as_tensor(self.data)
        if data.ndim != 2 or not data.numel() or data.is_floating_point():
            raise InputError(f"training data of shape {tuple(data.shape)} and type {data.dtype}", "give tokens (N, L), at least one row")
        if int(data.min()) < 0 or int(data.max()) >= self.vocab_size:
            raise InputError(f"tokens {int(data.min())}..{int(data.max())}", f"use symbols 0..{self.vocab_size - 1}, or raise vocab_size")
        if self.chunk < 1:
            raise InputError(f"a chunk of {self.chunk} points", "choose at least 1")
        object.__setattr__(self, "data", data)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(L, vocab_size): tokens as one-hot rows."""
        return self.data.shape[1], self.vocab_size

    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        """x_t: (n, L, q); t: an int or (n,) in 1..T. Float64 on the device of x_t."""
        expected = (self.data.shape[1], self.vocab_size)
        if x_t.ndim != 3 or tuple(x_t.shape[1:]) != expected:
            raise InputError(f"states of shape {tuple(x_t.shape)}", f"give (n, {expected[0]}, {expected[1]})")
        h = leaf_log_likelihood(x_t, t, self.schedule)
        parts = [self._posterior(part) for part in torch.split(h, QUERIES)]
        return Categorical(torch.cat([torch.empty_like(h[:0]), *parts]))

    def _posterior(self, h: Tensor) -> Tensor:
        """The squared distances differ between points by -2 (1 - ab) sum_i h[i, x_i] only: one-hot
        rows have one norm."""
        evidence = (h - h.amax(-1, keepdim=True)).flatten(1)
        blocks = ((evidence @ points.T, points) for points in self._one_hot_chunks(h))
        weight = streamed_softmax(evidence, blocks).weighted.reshape(h.shape)
        return weight.log() - weight.sum(-1, keepdim=True).log()

    def _one_hot_chunks(self, like: Tensor) -> Iterator[Tensor]:
        """(chunk, L q) one-hot training points in the dtype and on the device of `like`."""
        for rows in torch.split(self.data, self.chunk):
            yield torch.nn.functional.one_hot(rows.to(like.device).long(), self.vocab_size).flatten(1).to(like.dtype)
