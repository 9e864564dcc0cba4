"""Coarse to fine ([BG] fig. 7): which level of detail the networks of a run resemble, along its training.

Twins are trained on filtered copies of the images. Each copy's networks are frozen where they agree best; the networks at full resolution
are compared with them on the same noised images of full resolution.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from torch import Tensor

from twinsplit.diffusion.series import Twins
from twinsplit.execution.local import Executor
from twinsplit.measures.similarity import cosine_similarity
from twinsplit.papers.bg.images.settings import FULL
from twinsplit.pipeline.landmarks import SPLIT, checkpoint_at
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.predictions import ImagePredictions, ImageProbes
from twinsplit.worlds.images.world import ImageWorld

NAME = "level_similarity"


@final
@dataclass(frozen=True, eq=False)
class Frozen:
    """The predictions of each level's networks. by_level: name -> (K, m, C, H, W) at the fixed time, on held-out images in full."""

    probes: ImageProbes
    by_level: Mapping[str, tuple[Tensor, ...]]


def frozen_step(run: Run[Any]) -> int:
    """The checkpoint where the twins of a level agree best."""
    return checkpoint_at(run, SPLIT)


def freeze(world: ImageWorld, levels: Mapping[str, tuple[Run[Any], ImageWorld]], device: str = "cpu") -> Frozen:
    """`world` is that of full resolution, whose probes all levels are evaluated on."""
    probes = world.probes()
    made = {name: _held_out_noise(level.load(run, frozen_step(run), device), probes) for name, (run, level) in levels.items()}
    return Frozen(probes, made)


def _held_out_noise(ensemble: Twins, probes: ImageProbes) -> tuple[Tensor, ...]:
    predictions = ImagePredictions(ensemble, probes)
    return tuple(predictions.at(k, predictions.held_out, probes.recipe.measured_time) for k in range(predictions.count))


def measure_levels(
    run: Run[Any], world: ImageWorld, levels: Mapping[str, tuple[Run[Any], ImageWorld]], executor: Executor
) -> Iterator[Measured]:
    """Similarity to every level, at every checkpoint where it is not on disk yet."""
    todo = [step for step in run.steps() if step not in run.measured(NAME)]
    if not todo:
        return
    frozen = freeze(world, levels, executor.device)
    for step, rows in zip(
        todo, executor.map(partial(_rows, frozen), (world.load(run, step, executor.device) for step in todo)), strict=True
    ):
        run.write_table(NAME, step, as_table(step, rows))
        yield Measured(step, (NAME,))


def _rows(frozen: Frozen, ensemble: Twins) -> Rows:
    """A row per level and ordered pair (a, b): member a at full resolution against member b of the level, on different splits."""
    predictions = ImagePredictions(ensemble, frozen.probes)
    own_noise = _held_out_noise(ensemble, frozen.probes)
    rows: Rows = []
    for level, others in (*frozen.by_level.items(), (FULL, own_noise)):
        for a, own in enumerate(own_noise):
            for b, other in enumerate(others):
                if ensemble.members[a].split != ensemble.members[b].split:
                    values = cosine_similarity(own, other).float().numpy()
                    rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"level": level, "values": values})
    return rows
