"""Measurements along the checkpoints: each step and measure is one file, so an interrupted pass goes on where it stopped."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from twinsplit.diffusion.series import Twins
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Evaluator, Measured
from twinsplit.worlds.world import World

if TYPE_CHECKING:
    pass


def measure(run: Run[Any], world: World, names: tuple[str, ...], executor: Executor) -> Iterator[Measured]:
    """Measure what is missing of `names` at every checkpoint there is; yields as each step is on disk."""
    unknown = sorted(set(names) - set(world.measures))
    if unknown:
        raise InputError(f"no measure named {unknown[0]!r}", f"choose among {', '.join(dict.fromkeys((*world.measures, *world.drawn)))}")
    todo = {step: tuple(n for n in names if step not in run.measured(n)) for step in run.steps()}
    todo = {step: missing for step, missing in todo.items() if missing}
    if not todo:
        return
    evaluator = world.evaluator().prepare(tuple(dict.fromkeys(name for missing in todo.values() for name in missing)))
    run.write_json("measurements/bayes.json", evaluator.lowest_losses())
    tasks = ((world.load(run, step, executor.device), missing) for step, missing in todo.items())
    for step, tables in zip(todo, executor.map(partial(_evaluate, evaluator), tasks), strict=True):
        for name, rows in tables.items():
            run.write_table(name, step, as_table(step, rows))
        yield Measured(step, tuple(tables))


def _evaluate(evaluator: Evaluator, task: tuple[Twins, tuple[str, ...]]) -> dict[str, Rows]:
    twins, names = task
    return {name: _plain(evaluator.rows(twins, name)) for name in names}


def _plain(rows: Rows) -> Rows:
    return [row | {"values": row["values"].float().numpy()} for row in rows]
