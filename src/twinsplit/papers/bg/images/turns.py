"""Where the twins of an image run are most alike, time by time, and where the test loss at that time is lowest; jointly, over splits."""

from typing import TYPE_CHECKING, Any

import numpy as np

from twinsplit.onset.decision import usable_from
from twinsplit.onset.minima import LeftOut, Minima, find_minima
from twinsplit.pipeline.replicates import member_curve, member_means, pair_means, splits_of
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa

ALIKE, SAMPLES, LOWEST = "noise predictions", "samples", "test loss"


def predictions_curve(run: Run[Any], t: int) -> LeftOut:
    """ln(1 - cosine similarity) of noise predictions at one time, its early transient left out as `find_onset` does."""
    steps, values, pairs = pair_means(Table.read(run, "noise_similarity").where(t=t))
    return LeftOut.of_pairs(ALIKE, steps, 1.0 - values, pairs, splits_of(run), _settled(run, 1.0 - values, t))


def samples_curve(run: Run[Any]) -> LeftOut:
    """ln(1 - cosine similarity) of samples from the same noise; before anything is learned they are the noise itself, and alike."""
    steps, values, pairs = pair_means(Table.read(run, "sample_similarity"))
    return LeftOut.of_pairs(SAMPLES, steps, 1.0 - values, pairs, splits_of(run), _settled(run, 1.0 - values, None))


def _settled(run: Run[Any], values: "np.typing.NDArray[np.float64]", t: int | None) -> int:
    loss = Table.read(run, "test_loss") if t is None else Table.read(run, "fixed_time_loss").where(t=t)
    return usable_from(values.mean(1), member_means(loss)[1].mean(1))[0]


def loss_curve_at(run: Run[Any], t: int) -> LeftOut:
    """The test loss at one time."""
    return member_curve(run, LOWEST, "fixed_time_loss", t=t)


def minima_at(run: Run[Any], t: int) -> Minima:
    """Both minima at one time."""
    return find_minima([predictions_curve(run, t), loss_curve_at(run, t)])


def turns_table(run: Run[Any]) -> "pa.Table":
    """A row per measured time: the step where twins are most alike, that of the lowest test loss, and the steps between, each with its
    95% interval; null where a minimum is not reached, and on a side that is open.
    """
    import pyarrow as pa

    rows = [_row(t, minima_at(run, t)) for t in run.recipe.measuring.times]
    whole, numbers = pa.field("t", pa.int64()), [pa.field(name, pa.float64()) for name in list(rows[0])[1:]]
    return pa.Table.from_pylist(rows, schema=pa.schema([whole, *numbers]))


def _row(t: int, minima: Minima) -> dict[str, float | None]:
    between = minima.gap(ALIKE, LOWEST)
    found = {name: (turn.step, turn.interval) for name, turn in (("alike", minima.turn(ALIKE)), ("lowest", minima.turn(LOWEST)))}
    found["gap"] = between.steps, between.steps_interval
    row: dict[str, float | None] = {"t": t}
    for name, (value, (low, high)) in found.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row
