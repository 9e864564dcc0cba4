"""From stored measurements to the lines and marks of a figure; x is the epoch, the number of passes over a split."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.statistics import Mean, mean_over
from twinsplit.onset.turning import Turn
from twinsplit.pipeline.landmarks import LOSS, NEAREST, SPLIT, minima_of
from twinsplit.pipeline.replicates import splits_of
from twinsplit.report import stored
from twinsplit.report.figure import Dash, Line, Point, VerticalLine
from twinsplit.report.stored import FEWEST, LEVEL
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run
from twinsplit.training.batches import epoch_size, steps_per_epoch

Floats = NDArray[np.float64]
EPOCH = "epoch (passes over the split)"
OVER_NETWORKS = f"Bands: {LEVEL:.0%} Student interval over networks, each on a split of its own."
OVER_SPLITS = f"Bands of networks: {LEVEL:.0%} Student interval over splits, after a mean over the networks that share one."
MINIMA = (
    f"Dashed lines: minima of the curves smoothed over log step; upright bands: their {LEVEL:.0%} intervals, over splits, which reach to "
    "the end where the minimum may lie beyond the checkpoints."
)
DOTS = (
    f"Dots: minima of the curves smoothed over log step (no dot: not reached); bars: their {LEVEL:.0%} intervals, over splits, which reach "
    "to the end where the minimum may lie beyond the checkpoints (no bar: on both sides)."
)
OVER_PAIRS = f"Bands of pairs: {LEVEL:.0%} interval, leaving out one split with all its pairs at a time, because pairs share networks."


def epochs(run: Run[Any], steps: Floats) -> Floats:
    """Epochs after so many steps: passes over a split, or what `epoch_label` says."""
    training = run.recipe.training
    size = epoch_size(training, run.recipe.data.split_size)
    passed: Floats = np.asarray(steps, dtype=np.float64) / steps_per_epoch(size, training.batch)
    return passed


def epoch_label(run: Run[Any]) -> str:
    """What an epoch of the run is: a pass over the split, or as many images of it, repeated, as the recipe says."""
    shown = run.recipe.training.epoch_samples
    return f"epoch ({shown:,} images seen)" if shown else EPOCH


def size(run: Run[Any]) -> str:
    """How a run is called in a title."""
    return f"n = {run.recipe.data.split_size:,}"


def line(run: Run[Any], curve: Line, dash: Dash = "solid") -> Line:
    """A curve along training, against epochs instead of steps."""
    return replace(curve, x=epochs(run, curve.x), dash=dash)


def member_line(run: Run[Any], table: Table, text: str, colour: str, dash: Dash = "solid") -> Line:
    """Mean over networks; those on one split share its peculiarities, so that the splits are what is replicated."""
    return line(run, stored.member_line(table, text, colour=colour), dash)


def pair_line(run: Run[Any], table: Table, text: str, colour: str, dash: Dash = "solid") -> Line:
    """Mean over pairs, symmetrised."""
    return line(run, stored.pair_line(table, splits_of(run).tolist(), text, colour=colour), dash)


def bare(text: str, x: Floats, y: Floats, colour: str, dash: Dash = "solid") -> Line:
    """A line without a band."""
    nothing = np.full(len(x), np.nan)
    return Line(text, x, y, nothing, nothing, colour, dash)


def interval_of(mean: Mean) -> tuple[float, float] | None:
    """The interval that is drawn; None where replicates are too few for one."""
    return mean.interval(LEVEL) if mean.count >= FEWEST else None


def over_members(text: str, x: Floats, values: Floats, colour: str, dash: Dash = "solid") -> Line:
    """Mean over the last axis of values (n, K) with Student's interval."""
    means = [mean_over(row, "members") for row in values]
    low, high = np.array([interval_of(mean) or (np.nan, np.nan) for mean in means]).T
    return Line(text, x, np.array([m.value for m in means]), low, high, colour, dash)


def in_epochs(run: Run[Any], turn: Turn) -> tuple[float | None, float | None, float | None]:
    """The step of a minimum and the ends of its interval, in epochs; None as in `Turn`."""
    x, low, high = (None if step is None else float(epochs(run, np.array(step))) for step in (turn.step, *turn.interval))
    return x, low, high


def minimum_point(run: Run[Any], turn: Turn, on: Line) -> Point:
    """The minimum of a curve along training, on the curve; one that is not reached has the height of the curve's lowest point."""
    x, low, high = in_epochs(run, turn)
    height = float(np.nanmin(on.y)) if x is None else float(np.exp(np.interp(np.log(x), np.log(on.x), np.log(on.y))))
    return Point(f"minimum of {on.label}" + (" (not reached)" if x is None else ""), x, low, high, height, on.colour)


def minimum_line(run: Run[Any], turn: Turn, text: str, colour: str) -> VerticalLine:
    """The minimum of a curve, with its interval, in epochs."""
    label = text if turn.step is not None else f"{text} (not reached)"
    return VerticalLine(label, *in_epochs(run, turn), colour)


def landmarks(run: Run[Any], *names: str) -> tuple[VerticalLine, ...]:
    """The minima that a figure shows."""
    minima = minima_of(run, *names)
    known = {SPLIT: ("twins agree best", "blue"), NEAREST: ("nearest-neighbour minimum", "purple"), LOSS: ("test-loss minimum", "red")}
    return tuple(minimum_line(run, minima.turn(name), *known[name]) for name in names)


def late_range(lines: Sequence[Line]) -> tuple[float, float]:
    """The range of the second half of the curves, with their bands, in log step: the first fall would hide what comes after it."""
    late = [v[len(v) // 2 :] for line in lines for v in (line.y, line.low, line.high)]
    values = [v for half in late for v in half[np.isfinite(half)].tolist()]
    pad = 0.08 * (max(values) - min(values) or 1.0)
    return min(values) - pad, max(values) + pad
