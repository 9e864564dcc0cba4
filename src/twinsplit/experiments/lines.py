"""From stored measurements to the lines and marks of a figure; x is the epoch, the number of passes over a split."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.experiments.landmarks import LOSS, NEAREST, SPLIT, minima_of
from twinsplit.experiments.replicates import splits_of
from twinsplit.measures.minima import Minima
from twinsplit.measures.statistics import mean_over
from twinsplit.report.model import Series
from twinsplit.report.sheets import Dash, Line, Mark
from twinsplit.report.stored import FEWEST, LEVEL, Label, Table, member_series, pair_series
from twinsplit.store import Run
from twinsplit.training.batches import epoch_size, steps_per_epoch

Floats = NDArray[np.float64]
EPOCH = "epoch (passes over the split)"
OVER_NETWORKS = f"Bands: {LEVEL:.0%} Student interval over networks, each on a split of its own."
OVER_SPLITS = f"Bands of networks: {LEVEL:.0%} Student interval over splits, after a mean over the networks that share one."
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


def line(run: Run[Any], series: Series, colour: str, dash: Dash = "solid") -> Line:
    """A curve along training, against epochs."""
    return Line(series.label, epochs(run, series.steps), series.mean, series.low, series.high, colour, dash)


def _label(text: str) -> Label:
    return Label(text, text, "", "")


def member_line(run: Run[Any], table: Table, text: str, colour: str, dash: Dash = "solid") -> Line:
    """Mean over networks; those on one split share its peculiarities, so that the splits are what is replicated."""
    return line(run, member_series(table, _label(text)), colour, dash)


def pair_line(run: Run[Any], table: Table, text: str, colour: str, dash: Dash = "solid") -> Line:
    """Mean over pairs, symmetrised."""
    return line(run, pair_series(table, _label(text), splits_of(run).tolist()), colour, dash)


def over_members(text: str, x: Floats, values: Floats, colour: str, dash: Dash = "solid") -> Line:
    """Mean over the last axis of values (n, K) with Student's interval."""
    means = [mean_over(row, "members") for row in values]
    bounds = [(m.interval(LEVEL) if m.count >= FEWEST else None) or (np.nan, np.nan) for m in means]
    low, high = np.array(bounds).T
    return Line(text, x, np.array([m.value for m in means]), low, high, colour, dash)


def mark(run: Run[Any], minima: Minima, name: str, text: str, colour: str) -> Mark:
    """The minimum of a curve, with its interval, in epochs."""
    turn = minima.turn(name)
    place = [None if step is None else float(epochs(run, np.array(step))) for step in (turn.step, *turn.interval)]
    label = text if turn.step is not None else f"{text} (not reached)"
    return Mark(label, place[0], place[1], place[2], colour)


def landmarks(run: Run[Any], *names: str) -> tuple[Mark, ...]:
    """The minima that a figure shows."""
    minima = minima_of(run, *names)
    known = {SPLIT: ("twins agree best", "blue"), NEAREST: ("nearest-neighbour minimum", "purple"), LOSS: ("test-loss minimum", "red")}
    return tuple(mark(run, minima, name, *known[name]) for name in names)
