"""The image world: what is measured of networks of images, and where their samples are drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, final

import torch

from twinsplit.execution.local import Executor
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Evaluator, Measured
from twinsplit.worlds.images.generation import measure_samples
from twinsplit.worlds.images.judging import measure_two_sample
from twinsplit.worlds.images.pictured import ImageSet, PicturedWorld, image_splits_of, network_of
from twinsplit.worlds.images.predictions import MEASURES, STANDARD, CleanImages, ImageEvaluator, ImageProbes
from twinsplit.worlds.world import noising_of


@final
@dataclass(frozen=True, eq=False)
class ImageWorld(PicturedWorld):
    """Everything a run on images learns from and is judged by."""

    @classmethod
    def of(cls, recipe: ImageRecipe) -> "ImageWorld":
        """Build it; InputError where the recipe's sizes do not fit the data."""
        image_set = ImageSet.of(recipe.data)
        network = network_of(recipe.network, image_set.pixels.shape[1:])
        return cls(recipe, image_set, image_splits_of(image_set, recipe), noising_of(recipe.diffusion), network)

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(MEASURES)

    @property
    def standard(self) -> tuple[str, ...]:
        return STANDARD

    @property
    def sampled(self) -> str:
        return "sample_similarity"

    @property
    def drawn(self) -> tuple[str, ...]:
        return ("memorization", self.sampled, "two_sample")

    def evaluator(self) -> Evaluator:
        return ImageEvaluator(self.probes())

    def probes(self) -> ImageProbes:
        """What every checkpoint is asked."""
        training, held_out = self.pictures
        kept = self.recipe.measuring.train_images
        own = tuple(
            CleanImages(images[:kept], torch.from_numpy(rows[:kept])) for images, rows in zip(training, self.splits.rows, strict=True)
        )
        fresh = CleanImages(held_out, torch.from_numpy(self.splits.held_out))
        return ImageProbes(self.recipe, self.parametrisation, fresh, own, self.normalisations, self.root.child("measuring"))

    def sample_stage(self, run: Run[Any], steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
        return chain(measure_samples(run, self, steps, executor), measure_two_sample(run, self, steps, executor))
