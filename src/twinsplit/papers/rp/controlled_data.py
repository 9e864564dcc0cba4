"""What the controlled splits are cut from: a given data folder or faces drawn here, its duplicates, and a manifest per seed and kind."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from twinsplit.data.images.builtin import write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import gahb
from twinsplit.data.images.preparing import prepare
from twinsplit.data.splits.controlled import Controlled
from twinsplit.data.splits.duplicate_lists import DuplicateList, write_duplicates
from twinsplit.data.splits.manifests import ControlledSplit, make_split, write_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.gahb.manifests import Manifests
from twinsplit.papers.rp.controlled_settings import Case, Setting, setting_of
from twinsplit.recipes import ImageRecipe


@final
@dataclass(frozen=True)
class Plan:
    """All that decides a figure of controlled splits. out: its folder; seeds: of splits, networks and noise; data: a given folder."""

    setting: Setting
    out: Path
    seeds: tuple[int, ...]
    data: Path | None

    @classmethod
    def of(cls, scale: str, out: Path, seeds: tuple[int, ...], data: Path | None) -> "Plan":
        """InputError where a scale that brings no images is given none."""
        setting = setting_of(scale)
        if setting.faces is None and data is None:
            raise InputError("this scale needs CelebA", "prepare it (`twinsplit data celeba DIR --out FOLDER`) and give --data FOLDER")
        return cls(setting, out.resolve(), seeds, None if data is None else data.resolve())

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
    """Draw what is to be drawn, find duplicates where they are taken out, write the manifests; what stands is not made again.

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
