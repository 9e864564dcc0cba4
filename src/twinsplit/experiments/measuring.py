"""Measurements along the checkpoints: each step and measure is one file, so an interrupted pass goes on where it stopped."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.experiments.world import Examiner, Measured, Rows, World
from twinsplit.store import Run
from twinsplit.training.ensemble import Ensemble
from twinsplit.workers import Crew

if TYPE_CHECKING:
    import pyarrow as pa


def measure(run: Run[Any], world: World, names: tuple[str, ...], crew: Crew) -> Iterator[Measured]:
    """Measure what is missing of `names` at every checkpoint there is; yields as each step is on disk."""
    unknown = sorted(set(names) - set(world.measures))
    if unknown:
        raise InputError(f"no measure named {unknown[0]!r}", f"choose among {', '.join(dict.fromkeys((*world.measures, *world.drawn)))}")
    todo = {step: tuple(n for n in names if step not in run.measured(n)) for step in run.steps()}
    todo = {step: missing for step, missing in todo.items() if missing}
    if not todo:
        return
    examiner = world.examiner()
    run.write_json("measurements/bayes.json", examiner.lowest_losses())
    tasks = ((world.load(run, step, crew.device), missing) for step, missing in todo.items())
    for step, tables in zip(todo, crew.map(partial(_examine, examiner), tasks), strict=True):
        for name, rows in tables.items():
            run.write_table(name, step, as_table(step, rows))
        yield Measured(step, tuple(tables))


def _examine(examiner: Examiner, task: tuple[Ensemble, tuple[str, ...]]) -> dict[str, Rows]:
    ensemble, names = task
    return {name: _plain(examiner.rows(ensemble, name)) for name in names}


def _plain(rows: Rows) -> Rows:
    return [row | {"values": row["values"].float().numpy()} for row in rows]


def as_table(step: int, rows: Rows) -> "pa.Table":
    """Rows as a table: the step, the naming columns, and `values` as a list of float32 (the replicates)."""
    import pyarrow as pa

    columns: dict[str, object] = {"step": pa.array([step] * len(rows), pa.int64())}
    columns |= {name: pa.array([row[name] for row in rows]) for name in rows[0] if name != "values"}
    columns["values"] = pa.array([row["values"] for row in rows], pa.list_(pa.float32()))
    return pa.table(columns)


def values(table: "pa.Table") -> "np.typing.NDArray[np.float64]":
    """(rows, n) replicates of a table whose lists have one length, as those of measurements on one probe have."""
    column = table.column("values").combine_chunks()
    assert len(set(np.diff(column.offsets.to_numpy()))) <= 1, "rows of different lengths: read them one by one"
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(column), -1)
