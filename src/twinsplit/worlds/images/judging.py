"""What stored samples say of a network: do they lie like held-out images, given its training images? And their Fréchet distance.

Judged are pictures as they are stored, 8 bits a channel and clipped, so that a run whose samples stand is judged without drawing again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.measures.features import LocalFeatures, fid, load_features
from twinsplit.measures.two_sample import FEWEST, TwoSample, nearest_neighbour_two_sample
from twinsplit.runs.files import fingerprint
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.pictured import PicturedWorld

SAMPLES, TWO_SAMPLE, FID = "samples", "two_sample", "fid"
DRAWS = 499
STATISTICS = ("closer", "coincidence")  # of the two-sample test


def levels(images: Tensor) -> Tensor:
    """(..., C, H, W) in [0, 1] as uint8 levels 0 to 255, clipped."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def _pictures(stored: Tensor) -> Tensor:
    return stored.float() / 255


def can_be_told_apart(world: PicturedWorld) -> bool:
    """Whether the two-sample test is made: with two samples or more, on images whose contents no filter has made equal."""
    recipe = world.recipe
    return recipe.data.filter == "none" and min(recipe.measuring.generated, recipe.data.held_out) >= FEWEST


def measure_two_sample(run: Run[Any], world: PicturedWorld, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """The two-sample test of every network at the given checkpoints, whose samples stand, where it is not on disk yet."""
    todo = [step for step in steps if step not in run.measured(TWO_SAMPLE)]
    if not todo or not can_be_told_apart(world):
        return
    sides = [_pictures(levels(images)) for images in (*world.pictures[0], world.pictures[1])]
    for step in todo:
        made = _pictures(run.tensors(SAMPLES, step)["images"])
        tasks = [(made[k], sides[member.split], sides[-1], world.recipe.seed) for k, member in enumerate(world.members[: len(made)])]
        found = list(executor.map(_told_apart, tasks))
        run.write_table(TWO_SAMPLE, step, as_table(step, [row for k, one in enumerate(found) for row in _rows(_name(world, k), one)]))
        yield Measured(step, (TWO_SAMPLE,))


def _told_apart(task: tuple[Tensor, Tensor, Tensor, int]) -> TwoSample:
    generated, training, held_out, seed = task
    return nearest_neighbour_two_sample(generated, training, held_out, DRAWS, seed)


def _name(world: PicturedWorld, k: int) -> dict[str, int]:
    member = world.members[k]
    return {"member": k, "split": member.split, "seed": member.seed}


def _rows(name: dict[str, int], found: TwoSample) -> Rows:
    """A row per statistic: its value, what it is for exchangeable images, the p-value, its interval where it has one, and the sizes."""
    nothing = (float("nan"), float("nan"))
    sizes = {"generated": found.generated, "held_out": found.held_out, "training": found.training, "draws": found.draws}
    return [
        name
        | {"statistic": statistic, "expected": one.expected, "p_value": one.p_value, "low": low, "high": high}
        | sizes
        | {"values": np.array([one.value], np.float32)}
        for statistic, one, (low, high) in zip(STATISTICS, (found.closer, found.coincidence), (found.closer_interval, nothing), strict=True)
    ]


@final
@dataclass(frozen=True, eq=False)
class FeatureFile:
    """A feature network and the SHA-256 of the local file it comes from."""

    network: LocalFeatures
    sha256: str

    @classmethod
    def plain(cls, file: Path) -> "FeatureFile":
        """A TorchScript module that maps images (n, C, H, W) in [0, 1] to (n, d)."""
        return cls(load_features(file), fingerprint(file.read_bytes()))

    @classmethod
    def inception(cls, file: Path) -> "FeatureFile":
        """The Inception network of published FID values, as its TorchScript file has it (see `load_features`)."""
        return cls(load_features(file, white=255, channels=3, return_features=True), fingerprint(file.read_bytes()))


def measure_fid(run: Run[Any], world: PicturedWorld, features: FeatureFile) -> Iterator[Measured]:
    """The Fréchet distance of features of samples and held-out images at every checkpoint with samples, where it is not on disk yet.

    Beside each network's stands that of as many images of its own split: what real images of that number score, bias included.
    """
    steps = run.measured("sample_similarity")
    if not steps:
        raise InputError(f"{run.path} has no samples yet", f"draw them first: twinsplit measure {run.path} sample_similarity")
    _refuse_other_features(run, features)
    todo = [step for step in steps if step not in run.measured(FID)]
    held_out = _pictures(levels(world.pictures[1]))
    real = _real_rows(world, held_out, features) if todo else []
    for step in todo:
        made = _pictures(run.tensors(SAMPLES, step)["images"])
        rows = [_fid_row(_name(world, k), "generated", made[k], held_out, features) for k in range(len(made))]
        run.write_table(FID, step, as_table(step, rows + real))
        yield Measured(step, (FID,))


def _real_rows(world: PicturedWorld, held_out: Tensor, features: FeatureFile) -> Rows:
    count = world.recipe.measuring.generated
    own = [_pictures(levels(images[:count])) for images in world.pictures[0]]
    return [_fid_row({"member": -1, "split": s, "seed": -1}, "training", images, held_out, features) for s, images in enumerate(own)]


def _fid_row(name: dict[str, int], source: str, images: Tensor, held_out: Tensor, features: FeatureFile) -> dict[str, Any]:
    about = {"source": source, "images": len(images), "held_out": len(held_out), "features_sha256": features.sha256}
    return name | about | {"values": np.array([fid(images, held_out, features.network)], np.float32)}


def _refuse_other_features(run: Run[Any], features: FeatureFile) -> None:
    """One run's distances are of one feature network, or they could not be compared."""
    known = set(run.table(FID).column("features_sha256").to_pylist()) if run.measured(FID) else set()
    if known - {features.sha256}:
        raise InputError(
            f"{run.path} holds Fréchet distances of other features (SHA-256 {min(known)[:16]})",
            f"give that file, or remove {run.path / 'measurements' / f'{FID}.parquet'}",
        )
