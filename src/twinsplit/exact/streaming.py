"""Averages under a softmax over more points than fit in memory: block by block, with a running
maximum."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class SoftmaxSums:
    """Sums over points of exp(logit - top), for n queries. top, mass: (n, 1); weighted: (n, D), the
    points' values so weighted."""

    top: Tensor
    mass: Tensor
    weighted: Tensor

    @property
    def mean(self) -> Tensor:
        """(n, D) the average value."""
        return self.weighted / self.mass

    @property
    def log_total(self) -> Tensor:
        """(n,) log of the sum of exp(logit)."""
        return (self.top + self.mass.log())[:, 0]


def streamed_softmax(queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor]]) -> SoftmaxSums:
    """From blocks of finite logits (n, B) and values (B, D); queries (n, D) lend their shape, dtype
    and device.

    Only ratios to the greatest logit so far are ever exponentiated, so nothing overflows, and a
    point is lost only where its weight relative to the best is below 1e-308.
    """
    top = torch.full_like(queries[:, :1], -torch.inf)
    mass, weighted = torch.zeros_like(top), torch.zeros_like(queries)
    for logits, values in blocks:
        higher = torch.maximum(top, logits.amax(1, keepdim=True))
        faded, weight = (top - higher).exp(), (logits - higher).exp()
        mass = mass * faded + weight.sum(1, keepdim=True)
        weighted = weighted * faded + weight @ values
        top = higher
    return SoftmaxSums(top, mass, weighted)
