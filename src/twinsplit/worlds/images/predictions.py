"""The examination of one checkpoint of image twins: noise predictions on fixed noised images, and what they say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from twinsplit.data.normalisation import Normalisation
from twinsplit.diffusion.denoiser import Gaussian
from twinsplit.diffusion.series import Twins
from twinsplit.measures.divergence import ordered_pairs, sample_split_divergence
from twinsplit.measures.similarity import cosine_similarity, mean_squared_difference
from twinsplit.networks.parametrisation import Continuous
from twinsplit.noise.reference import Noise
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.rows import Rows
from twinsplit.worlds.evaluator import Evaluator


@final
@dataclass(frozen=True, eq=False)
class CleanImages:
    """images: (m, C, H, W) as they are; ids: (m,) their rows in the data, which name their noise."""

    images: Tensor
    ids: Tensor


@final
@dataclass(frozen=True, eq=False)
class ImageProbes:
    """Held-out images and images of every split; the normalisation of every split, which its own networks meet all images with."""

    recipe: ImageRecipe
    parametrisation: Continuous
    held_out: CleanImages
    splits: tuple[CleanImages, ...]
    normalisations: tuple[Normalisation, ...]
    noise: Noise

    def eps(self, pictures: CleanImages, draw: int) -> Tensor:
        """(m, C, H, W) the noise of one draw, the same for all networks, checkpoints and times."""
        return self.noise.child("eps").normal(draw, pictures.ids, tuple(pictures.images.shape[1:]), torch.float32)

    def all_times(self, pictures: CleanImages, draw: int) -> Tensor:
        """(m,) a time of its own for every image, uniform on 1..T; with fixed-time training the one that the networks know."""
        if self.recipe.only_time is not None:
            return torch.full_like(pictures.ids, self.recipe.only_time)
        return self.noise.child("time").integers(draw, pictures.ids, 1, self.parametrisation.noising.T)


@final
@dataclass(frozen=True, eq=False)
class Similarity:
    """Of two members' noise predictions on the same noised images, (draws * m,) each: cosine similarity and mean squared difference."""

    similarity: Tensor
    difference: Tensor


class ImagePredictions:
    """What the members of one checkpoint predict; each prediction is made once.

    Kept are as many as one set of images has, at every time: those on training images, a set for every split, would be gigabytes of which
    each is used for one split's rows only. What two predictions have in common is a number an image, and always kept.
    """

    def __init__(self, twins: Twins, probes: ImageProbes) -> None:
        self.twins, self.probes = twins, probes
        kept = len(twins.members) * (len(probes.recipe.measuring.times) + 3)
        self.at = lru_cache(maxsize=kept)(self._at)
        self.compared = lru_cache(maxsize=None)(self._compared)

    @property
    def held_out(self) -> int:
        """The index of the held-out images among the sets of images, after the splits."""
        return len(self.probes.splits)

    def pictures(self, data: int) -> CleanImages:
        """The images of a split, or the held-out ones."""
        return (*self.probes.splits, self.probes.held_out)[data]

    @property
    def draws(self) -> range:
        """The noise draws of each image."""
        return range(self.probes.recipe.measuring.noise_draws)

    def _at(self, member: int, data: int, t: int | None) -> Tensor:
        """(draws * m, C, H, W) noise predicted by a member at time t, or at each image's own time for None; on the CPU."""
        pictures, q = self.pictures(data), self.probes
        return torch.cat([self._predicted(member, pictures, draw, q.all_times(pictures, draw) if t is None else t) for draw in self.draws])

    def _predicted(self, member: int, pictures: CleanImages, draw: int, t: int | Tensor) -> Tensor:
        q = self.probes
        x_0, denoiser = q.normalisations[self.twins.members[member].split].apply(pictures.images), self.twins.member(member)
        x_t, there = q.parametrisation.noising.noised(x_0, t, q.eps(pictures, draw)), denoiser.device
        return q.parametrisation.noise(denoiser, x_t.to(there), t if isinstance(t, int) else t.to(there)).cpu()

    def _compared(self, a: int, b: int, data: int, t: int) -> Similarity:
        first, second = self.at(a, data, t), self.at(b, data, t)
        return Similarity(cosine_similarity(first, second), mean_squared_difference(first, second))

    def losses(self, member: int, data: int, t: int | None) -> Tensor:
        """(draws * m,) squared error of the predicted noise, averaged over pixels, weighted as in training."""
        pictures, q = self.pictures(data), self.probes
        eps = torch.cat([q.eps(pictures, draw) for draw in self.draws])
        weights = [q.parametrisation.weight(q.all_times(pictures, draw) if t is None else t) for draw in self.draws]
        each = torch.cat([weight.expand(len(pictures.ids)) for weight in weights])
        return mean_squared_difference(self.at(member, data, t), eps) * each

    def name(self, k: int, suffix: str = "") -> dict[str, int]:
        """The columns that name member k."""
        member = self.twins.members[k]
        return {f"member{suffix}": k, f"split{suffix}": member.split, f"seed{suffix}": member.seed}

    @property
    def count(self) -> int:
        """Members."""
        return len(self.twins.members)


def split_divergence_rows(predictions: ImagePredictions) -> Rows:
    """A row per ordered pair (a, b): KL(a || b) = |eps_a - eps_b|^2 / 2 of their posteriors of held-out images at the fixed time, in nats.

    The posterior of an image given its noised version is read as N(., (sigma / signal)^2) around each network's estimate; in units of that
    deviation two estimates differ by what their noise predictions differ by, whatever the networks' normalisations.
    """
    t = predictions.probes.recipe.measured_time
    unit = [Gaussian(predictions.at(k, predictions.held_out, t), torch.ones(())) for k in range(predictions.count)]
    rows: Rows = []
    for a, b in ordered_pairs(predictions.count):
        if a < b:
            both = sample_split_divergence(unit[a], unit[b])
            rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"values": both[:, 0]})
            rows.append(predictions.name(b, "_a") | predictions.name(a, "_b") | {"values": both[:, 1]})
    return rows


def test_loss_rows(predictions: ImagePredictions) -> Rows:
    """A row per member: loss on held-out images over all times."""
    return [predictions.name(k) | {"values": predictions.losses(k, predictions.held_out, None)} for k in range(predictions.count)]


def train_loss_rows(predictions: ImagePredictions) -> Rows:
    """A row per member: loss on its own split over all times."""
    members = enumerate(predictions.twins.members)
    return [predictions.name(k) | {"values": predictions.losses(k, member.split, None)} for k, member in members]


def fixed_time_loss_rows(predictions: ImagePredictions) -> Rows:
    """A row per member and time: loss on held-out images at that time."""
    times = predictions.probes.recipe.measuring.times
    return [
        predictions.name(k) | {"t": t, "values": predictions.losses(k, predictions.held_out, t)}
        for t in times
        for k in range(predictions.count)
    ]


def _pair_rows(predictions: ImagePredictions, quantity: Callable[[Similarity], Tensor], on_splits: Callable[[int], int]) -> Rows:
    """A row per ordered pair (a, b) and time: their predictions compared on the images `on_splits(a)`."""
    rows: Rows = []
    for t in predictions.probes.recipe.measuring.times:
        for a, b in ordered_pairs(predictions.count):
            values = quantity(predictions.compared(a, b, on_splits(a), t))
            rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"t": t, "values": values})
    return rows


def noise_similarity_rows(predictions: ImagePredictions) -> Rows:
    """Cosine similarity of two members' noise predictions on held-out images ([BG] fig. 2)."""
    return _pair_rows(predictions, lambda found: found.similarity, lambda a: predictions.held_out)


def noise_difference_rows(predictions: ImagePredictions) -> Rows:
    """Mean squared difference of two members' noise predictions on held-out images."""
    return _pair_rows(predictions, lambda found: found.difference, lambda a: predictions.held_out)


def train_noise_similarity_rows(predictions: ImagePredictions) -> Rows:
    """Cosine similarity of two members' noise predictions on the training images of the first."""
    return _pair_rows(predictions, lambda found: found.similarity, lambda a: predictions.twins.members[a].split)


def train_noise_difference_rows(predictions: ImagePredictions) -> Rows:
    """Mean squared difference of two members' noise predictions on the training images of the first."""
    return _pair_rows(predictions, lambda found: found.difference, lambda a: predictions.twins.members[a].split)


MEASURES: dict[str, Callable[[ImagePredictions], Rows]] = {
    "sample_split_divergence": split_divergence_rows,
    "test_loss": test_loss_rows,
    "train_loss": train_loss_rows,
    "fixed_time_loss": fixed_time_loss_rows,
    "noise_similarity": noise_similarity_rows,
    "noise_difference": noise_difference_rows,
    "train_noise_similarity": train_noise_similarity_rows,
    "train_noise_difference": train_noise_difference_rows,
}
STANDARD = ("sample_split_divergence", "test_loss", "train_loss", "fixed_time_loss", "noise_similarity")


@final
class ImageEvaluator(Evaluator):
    """The measures of images; one checkpoint's predictions serve all of them."""

    def __init__(self, probes: ImageProbes) -> None:
        self.probes = probes
        self.predictions: ImagePredictions | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"probes": self.probes, "predictions": None}

    def rows(self, twins: Twins, name: str) -> Rows:
        if self.predictions is None or self.predictions.twins is not twins:
            self.predictions = ImagePredictions(twins, self.probes)
        return MEASURES[name](self.predictions)
