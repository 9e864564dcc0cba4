"""Which checkpoints there are: files sorted into networks (folders) and epochs, checked before any of them is opened."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from twinsplit.errors import InputError
from twinsplit.papers.imports.names import NameMap, feedforward_of, parameters_of
from twinsplit.papers.imports.reader import read_weights
from twinsplit.papers.imports.settings import Settings, settings_near
from twinsplit.recipes import Data, Diffusion, Network, Recipe, Training
from twinsplit.runs.files import fingerprint
from twinsplit.training.batches import steps_per_epoch

if TYPE_CHECKING:
    from torch import Tensor

    from twinsplit.networks.transformer import Transformer

BATCH = 256 << 20
EPOCH = re.compile(r"(?<![a-z])ep(?:och)?[_=\- ]*(\d+)", re.IGNORECASE)  # not the end of "step"


@final
@dataclass(frozen=True)
class Source:
    """One network: its folder, where its settings stand, the settings, and epoch -> file."""

    folder: Path
    params: Path
    settings: Settings
    files: dict[int, Path]


@final
@dataclass(frozen=True)
class Series:
    """Networks of one shape on several splits at the same epochs, in order of split."""

    sources: tuple[Source, ...]

    @property
    def common(self) -> Settings:
        """The settings that all share (the split is the first one's)."""
        return self.sources[0].settings

    @property
    def splits(self) -> tuple[int, ...]:
        """The numbers of the splits, ascending."""
        return tuple(sorted({source.settings.split for source in self.sources}))

    @property
    def epochs(self) -> tuple[int, ...]:
        """Ascending, the same for every network."""
        return tuple(sorted(self.sources[0].files))

    def step(self, epoch: int) -> int:
        """Optimizer steps after an epoch; the last, partial batch of each is kept."""
        return epoch * steps_per_epoch(self.common.n, self.common.batch)

    def files(self, epoch: int) -> list[Path]:
        """One file per network, in storage order."""
        return [source.files[epoch] for source in self.sources]

    def describe(self) -> list[dict[str, Any]]:
        """Where every network comes from; SHA-256 of every file by its epoch."""
        return [
            {
                "folder": str(source.folder),
                "split": source.settings.split,
                "files": [
                    {"epoch": epoch, "step": self.step(epoch), "name": file.name, "sha256": fingerprint(file.read_bytes())}
                    for epoch, file in sorted(source.files.items())
                ],
            }
            for source in self.sources
        ]


def gather(paths: Sequence[Path]) -> Series:
    """The series that files and folders (searched to the bottom) make up."""
    if not paths:
        raise InputError("no checkpoint was named", "give .pt files, or folders that hold them")
    files = sorted({file.resolve() for path in paths for file in _files(path)})
    by_folder: dict[Path, list[Path]] = {}
    for file in files:
        by_folder.setdefault(file.parent, []).append(file)
    sources = [_source(folder, inside) for folder, inside in by_folder.items()]
    series = Series(tuple(sorted(sources, key=lambda source: (source.settings.split, source.folder))))
    _check(series)
    return series


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*.pt")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise InputError(f"{path} is no file and no folder with .pt files", "check the path")
    return found


def _source(folder: Path, files: list[Path]) -> Source:
    params, settings = settings_near(folder)
    by_epoch: dict[int, Path] = {}
    for file in files:
        epoch = epoch_of(file)
        if epoch in by_epoch:
            raise InputError(f"{file} and {by_epoch[epoch].name} are both of epoch {epoch}", "give one of them")
        by_epoch[epoch] = file
    return Source(folder, params, settings, by_epoch)


def epoch_of(file: Path) -> int:
    """The number after "epoch" in a file's name, or its last number."""
    named = EPOCH.findall(file.stem) or re.findall(r"\d+", file.stem)
    if not named or int(named[-1]) < 1:
        raise InputError(f"{file} does not say its epoch (1 or more)", "rename it to NAME_epoch_N.pt")
    return int(named[-1])


def _check(series: Series) -> None:
    first = series.sources[0]
    for source in series.sources[1:]:
        if replace(source.settings, split=0) != replace(first.settings, split=0):
            raise InputError(f"{source.params} and {first.params} have different settings", "import networks of one kind at a time")
        odd = sorted(set(source.files) ^ set(first.files))
        if odd:
            raise InputError(f"epoch {odd[0]} is in only one of {source.folder} and {first.folder}", "give all networks the same epochs")
    repeats = [sum(source.settings.split == split for source in series.sources) for split in series.splits]
    if len(repeats) < 2 or len(set(repeats)) > 1:
        counts = ", ".join(f"split {split}: {count}" for split, count in zip(series.splits, repeats, strict=True))
        raise InputError(f"networks per split: {counts}", "twins need two splits or more, each with the same number of networks")


def recipe_of(series: Series, data: Path, samples: int, held_out: int, names: NameMap) -> Recipe:
    """The recipe of the run; opens the first checkpoint for the hidden width that settings may leave out."""
    common, steps = series.common, tuple(series.step(epoch) for epoch in series.epochs)
    first = series.files(series.epochs[0])[0]
    feedforward = feedforward_of(read_weights([first])[0].tensors, names, first)
    return Recipe(
        name="imported",
        data=Data(
            vocab_size=common.vocab_size,
            depth=common.depth,
            samples=samples,
            path=str(data.resolve()),
            splits=len(series.splits),
            split_size=common.n,
            held_out=held_out,
            published_splits=series.splits,
        ),
        diffusion=Diffusion("one_minus_sqrt" if common.schedule == "one_minus_sqrt" else "diffusion_lm", common.T),
        network=Network(common.width, common.layers, common.heads, feedforward),
        training=Training(
            steps=steps[-1],
            batch=common.batch,
            seeds_per_split=len(series.sources) // len(series.splits),
            first_checkpoint=steps[0],
            checkpoints=len(steps),
            checkpoint_list=steps,
        ),
    )


def stacked(series: Series, network: "Transformer", names: NameMap) -> "Iterator[tuple[int, dict[str, Tensor]]]":
    """(step, name -> (K, *shape)) epoch by epoch; every batch of epochs is read in a sandbox of its own."""
    import torch

    for epochs in batches(series):
        files = [(epoch, file) for epoch in epochs for file in series.files(epoch)]
        read = read_weights([file for _, file in files])
        members = [_member(file, epoch, network, names, found) for (epoch, file), found in zip(files, read, strict=True)]
        for i, epoch in enumerate(epochs):
            own = members[i * len(series.sources) : (i + 1) * len(series.sources)]
            yield series.step(epoch), {f"weights.{name}": torch.stack([member[name] for member in own]) for name in own[0]}


def batches(series: Series, size: int = BATCH) -> list[list[int]]:
    """Consecutive epochs whose files together take at most `size` bytes, or one epoch: starting a sandbox takes a second or two."""
    found: list[list[int]] = []
    taken = size + 1
    for epoch in series.epochs:
        own = sum(file.stat().st_size for file in series.files(epoch))
        taken = taken + own if taken + own <= size else own
        if taken == own:
            found.append([])
        found[-1].append(epoch)
    return found


def _member(file: Path, epoch: int, network: "Transformer", names: NameMap, found: Any) -> "dict[str, Tensor]":
    # a training loop that counts from 0 saves epoch N - 1 in the file of epoch N
    if found.epoch is not None and abs(found.epoch - epoch) > 1:
        raise InputError(f"{file} says inside that it is of epoch {found.epoch}, its name says {epoch}", "rename it to NAME_epoch_N.pt")
    return parameters_of(found.tensors, network, names, file)
