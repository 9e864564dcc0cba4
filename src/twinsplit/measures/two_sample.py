"""Do generated samples lie like held-out images? Two nearest-neighbour statistics, judged by
permuting generated and held-out.

If a model has learned the law, and nothing of the training images beyond it, generated and held-out
images are exchangeable given the training images. Any statistic may then be compared with its own
values after the labels "generated" and "held-out" have been dealt anew, and the p-value is exact at
every sample size (Phipson and Smyth 2010). Two statistics see different failures:

`closer`, the probability that a generated sample is closer to its nearest training image than a
held-out one (Mann and Whitney 1947; for generative models Meehan, Chaudhuri and Dasgupta 2020). It
sees copying, of whole images or in part. It does not see whether samples are good: noise far from
everything scores near 0, which is no sign of learning, and a small excess need not be a copy of
anything.

`coincidence`, the share of images, generated and held-out together, whose nearest other one is of
their own kind (Schilling 1986; Henze 1988, with one neighbour). It sees any difference of law:
noise, blur, missing modes, repeated samples. It does not know the training set: a model that draws
its training images without repetition draws from the law itself, and has no excess here.

A small p-value says that the samples are not exchangeable with held-out images; a large one says
only that n samples do not show it.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.similarity import Images, blockwise_nearest
from twinsplit.measures.statistics import interval
from twinsplit.noise.reference import Noise

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Labels = NDArray[np.bool_]
NUMBERS_AT_ONCE = 1 << 22
FEWEST = 2


@final
@dataclass(frozen=True)
class Permuted:
    """A statistic, its expectation when labels are dealt at random, and the one-sided p-value of a
    value as large as it or larger."""

    value: float
    expected: float
    p_value: float


@final
@dataclass(frozen=True)
class TwoSample:
    """What `nearest_neighbour_two_sample` finds.

    closer: P(d(generated, training) < d(held-out, training)), ties by half; expected 1/2, and 1
    where every sample is closer than every held-out image. closer_interval: bootstrap percentiles
    of level `level` over generated and held-out images; the training images and the model are held
    fixed. coincidence: of all images; generated_coincidence and held_out_coincidence are its two
    parts: a high first with a low second is what a model that repeats itself shows, both high is
    two laws apart. A neighbour graph cannot be resampled (an image drawn twice is its own
    neighbour), so coincidence has no interval.
    """

    closer: Permuted
    closer_interval: tuple[float, float]
    coincidence: Permuted
    generated_coincidence: float
    held_out_coincidence: float
    generated: int
    held_out: int
    training: int
    draws: int
    level: float


def nearest_neighbour_two_sample(
    generated: Images, training: Images, held_out: Images, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> TwoSample:
    """Compare generated (n, ...) with held-out images (m, ...) by their nearest neighbours, given
    training (N, ...).

    All three have the same axes after the first; n and m are at least 2. Distances are Euclidean;
    for those of features, give features. The smallest p-value is 1 / (draws + 1). Held-out images
    must not be training images: raises InputError if one is at distance 0.
    """
    _check(generated, held_out, draws, level)
    near, apart = (blockwise_nearest(images, training, 1)[0][:, 0].cpu().numpy() for images in (generated, held_out))
    _check_disjoint(apart)
    noise = Noise(seed, "nearest_neighbour_two_sample")
    ours = np.arange(len(near) + len(apart)) < len(near)
    neighbour = _neighbours(generated, held_out, noise.child("order"))
    closer, coincidence = _permuted(_ranks(near, apart), neighbour, ours, draws, noise.child("labels"))
    same = ours == ours[neighbour]
    return TwoSample(
        closer,
        interval(_resampled_closer(near, apart, draws, noise), level),
        coincidence,
        float(same[ours].mean()),
        float(same[~ours].mean()),
        len(near),
        len(apart),
        len(training),
        draws,
        level,
    )


def _check(generated: Images, held_out: Images, draws: int, level: float) -> None:
    if min(len(generated), len(held_out)) < FEWEST:
        raise InputError(f"{len(generated)} generated and {len(held_out)} held-out images", "give two or more of each")
    if generated.shape[1:] != held_out.shape[1:]:
        raise InputError(f"generated {tuple(generated.shape)} and held-out {tuple(held_out.shape)}", "give images of one shape")
    if draws < 1 or not 0 < level < 1:
        raise InputError(f"draws = {draws}, level = {level}", "choose one draw or more, and a level such as 0.95")


def _check_disjoint(distance: Array) -> None:
    shared = np.flatnonzero(distance == 0)
    if len(shared):
        raise InputError(
            f"{len(shared)} of {len(distance)} held-out images are training images (the first is row {shared[0]})",
            "split by content, as `disjoint_splits` does",
        )


def _permuted(ranks: Array, neighbour: Index, ours: Labels, draws: int, noise: Noise) -> tuple[Permuted, Permuted]:
    """closer and coincidence, with p-values from the same `draws` permutations of the labels `ours`
    (n + m,)."""
    observed = _statistics(ranks, neighbour, ours)
    dealt = np.array([_statistics(ranks, neighbour, ours[noise.permutation(draw, len(ours)).numpy()]) for draw in range(draws)])
    p_value = (1 + (dealt >= observed).sum(0)) / (1 + draws)  # the observed labels are one more deal: exact, and never 0
    expected = (0.5, _expected_coincidence(int(ours.sum()), int((~ours).sum())))
    closer, coincidence = (Permuted(*map(float, found)) for found in zip(observed, expected, p_value, strict=True))
    return closer, coincidence


def _expected_coincidence(n: int, m: int) -> float:
    return (n * (n - 1) + m * (m - 1)) / ((n + m) * (n + m - 1))


def _statistics(ranks: Array, neighbour: Index, ours: Labels) -> tuple[float, float]:
    """A sum of n ranks, less the n (n + 1) / 2 they have among themselves, counts the pairs won,
    ties by half; and the coincidences."""
    n = int(ours.sum())
    won = ranks[ours].sum() - n * (n + 1) / 2
    return float(won / (n * (len(ours) - n))), float((ours == ours[neighbour]).mean())


def _ranks(near: Array, apart: Array) -> Array:
    """(n + m,) ranks from the farthest, 1, to the nearest; equal ones share their mean. Multiples
    of 1/2: sums of them are exact."""
    _, place, counts = np.unique(-np.concatenate([near, apart]), return_inverse=True, return_counts=True)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[place])


def _neighbours(generated: Images, held_out: Images, noise: Noise) -> Index:
    """(n + m,) the row of each image's nearest other one, in the pool of generated, then held-out images.

    Equally near ones are told apart by a random order: by row, all copies of an image would point
    at a generated one.
    """
    pool = torch.cat([torch.as_tensor(np.array(part)) if not isinstance(part, Tensor) else part.cpu() for part in (generated, held_out)])
    order = noise.permutation(0, len(pool))
    rows = blockwise_nearest(pool[order], pool[order], 2)[1]
    other = torch.where(rows[:, 0] == torch.arange(len(pool)), rows[:, 1], rows[:, 0])
    neighbour = torch.empty_like(order)
    neighbour[order] = order[other]
    return neighbour.numpy()


def _resampled_closer(near: Array, apart: Array, draws: int, noise: Noise) -> Array:
    """(draws,) values of `closer` when generated and held-out images are each drawn anew from
    these, with replacement."""
    distances, place = np.unique(np.concatenate([near, apart]), return_inverse=True)
    sides = [(place[: len(near)], noise.child("generated")), (place[len(near) :], noise.child("held-out"))]
    values = []
    for chunk in np.array_split(np.arange(draws), -(-draws * len(place) // NUMBERS_AT_ONCE)):
        won, lost = (_resampled_counts(part, len(distances), chunk, source) for part, source in sides)
        beyond = lost.sum(1, keepdims=True) - lost.cumsum(1) + lost / 2
        values.append((won * beyond).sum(1) / (len(near) * len(apart)))
    return np.concatenate(values)


def _resampled_counts(place: NDArray[np.intp], size: int, draws: NDArray[np.intp], noise: Noise) -> Array:
    """(draws, size): how often each of the distances occurs when the n of `place` are drawn anew."""
    uniform = noise.uniform(0, torch.from_numpy(draws), (len(place),)).numpy()
    drawn = place[(uniform * len(place)).astype(np.intp)]
    flat = np.bincount((drawn + np.arange(len(draws))[:, None] * size).ravel(), minlength=len(draws) * size)
    return flat.reshape(len(draws), size).astype(float)
