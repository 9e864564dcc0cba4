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
from twinsplit.worlds.images.predictions import Answers, ImageQuestions
from twinsplit.worlds.images.world import ImageWorld

NAME = "level_similarity"


@final
@dataclass(frozen=True, eq=False)
class Frozen:
    """The predictions of each level's networks. by_level: name -> (K, m, C, H, W) at the fixed time, on held-out images in full."""

    questions: ImageQuestions
    by_level: Mapping[str, tuple[Tensor, ...]]


def frozen_step(run: Run[Any]) -> int:
    """The checkpoint where the twins of a level agree best."""
    return checkpoint_at(run, SPLIT)


def freeze(world: ImageWorld, levels: Mapping[str, tuple[Run[Any], ImageWorld]], device: str = "cpu") -> Frozen:
    """`world` is that of full resolution, whose questions all levels answer."""
    questions = world.questions()
    made = {name: _answers(level.load(run, frozen_step(run), device), questions) for name, (run, level) in levels.items()}
    return Frozen(questions, made)


def _answers(ensemble: Twins, questions: ImageQuestions) -> tuple[Tensor, ...]:
    answers = Answers(ensemble, questions)
    return tuple(answers.at(k, answers.held_out, questions.recipe.measured_time) for k in range(answers.count))


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
    answers = Answers(ensemble, frozen.questions)
    predictions = _answers(ensemble, frozen.questions)
    rows: Rows = []
    for level, others in (*frozen.by_level.items(), (FULL, predictions)):
        for a, own in enumerate(predictions):
            for b, other in enumerate(others):
                if ensemble.members[a].split != ensemble.members[b].split:
                    values = cosine_similarity(own, other).float().numpy()
                    rows.append(answers.name(a, "_a") | answers.name(b, "_b") | {"level": level, "values": values})
    return rows
