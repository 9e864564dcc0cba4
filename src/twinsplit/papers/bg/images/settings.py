"""The settings of [BG]'s image figures at every scale."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from twinsplit.errors import InputError
from twinsplit.papers.figure import NEEDS_CELEBA
from twinsplit.papers.scales import Scale
from twinsplit.recipes import DIGITS, DIGITS_SMOKE, ImageRecipe, Images

FEWEST_SPLITS = 3  # below, no interval can be given
FULL = "full resolution"


@final
@dataclass(frozen=True)
class ImageRuns:
    """A scale. base: the run on the images themselves; levels: what is filtered in its coarser copies, coarse to fine ([BG] fig. 7).

    needs_data: it is for images that the package does not bring.
    """

    base: ImageRecipe
    levels: Mapping[str, Mapping[str, object]]
    needs_data: bool

    def recipe(self, seed: int, splits: int | None = None, data: Path | None = None) -> ImageRecipe:
        """The recipe of the run at full resolution."""
        if self.needs_data and data is None:
            raise InputError(*NEEDS_CELEBA)
        count = self.base.data.splits if splits is None else splits
        if count < FEWEST_SPLITS:
            raise InputError(f"{count} splits show no spread", f"use --seeds {FEWEST_SPLITS} or more")
        chosen = replace(self.base, seed=seed, data=replace(self.base.data, splits=count))
        return chosen if data is None else chosen.on_folder(data.resolve())

    def filtered(self, recipe: ImageRecipe) -> dict[str, ImageRecipe]:
        """Runs on coarser copies of the images, by the name of the level; half as long, because twins agree best early."""
        half = replace(recipe.training, steps=recipe.training.steps // 2)
        return {name: replace(recipe, training=half, data=filtered(recipe.data, change)) for name, change in self.levels.items()}


def filtered(data: Images, change: Mapping[str, object]) -> Images:
    """The data with another filter."""
    return replace(data, **change)  # type: ignore[arg-type]


def pca(components: int) -> dict[str, object]:
    """Principal components of all training splits."""
    return {"filter": "pca", "components": components}


def haar(coarse: float, medium: float, fine: float) -> dict[str, object]:
    """Gains of three scales of Haar details."""
    return {"filter": "haar", "gains": (coarse, medium, fine)}


HAAR = {"no details": haar(0, 0, 0), "coarse details": haar(1, 0, 0), "coarse and medium details": haar(1, 1, 0)}

PUBLISHED_GAINS = ((0.0, 0.0, 0.0), (0.45, 0.15, 0.05), (0.8, 0.45, 0.2))
PUBLISHED_LEVELS = {f"{k} components": pca(k) for k in (32, 128, 512, 1_024)} | {
    f"Haar gains {', '.join(f'{gain:g}' for gain in gains)}": haar(*gains) for gains in PUBLISHED_GAINS
}
"""[BG] fig. 7. Gains of 1 are the images themselves; so are 1,024 components of 32 x 32 grey pixels, as far as training images reach."""

LONGER = replace(DIGITS, training=replace(DIGITS.training, steps=5_000, checkpoints=32, save_every=1_000))
"""Long enough for the test loss to turn."""

SETTINGS: dict[Scale, ImageRuns] = {
    "smoke": ImageRuns(DIGITS_SMOKE, {"4 components": pca(4), "16 components": pca(16)}, needs_data=False),
    "laptop": ImageRuns(LONGER, HAAR, needs_data=False),
    "paper": ImageRuns(ImageRecipe(), PUBLISHED_LEVELS, needs_data=True),
}
