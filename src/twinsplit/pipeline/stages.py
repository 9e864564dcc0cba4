"""The stages of a run, in order: train, measure, decide, generate, report. Each goes on where it stopped and repeats nothing."""

import shlex
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, final

import numpy as np
from typing_extensions import TypeVar

from twinsplit.diffusion.series import Series
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.onset.checkpoints import nearest_checkpoint
from twinsplit.onset.decision import Onset, find_onset
from twinsplit.pipeline.curves import curves_of, data_shares, unmeasured
from twinsplit.pipeline.measuring import measure
from twinsplit.pipeline.pace import foretold
from twinsplit.recipes import RunRecipe
from twinsplit.runs import environment
from twinsplit.runs.progress import progress
from twinsplit.runs.store import Run
from twinsplit.training.loop import train
from twinsplit.worlds.registry import world_of
from twinsplit.worlds.sequences.world import HierarchicalWorld
from twinsplit.worlds.world import World

ONSET = "measurements/onset.json"
DATA_SHARE = "measurements/data_share.json"


AnyWorld = TypeVar("AnyWorld", bound=World, default=HierarchicalWorld)


@final
@dataclass(frozen=True)
class Session(Generic[AnyWorld]):
    """A run with its world, rebuilt once. While it lives, no other process may work on the folder."""

    run: Run[Any]
    world: AnyWorld
    executor: Executor
    lock: IO[bytes]

    @property
    def device(self) -> str:
        """Where its networks compute."""
        return self.executor.device


def begin(path: Path, recipe: RunRecipe, executor: Executor) -> Session[Any]:
    """Open or create a run; the world is built first, so that a recipe that does not fit writes nothing."""
    return begin_in(path, world_of(recipe), executor)


def begin_in(path: Path, world: World, executor: Executor, series: Series | None = None) -> Session[Any]:
    """Open or create the run of a world that is built. series: the networks, where the run holds results about another's."""
    description = world.describe()
    run: Run[Any] = Run.create(path, world.recipe)
    run.series = series
    lock = run.hold()
    try:
        _check_and_note(run, world, description)
    except BaseException:
        lock.close()  # a refused run is free again, even while somebody keeps the exception and with it this frame
        raise
    return Session(run, world, executor, lock)


def _check_and_note(run: Run[Any], world: World, description: dict[str, Any]) -> None:
    """Refuse data that are not those the run began with; note what they are and what it runs on."""
    run.check_space(disk_needed(world))
    if (run.path / "data.json").exists() and run.read_json("data.json") != description:
        raise InputError(
            f"the data of {run.path} changed since the run began (data.json differs)", "restore the data, or choose another --out"
        )
    run.write_json("data.json", description)
    run.write_json("environment.json", environment.describe())


def resume(path: Path, executor: Executor) -> Session[Any]:
    """An existing run."""
    run = Run.open(path)
    return begin(path, run.recipe, executor)


def disk_needed(world: World) -> int:
    """Bytes of a whole run, roughly: every checkpoint, two resume points, one being written."""
    recipe = world.recipe
    stack = 4 * world.network.size_in_numbers() * len(recipe.members)
    kinds = 2 if recipe.training.ema_decay else 1
    return stack * (kinds * len(recipe.checkpoint_steps()) + 3 * (kinds + 2)) + (16 << 20)


def train_stage(session: Session[Any]) -> None:
    """Train to the end; say before a long training how long it takes."""
    run, world = session.run, session.world
    total = run.recipe.training.steps
    if expected := foretold(world, session.executor, run.resume_step()):
        print(f"train: {expected}", file=sys.stderr, flush=True)
    with progress("train", total) as report:
        ensemble, splits = world.ensemble(), world.split_samples(session.device)
        for checkpoint in train(ensemble, splits, world.task(), run, session.executor):
            set_status(run, "training", checkpoint.step)
            report(checkpoint.step, f"training loss {float(checkpoint.loss.mean()):.4f}")
    set_status(run, "trained", total)


def set_status(run: Run[Any], stage: str, step: int) -> None:
    """status.json: how far the run is and what made it."""
    run.write_json(
        "status.json",
        {"stage": stage, "step": step, "steps": run.recipe.training.steps, "command": shlex.join(["twinsplit", *sys.argv[1:]])},
    )


def measure_stage(session: Session[Any], names: tuple[str, ...] = ()) -> None:
    """Measure the named curves at every checkpoint; by default those that the onset and the report need."""
    world = session.world
    along = tuple(name for name in names or world.standard if name not in world.drawn)
    follow(session, "measure", measure(session.run, world, along, session.executor))
    if set(names) & set(world.drawn):
        sampling_stage(session, session.run.steps())


def sampling_stage(session: Session[Any], steps: tuple[int, ...]) -> None:
    """Draw samples at some checkpoints and measure how near they come to training data."""
    follow(session, "generate", session.world.sample_stage(session.run, steps, session.executor))


def follow(session: Session[Any], label: str, events: Iterator[Any]) -> None:
    """Run a stage to its end and show how far it is, in checkpoints: each takes as long as another."""
    steps = session.run.steps()
    with progress(label, len(steps)) as report:
        for event in events:
            report(bisect_right(steps, event.step), f"step {event.step:,}")


def decide(run: Run[Any]) -> Onset:
    """Find the onset from stored measurements and store it."""
    _account(run, unmeasured(run))
    onset = find_onset(curves_of(run))
    shares = data_shares(run)
    if shares:
        run.write_json(DATA_SHARE, shares)
    run.write_json(ONSET, onset.to_json())
    return onset


def _account(run: Run[Any], missing: tuple[int, ...]) -> None:
    """A decision on fewer checkpoints than there are reads like one on all: refused, or said where measuring waits for another process."""
    if not missing:
        return
    what = f"{len(missing)} of {len(run.steps())} checkpoints of {run.path} are not measured, the first at step {missing[0]:,}"
    try:
        run.hold().close()
    except InputError:
        print(f"twinsplit: {what}; decided without them, because another process works on the run", file=sys.stderr)
        return
    raise InputError(what, f"run: twinsplit measure {run.path}")


def moments(run: Run[Any], onset: Onset) -> tuple[int, ...]:
    """The checkpoints nearest to the onset and to the test-loss minimum; the last one stands in for a step that is not reached."""
    steps = run.steps()
    wanted = [float(steps[-1]) if step is None else step for step in (onset.onset.step, onset.test_loss_minimum.step)]
    return tuple(sorted({nearest_checkpoint(steps, float(np.log(w))) for w in wanted}))
