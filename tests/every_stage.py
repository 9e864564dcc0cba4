"""Every stage of every kind of run, at a size of seconds: what the tests of executors and devices run and compare."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from twinsplit.execution.local import Executor
from twinsplit.papers.bg.images.levels import measure_levels
from twinsplit.papers.bg.landmark_measures import decomposition_stage, samples_stage, training_data_stage
from twinsplit.papers.bg.sequences.settings import SETTINGS
from twinsplit.papers.gahb.ladder import SMOKE as BLIND
from twinsplit.papers.gahb.rate_measures import SCALES, measure_errors
from twinsplit.papers.gahb.stages import measure_bases, measure_psnr
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import DIGITS_SMOKE, RunRecipe
from twinsplit.worlds.images import predictions as examination
from twinsplit.worlds.sequences.profiles import measure_fresh, measure_profile
from twinsplit.worlds.sequences.uturns import measure_random_uturns, measure_uturns

Work = Callable[[Session[Any]], object]


def trained(path: Path, recipe: RunRecipe, executor: Executor) -> Session[Any]:
    session = pipeline.begin(path, recipe, executor)
    pipeline.train_stage(session)
    return session


def stages_of_sequences(session: Session[Any]) -> Iterator[object]:
    run, world, executor, last = session.run, session.world, session.executor, session.run.steps()[-1:]
    pipeline.measure_stage(session)
    for stage in (training_data_stage, decomposition_stage, samples_stage):
        stage(session)
    yield from measure_uturns(run, world, last, executor)
    yield from measure_random_uturns(run, world, last[0], executor)
    yield from measure_profile(run, world, last, executor)
    yield from measure_fresh(run, world, last, executor)


def stages_of_images(session: Session[Any]) -> Iterator[object]:
    run, world = session.run, session.world
    pipeline.measure_stage(session, tuple(examination.MEASURES))
    pipeline.sampling_stage(session, run.steps()[-1:])
    if session.run.recipe.network.kind == "unet":
        yield from measure_levels(run, world, {"itself": (run, world)}, session.executor)


def stages_of_blind_networks(session: Session[Any]) -> Iterator[object]:
    yield from stages_of_images(session)
    run, world, executor, last = session.run, session.world, session.executor, session.run.steps()[-1]
    yield from measure_psnr(run, world, last, executor)
    yield from measure_bases(run, world, last, executor)
    kind = next(iter(SCALES["smoke"].kinds(0).values()))
    yield from measure_errors(replace(kind, size=8), 3, run, world, last, executor)


def few(recipe: Any, steps: int, checkpoints: int, **measuring: Any) -> Any:
    training = replace(recipe.training, steps=steps, first_checkpoint=2, checkpoints=checkpoints, save_every=3)
    return replace(recipe, training=training, measuring=replace(recipe.measuring, generated=3, sampling_steps=5, **measuring))


def cases(steps: int, checkpoints: int) -> dict[str, RunRecipe]:
    return {
        "sequences": few(SETTINGS["smoke"].recipe("small", 0), steps, checkpoints, uturn_starts=2, profile_times=2),
        "images": few(replace(DIGITS_SMOKE, data=replace(DIGITS_SMOKE.data, held_out=5)), steps, checkpoints, times=(3, 8), train_images=4),
        "blind": few(replace(BLIND, data=replace(BLIND.data, split_size=8, held_out=5)), steps, checkpoints, times=(10,), train_images=4),
    }


WORK: dict[str, Work] = {
    "sequences": lambda session: list(stages_of_sequences(session)),
    "images": lambda session: list(stages_of_images(session)),
    "blind": lambda session: list(stages_of_blind_networks(session)),
}
