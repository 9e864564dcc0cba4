"""Where the twins of an image run are most alike, time by time, and where the test loss at that time is lowest; jointly, over splits."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from twinsplit.experiments.replicates import member_curve, member_means, pair_means, splits_of
from twinsplit.measures.gaps import Gap
from twinsplit.measures.minima import LeftOut, Minima, find_minima
from twinsplit.measures.turning import Turn
from twinsplit.onset import usable_from
from twinsplit.report.stored import Table
from twinsplit.store import Run

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


@final
@dataclass(frozen=True)
class Turns:
    """At time t: where twins are most alike, where the test loss is lowest, and what lies between."""

    t: int
    alike: Turn
    lowest: Turn
    gap: Gap


def turns_of(run: Run[Any]) -> tuple[Turns, ...]:
    """At every measured time."""
    found = ((t, minima_at(run, t)) for t in run.recipe.measuring.times)
    return tuple(Turns(t, m.turn(ALIKE), m.turn(LOWEST), m.gap(ALIKE, LOWEST)) for t, m in found)
