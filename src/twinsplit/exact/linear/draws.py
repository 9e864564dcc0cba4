"""Training sets: P triples (x_0, t, x_t) for each of K models, keyed by model and nested in P.

The first 64 samples of a model are the same whether it is given 64 or 1,024: curves against P
compare like with like.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import Process
from twinsplit.exact.point_masses import PointMasses
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class NoisyDraws:
    """Training sets of K models: x_0 and x_t (K, P, D), t (K, P), float64."""

    x_0: Tensor
    t: Tensor
    x_t: Tensor

    @property
    def size(self) -> int:
        """P, samples per model."""
        return self.t.shape[1]

    def first(self, P: int) -> "NoisyDraws":
        """The first P samples of every model."""
        return NoisyDraws(self.x_0[:, :P], self.t[:, :P], self.x_t[:, :P])

    def models(self, chosen: slice) -> "NoisyDraws":
        """The training sets of some models."""
        return NoisyDraws(self.x_0[chosen], self.t[chosen], self.x_t[chosen])


@final
@dataclass(frozen=True, eq=False)
class World:
    """What samples are drawn from: x_0 uniform on points (M, D), t uniform on `span`, x_t noised by
    `process`."""

    points: Tensor
    process: Process
    span: tuple[float, float]

    @property
    def oracle(self) -> PointMasses:
        """The exact denoiser."""
        return PointMasses(self.points, self.process)


def draw(world: World, noise: Noise, models: Tensor, P: int) -> NoisyDraws:
    """P samples of the world for each model.

    models: (K,) int64, names of the models; a model's samples do not depend on which others are
    drawn with it.
    """
    low, high = world.span
    x_0 = world.points[(noise.child("point").uniform(0, models, (P,)) * len(world.points)).long()]
    t = low + (high - low) * noise.child("time").uniform(0, models, (P,))
    eps = noise.child("eps").normal(0, models, (P, x_0.shape[-1]))
    return NoisyDraws(x_0, t, world.process.noised(x_0, t, eps))


def redraw_targets(points: Tensor, weights: Tensor, noise: Noise, models: Tensor) -> Tensor:
    """(K, P, D) new x_0 for fixed (x_t, t): `weights` (P, M) are the posterior's; an independent
    draw per model name."""
    u = noise.child("target").uniform(0, models, (len(weights),))
    which = torch.searchsorted(weights.cumsum(-1), u.T.contiguous()).clamp(max=len(points) - 1)
    return points[which.T]
