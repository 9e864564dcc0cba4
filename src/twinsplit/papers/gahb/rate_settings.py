"""The settings of gahb-rates: blind denoisers on image classes whose best rates are known ([GAHB] section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from twinsplit.data.images.builtin import SyntheticSource
from twinsplit.data.synthetic import CAlphaImages, DiscImages, ImageClass
from twinsplit.errors import InputError
from twinsplit.papers.gahb.settings import LAPTOP, PAPER, SMOKE
from twinsplit.papers.gtv.settings import Scale, preset
from twinsplit.recipes import BlindSizes, ImageRecipe

FEWEST_NETWORKS = 2
SPARE = 50  # of so many images one is drawn to spare: contents may coincide, as of discs, where one in 256 is a constant image
FITTED = (10 / 255, 100 / 255)  # noise levels of the slope, where the smooth regions alone have it on the grid (docs/rates.md)


@final
@dataclass(frozen=True)
class Best:
    """The exact denoiser of discs. images: how many; particles: proposals for each; every: which noise levels (each so many-th)."""

    images: int
    particles: int
    every: int


@final
@dataclass(frozen=True)
class Rates:
    """A scale. base: the run of every class but for its images; size: pixels a side; alphas: of the C^alpha classes; fresh: test images."""

    base: ImageRecipe
    size: int
    alphas: tuple[float, ...]
    fresh: int
    best: Best

    def kinds(self, seed: int) -> dict[str, ImageClass]:
        """Name of a class -> its images; every seed has images of its own."""
        classes: dict[str, ImageClass] = {f"alpha = {alpha:g}": CAlphaImages(alpha, self.size, seed) for alpha in self.alphas}
        return classes | {"discs": DiscImages(self.size, seed)}

    def source(self, kind: ImageClass, splits: int) -> SyntheticSource:
        """All that the networks of a class are trained on, and what the run holds out, and some to replace those that coincide."""
        needed = splits * self.base.data.split_size + self.base.data.held_out
        return SyntheticSource(kind, needed + needed // SPARE)

    def recipe(self, seed: int, splits: int, folder: Path) -> ImageRecipe:
        """The run on a prepared folder."""
        return replace(self.base, seed=seed, data=replace(self.base.data, splits=splits)).on_folder(folder.resolve())

    def networks(self, options: int | None) -> int:
        """Networks of every class, each on images of its own."""
        count = self.base.data.splits if options is None else options
        if count < FEWEST_NETWORKS:
            raise InputError(f"{count} networks show no spread", f"use --seeds {FEWEST_NETWORKS} or more")
        return count


def _on_classes(base: ImageRecipe, split_size: int, held_out: int) -> ImageRecipe:
    """Images as listed, since they are drawn independently."""
    return replace(base, data=replace(base.data, splits=3, split_size=split_size, held_out=held_out, order="listed"))


SCALES: Mapping[Scale, Rates] = {
    "smoke": Rates(_on_classes(SMOKE, 32, 4), 8, (1.0, 4.0), fresh=16, best=Best(8, 1_024, 7)),
    "laptop": Rates(
        replace(_on_classes(LAPTOP, 4_096, 64), network=BlindSizes(width=8, blocks=3)),
        32,
        (1.0, 2.0, 4.0),
        fresh=256,
        best=Best(64, 2_048, 3),
    ),
    "paper": Rates(_on_classes(PAPER, 100_000, 1_000), 80, (1.0, 2.0, 4.0), fresh=1_000, best=Best(64, 2_048, 2)),
}


def rates_of(scale: str) -> Rates:
    """The setting of a scale."""
    return preset(SCALES, scale)
