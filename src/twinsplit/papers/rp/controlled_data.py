"""The controlled splits ([RP]; PROTOCOL section 4): which splits are compared with random ones, on what data, how often.

They are cut from a given data folder or from faces drawn here, without its duplicates, by a manifest per seed and kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from twinsplit.data.images.builtin import write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import gahb
from twinsplit.data.images.preparing import prepare
from twinsplit.data.splits.controlled import AtRandom, ByAttribute, ByIdentity, Controlled
from twinsplit.data.splits.duplicate_lists import DuplicateList, write_duplicates
from twinsplit.data.splits.duplicates import THRESHOLD
from twinsplit.data.splits.manifests import ControlledSplit, make_split, write_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.figure import NEEDS_CELEBA, Options
from twinsplit.papers.gahb.ladder import LAPTOP, PAPER, SMOKE, Manifests
from twinsplit.papers.scales import Scale, at_scale
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
class ControlledRuns:
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

    def seed_range(self, first: int, count: int | None) -> tuple[int, ...]:
        """`count` seeds, or as many as the scale has, from `first` on; InputError where there are too few for a spread."""
        chosen = self.seeds if count is None else count
        if chosen < FEWEST_SEEDS:
            remedy = f"use {FEWEST_SEEDS} or more; 4 are the fewest that a test can use"
            raise InputError(f"--seeds {chosen} shows no spread over seeds", remedy)
        return tuple(range(first, first + chosen))

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


SETTINGS: Mapping[Scale, ControlledRuns] = {
    "smoke": ControlledRuns(_twins(SMOKE, 24, 16, 60), 3, 0.98, Drawn(200, 40, 8), (Case(8, "Eyeglasses"),), Case(8)),
    # at 16 x 16 pixels many different people correlate above the published 0.95
    "laptop": ControlledRuns(_twins(LAPTOP, 1_500, 150, 1_000), 6, 0.98, Drawn(4_000, 200, 16), (Case(256, "Eyeglasses"),), Case(256)),
    # a little below the published 13,193, 84,434 and 98,117: the held-out images belong to no group
    "paper": ControlledRuns(
        _twins(PAPER, 196_000, 1_000, 10_000), 6, THRESHOLD, None, (Case(13_000, "Eyeglasses"), Case(83_500, "Male")), Case(97_500)
    ),
}


@final
@dataclass(frozen=True)
class Plan:
    """All that decides a figure of controlled splits. out: its folder; seeds: of splits, networks and noise; data: a given folder."""

    setting: ControlledRuns
    out: Path
    seeds: tuple[int, ...]
    data: Path | None

    @classmethod
    def of(cls, options: Options) -> "Plan":
        """InputError where a scale that brings no images is given none, and where seeds are too few."""
        setting, data = at_scale(SETTINGS, options.scale), options.data
        seeds = setting.seed_range(options.seed, options.seeds)
        if setting.faces is None and data is None:
            raise InputError(*NEEDS_CELEBA)
        return cls(setting, options.out.resolve(), seeds, None if data is None else data.resolve())

    @property
    def folder(self) -> Path:
        """The prepared data: those given, or where the faces drawn for the first seed go."""
        if self.data is not None:
            return self.data
        faces = self.setting.faces
        assert faces is not None
        return self.out / "faces" / f"{faces.count}-of-{faces.people}-s{self.seeds[0]}-{faces.size}px"

    @property
    def manifests(self) -> Manifests:
        """Where the manifests and the list of duplicates of these data go."""
        return Manifests(self.out, self.folder, self.setting.threshold)

    @property
    def reserved(self) -> int:
        """Images of no group."""
        return self.setting.base.data.held_out

    def manifest(self, rule: Controlled, case: Case) -> Path:
        """The file of a split."""
        return self.manifests.manifest(rule, self.setting.threshold if case.without_duplicates else None, self.reserved)

    def recipes(self, case: Case) -> dict[str, list[ImageRecipe]]:
        """Kind of split -> a recipe per seed, which differ between the kinds in their images alone."""
        made: dict[str, list[ImageRecipe]] = {}
        for seed in self.seeds:
            for kind, rule in case.rules(seed).items():
                made.setdefault(kind, []).append(self._recipe(case, seed, self.manifest(rule, case)))
        return made

    def _recipe(self, case: Case, seed: int, manifest: Path) -> ImageRecipe:
        base = self.setting.base
        data = replace(base.data, path=str(self.folder), manifest=str(manifest), split_size=case.size)
        return replace(base, seed=seed, data=data)


def prepare_splits(plan: Plan, cases: tuple[Case, ...], executor: Executor) -> None:
    """Draw what is to be drawn, find duplicates where they are taken out, write the manifests; what exists is kept.

    Data that are too few for a case are refused before duplicates are sought or anything is written beside them.
    """
    data = _images(plan, executor)
    for case in cases:
        _made(plan, case, data, None)
    for case in cases:
        for path, split in _made(plan, case, data, _duplicates(plan, data) if case.without_duplicates else None).items():
            write_split(path, split, data)


def _made(plan: Plan, case: Case, data: ImageData, duplicates: DuplicateList | None) -> dict[Path, ControlledSplit]:
    """Manifest -> split, for every seed and kind; InputError where a group has fewer images than a network takes."""
    rules = [rule for seed in plan.seeds for rule in case.rules(seed).values()]
    splits = {plan.manifest(rule, case): make_split(data, rule, duplicates, plan.reserved) for rule in rules}
    fewest = min(len(group) for split in splits.values() for group in split.groups)
    if fewest < case.size:
        raise InputError(f"{case.title}: a group of {data.folder} has {fewest} images, {case.size} are needed", "give larger data")
    return splits


def _images(plan: Plan, executor: Executor) -> ImageData:
    faces, folder = plan.setting.faces, plan.folder
    if plan.data is not None or (folder / "data.json").is_file():
        return load_images(folder)
    assert faces is not None
    raw = folder.with_name(folder.name.removesuffix(f"-{faces.size}px") + "-raw")
    write_faces(raw, faces.count, FaceSet(plan.seeds[0], faces.people), executor)
    return prepare(CelebaSource(raw), replace(gahb(faces.size), exact=SIZE), folder, executor)


def _duplicates(plan: Plan, data: ImageData) -> DuplicateList:
    found = plan.manifests.sought(data)
    write_duplicates(plan.manifests.duplicates, found, data)
    return found
