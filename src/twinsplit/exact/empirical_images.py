"""The perfect memorizer of images: the exact denoiser of the training images themselves, a Gaussian
mixture of variance 0.

`empirical.py` does the same for tokens. The squared distances of x_t from signal x_i differ between
images by 2 sigma^2 times q . x_i - h |x_i|^2 with q = signal x_t / sigma^2 and h = signal^2 / (2
sigma^2), so one matrix product per block of images is all it takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, Posterior
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.streaming import streamed_softmax

QUERIES = 512


@final
@dataclass(frozen=True, eq=False)
class EmpiricalPosterior(Posterior):
    """A law on the training images. location: (n, *shape), its mean; square: (n,) mean of |x_i|^2;
    log_total: (n,) normalisation.

    query: (n, D) and half: (n,) decide the weights, exp(query . x_i - half |x_i|^2 - log_total).
    images: (N, *shape).
    """

    location: Tensor
    square: Tensor
    log_total: Tensor
    query: Tensor
    half: Tensor
    images: Tensor

    @property
    def mean(self) -> Tensor:
        return self.location

    def log_prob(self, x_0: Tensor) -> Tensor:
        """(n,) log of the probability (not a density) of x_0 (n, *shape): -inf where it is no
        training image, to the bit."""
        flat = x_0.double().flatten(1)
        logit = (self.query * flat).sum(1) - self.half * flat.square().sum(1)
        return logit - self.log_total + self._copies(x_0).log()

    def kl(self, other: Posterior) -> Tensor:
        """Between posteriors on the same images, in nats; on disjoint ones it is infinite, and
        refused rather than returned."""
        if not isinstance(other, EmpiricalPosterior) or not _same(self.images, other.images):
            what = "a divergence of laws on different points, infinite where one lacks what the other has"
            raise InputError(what, "compare posterior means or noise predictions")
        linear = ((self.query - other.query) * self.location.flatten(1)).sum(1) - (self.half - other.half) * self.square
        return (linear - self.log_total + other.log_total).clamp(min=0)

    def _copies(self, x_0: Tensor) -> Tensor:
        """(n,) how many training images x_0 equals to the bit; a few images and one row at a time,
        so memory grows with neither."""
        rows = x_0.to(self.images.dtype).flatten(1)
        exact = (rows.double() == x_0.double().flatten(1)).all(1)
        counts = torch.zeros(len(rows), dtype=torch.float64, device=x_0.device)
        for images in torch.split(self.images, QUERIES):
            block = images.to(x_0.device).flatten(1)
            counts += torch.stack([(block == row).all(1).sum() for row in rows])
        return counts * exact


def _same(first: Tensor, second: Tensor) -> bool:
    return first is second or torch.equal(first, second)


@final
@dataclass(frozen=True, eq=False)
class EmpiricalImages(Denoiser[EmpiricalPosterior]):
    """Posterior under the empirical law of `images` (N, *shape), floats on the scale that is noised.

    chunk: images held in memory at once in float64, streamed past blocks of 512 states with a
    running maximum, so memory does not grow with N; `images` may be a memory map. An image is lost
    only where its weight relative to the best is below 1e-308.
    """

    images: Tensor
    schedule: Schedule
    chunk: int = 1024

    def __post_init__(self) -> None:
        images = torch.as_tensor(self.images)
        if images.ndim < 2 or not images.numel() or not images.is_floating_point():
            what = f"training images of shape {tuple(images.shape)} and type {images.dtype}"
            raise InputError(what, "give normalised floats (N, ...), at least one image")
        if self.chunk < 1:
            raise InputError(f"a chunk of {self.chunk} images", "choose at least 1")
        object.__setattr__(self, "images", images)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return tuple(self.images.shape[1:])

    def forward(self, x_t: Tensor, t: int | Tensor) -> EmpiricalPosterior:
        """x_t: (n, *shape); t: an int or (n,) in 1..T. Float64 on the device of x_t."""
        if x_t.shape[1:] != self.images.shape[1:]:
            raise InputError(f"states of shape {tuple(x_t.shape)}", f"give (n, {', '.join(map(str, self.images.shape[1:]))})")
        alpha_bar = self.schedule.at(t).to(x_t.device).reshape(-1, 1)
        if bool((alpha_bar == 1).any()):
            raise InputError("a posterior at t = 0, where nothing is hidden", f"choose times from 1 to {self.schedule.T}")
        query = alpha_bar.sqrt() / (1.0 - alpha_bar) * x_t.double().flatten(1)
        half = (0.5 * alpha_bar / (1.0 - alpha_bar)).expand(len(query), 1)
        means, log_totals = self._sums(query, half)
        return EmpiricalPosterior(means[:, :-1].reshape(x_t.shape), means[:, -1], log_totals, query, half[:, 0], self.images)

    def noise_prediction(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """(n, *shape) E[eps | x_t], float64."""
        return self.schedule.noise_prediction(x_t.double(), self(x_t, t).mean, t)

    def _sums(self, query: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D + 1) means of the images and of their squared norms; (n,) log of the sum of all weights."""
        means, totals = [query.new_zeros(0, query.shape[1] + 1)], [query.new_zeros(0)]
        for q, h in zip(torch.split(query, QUERIES), torch.split(half, QUERIES), strict=True):
            both = torch.cat([q, -h], dim=1)  # q . x - h |x|^2 as one product with (x, |x|^2)
            sums = streamed_softmax(both, ((both @ points.T, points) for points in self._chunks(q)))
            means.append(sums.mean)
            totals.append(sums.log_total)
        return torch.cat(means), torch.cat(totals)

    def _chunks(self, like: Tensor) -> Iterator[Tensor]:
        """(chunk, D + 1) images with their squared norms, in the dtype and on the device of `like`."""
        for images in torch.split(self.images, self.chunk):
            flat = images.to(like).flatten(1)
            yield torch.cat([flat, flat.square().sum(1, keepdim=True)], dim=1)
