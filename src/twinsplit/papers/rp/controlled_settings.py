"""The settings of the controlled splits ([RP]; PROTOCOL section 4): which splits are compared with random ones, on what, how often."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from twinsplit.data.splits.controlled import AtRandom, ByAttribute, ByIdentity, Controlled
from twinsplit.data.splits.duplicates import THRESHOLD
from twinsplit.errors import InputError
from twinsplit.papers.gahb.settings import LAPTOP, PAPER, SMOKE
from twinsplit.papers.gtv.settings import Scale, preset
from twinsplit.recipes import ImageRecipe

RANDOM = "at random"
FEWEST_SEEDS = 2


@final
@dataclass(frozen=True)
class Case:
    """A kind of split that is compared with random ones of the same size. size: images in a group (N).

    attribute: the expression that parts the groups; without one, they share no identity. Duplicates are taken out for identities and for
    the random splits beside them, not for attributes, as published.
    """

    size: int
    attribute: str = ""

    @property
    def title(self) -> str:
        """The kind of split."""
        return self.attribute or "identities apart"

    @property
    def without_duplicates(self) -> bool:
        """Whether duplicates are taken out first."""
        return not self.attribute

    def rules(self, seed: int) -> dict[str, Controlled]:
        """Kind -> rule of one seed: the random one and this one."""
        rule = ByAttribute(self.attribute, seed) if self.attribute else ByIdentity(seed)
        return {RANDOM: AtRandom(seed), self.title: rule}


@final
@dataclass(frozen=True)
class Drawn:
    """The images of scales that bring their own: `count` drawn faces of `people`, prepared at size x size pixels."""

    count: int
    people: int
    size: int


@final
@dataclass(frozen=True)
class Setting:
    """A scale. base: what all runs share but seed and data; its held-out images are the last ones of the data, in no group.

    seeds: networks, splits and noise of each kind. threshold: correlation above which a later image is a duplicate. faces: None where the
    data must be given.
    """

    base: ImageRecipe
    seeds: int
    threshold: float
    faces: Drawn | None
    attributes: tuple[Case, ...]
    identities: Case

    def cases(self, name: str) -> tuple[Case, ...]:
        """Those of a figure."""
        return {"rp-attributes": self.attributes, "rp-identities": (self.identities,)}[name]


def _twins(base: ImageRecipe, steps: int, held_out: int, sampling_steps: int) -> ImageRecipe:
    """Two networks, judged at the end of training alone.

    sampling_steps: a few times what an ascent takes, so that the samples of a network that learned too little to bring noise down, which
    grow without end, are still numbers.
    """
    training = replace(base.training, steps=steps, checkpoints=1)
    data = replace(base.data, splits=2, held_out=held_out, order="listed", stride=0)
    return replace(base, training=training, data=data, measuring=replace(base.measuring, sampling_steps=sampling_steps))


SETTINGS: Mapping[Scale, Setting] = {
    "smoke": Setting(_twins(SMOKE, 24, 16, 60), 3, 0.98, Drawn(200, 40, 8), (Case(8, "Eyeglasses"),), Case(8)),
    # at 16 x 16 pixels many different people correlate above the published 0.95
    "laptop": Setting(_twins(LAPTOP, 1_500, 150, 1_000), 6, 0.98, Drawn(4_000, 200, 16), (Case(256, "Eyeglasses"),), Case(256)),
    # a little below the published 13,193, 84,434 and 98,117: the held-out images belong to no group
    "paper": Setting(
        _twins(PAPER, 196_000, 1_000, 10_000), 6, THRESHOLD, None, (Case(13_000, "Eyeglasses"), Case(83_500, "Male")), Case(97_500)
    ),
}


def setting_of(scale: str) -> Setting:
    """The setting of a scale."""
    return preset(SETTINGS, scale)


def check_seeds(count: int) -> None:
    """InputError where there are too few for a spread."""
    if count < FEWEST_SEEDS:
        raise InputError(f"--seeds {count} shows no spread over seeds", f"use {FEWEST_SEEDS} or more; 4 are the fewest that a test can use")
