"""The settings of [BG]'s hierarchical figures at every scale: three split sizes on one data set, judged on one held-out set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, final

from twinsplit.errors import InputError
from twinsplit.papers.scales import Scale
from twinsplit.recipes import PUBLISHED, QUICKSTART, SHIPPED, SMOKE, Measuring, Recipe, read_recipe

Size = Literal["small", "middle", "large"]
PUBLISHED_SIZES: Mapping[Size, str] = dict(zip(("small", "middle", "large"), PUBLISHED, strict=True))
FEWEST_SPLITS = 3  # below, no interval can be given


@final
@dataclass(frozen=True)
class SequenceRuns:
    """A scale. recipes: of a run of each size; splits: networks on splits of their own, by default.

    paired: splits with two seeds each, for the figures that compare twins with pairs on the same data.
    """

    recipes: Mapping[Size, Recipe]
    splits: int
    paired: int

    def recipe(self, size: Size, seed: int, splits: int | None = None, seeds_per_split: int = 1) -> Recipe:
        """The recipe of one run."""
        base, count = self.recipes[size], self.splits if splits is None else splits
        if count < FEWEST_SPLITS:
            raise InputError(f"{count} splits show no spread", f"use --seeds {FEWEST_SPLITS} or more")
        training = replace(base.training, seeds_per_split=seeds_per_split)
        return replace(base, seed=seed, data=replace(base.data, splits=count), training=training)


def sized(base: Recipe, sizes: Mapping[Size, tuple[int, int, int]]) -> dict[Size, Recipe]:
    """One base with the split size n, the steps, and the first checkpoint of each size."""
    return {
        size: replace(base, data=replace(base.data, split_size=n), training=replace(base.training, steps=steps, first_checkpoint=first))
        for size, (n, steps, first) in sizes.items()
    }


def published() -> dict[Size, Recipe]:
    """The recipe files that come with the package: a run that is trained from one is the run that a figure of that size reads."""
    found: dict[Size, Recipe] = {}
    for size, name in PUBLISHED_SIZES.items():
        recipe = read_recipe(SHIPPED / name)
        assert isinstance(recipe, Recipe)
        found[size] = recipe
    return found


SETTINGS: dict[Scale, SequenceRuns] = {
    "smoke": SequenceRuns(
        sized(
            replace(
                SMOKE,
                data=replace(SMOKE.data, apart=400),
                measuring=Measuring(
                    generated=32, sampling_steps=10, uturn_starts=6, uturn_repetitions=2, profile_times=12, profile_sequences=24
                ),
            ),
            {"small": (4, 40, 4), "middle": (6, 60, 4), "large": (8, 60, 4)},
        ),
        splits=3,
        paired=3,
    ),
    # the grammar of the paper in full: at depth 3 the splits hold the frequent sequences, and what is left to hold out is rarer
    "laptop": SequenceRuns(
        sized(
            replace(
                QUICKSTART,
                data=replace(QUICKSTART.data, depth=4, apart=8_000),
                training=replace(QUICKSTART.training, checkpoints=26, save_every=2_500),
                measuring=Measuring(generated=1_000),
            ),
            {"small": (128, 3_000, 30), "middle": (256, 5_000, 30), "large": (512, 10_000, 30)},
        ),
        splits=6,
        paired=4,
    ),
    "paper": SequenceRuns(published(), splits=15, paired=15),
}
