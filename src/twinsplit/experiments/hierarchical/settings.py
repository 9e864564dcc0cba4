"""The settings of [BG]'s hierarchical figures at every scale: three split sizes on one data set, judged on one held-out set."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, final

from twinsplit.errors import InputError
from twinsplit.experiments.gtv_settings import Scale, preset
from twinsplit.recipes import QUICKSTART, SMOKE, Data, Measuring, Recipe
from twinsplit.training.batches import steps_per_epoch

Size = Literal["small", "middle", "large"]
FEWEST_SPLITS = 3  # below, no interval can be given


@final
@dataclass(frozen=True)
class Setting:
    """A scale. base: what all runs share; sizes: split size n, steps, and first checkpoint of each; splits: networks on splits of their
    own, by default.

    paired: splits with two seeds each, for the figures that compare twins with pairs on the same data.
    """

    base: Recipe
    sizes: Mapping[Size, tuple[int, int, int]]
    splits: int
    paired: int

    def recipe(self, size: Size, seed: int, splits: int | None = None, seeds_per_split: int = 1) -> Recipe:
        """The recipe of one run."""
        n, steps, first = self.sizes[size]
        count = self.splits if splits is None else splits
        if count < FEWEST_SPLITS:
            raise InputError(f"{count} splits show no spread", f"use --seeds {FEWEST_SPLITS} or more")
        data = replace(self.base.data, split_size=n, splits=count)
        training = replace(self.base.training, steps=steps, seeds_per_split=seeds_per_split, first_checkpoint=first)
        return replace(self.base, seed=seed, data=data, training=training)


def run_name(size: Size, recipe: Recipe) -> str:
    """A folder name that says the size and belongs to this very recipe."""
    digest = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True).encode()).hexdigest()[:10]
    return f"{size}-n{recipe.data.split_size}-{digest}"


def published(n: int, epochs: int) -> tuple[int, int, int]:
    """n, steps of so many epochs of batches of 512, the last partial one kept, and those of the first checkpoint, at epoch 100."""
    per_epoch = steps_per_epoch(n, 512)
    return n, epochs * per_epoch, 100 * per_epoch


SETTINGS: dict[Scale, Setting] = {
    "smoke": Setting(
        replace(
            SMOKE,
            data=replace(SMOKE.data, apart=400),
            measuring=Measuring(
                generated=32, sampling_steps=10, uturn_starts=6, uturn_repetitions=2, profile_times=12, profile_sequences=24
            ),
        ),
        {"small": (4, 40, 4), "middle": (6, 60, 4), "large": (8, 60, 4)},
        splits=3,
        paired=3,
    ),
    # the grammar of the paper in full: at depth 3 the splits hold the frequent sequences, and what is left to hold out is rarer
    "laptop": Setting(
        replace(
            QUICKSTART,
            data=replace(QUICKSTART.data, depth=4, apart=8_000),
            training=replace(QUICKSTART.training, checkpoints=26, save_every=2_500),
            measuring=Measuring(generated=1_000),
        ),
        {"small": (128, 3_000, 30), "middle": (256, 5_000, 30), "large": (512, 10_000, 30)},
        splits=6,
        paired=4,
    ),
    # 15 disjoint splits of 70,000 do not fit into the published 10^6 sequences, so a few more are drawn: the first 10^6 are the same
    "paper": Setting(
        Recipe(
            data=Data(samples=1_250_000, apart=1_200_000, held_out=3_000),
            measuring=Measuring(
                noise_draws=5,
                generated=50_000,
                sampling_steps=500,
                uturn_starts=1_000,
                uturn_repetitions=100,
                profile_times=500,
                profile_sequences=2_000,
            ),
        ),
        {"small": published(5_000, 20_000), "middle": published(12_000, 30_000), "large": published(70_000, 35_000)},
        splits=15,
        paired=15,
    ),
}


def setting_of(scale: str) -> Setting:
    """The setting of a scale."""
    return preset(SETTINGS, scale)
