"""The checkpoints at which the finer measurements are made: at the minima of the curves, found from what is stored."""

from dataclasses import dataclass
from typing import Any, final

from twinsplit.onset.checkpoints import nearest_checkpoint
from twinsplit.onset.minima import Minima, find_minima
from twinsplit.pipeline.replicates import loss_curve, neighbour_curve, oracle_curve, split_curve
from twinsplit.runs.store import Run

SPLIT, NEAREST, LOSS = "sample-split divergence", "nearest-neighbour divergence", "test loss"


@final
@dataclass(frozen=True)
class Landmarks:
    """Kept checkpoints nearest to the minima of the three curves; one that is not reached stands at the end where the curve is lowest."""

    onset: int
    nearest: int
    loss: int


CURVES = {SPLIT: split_curve, NEAREST: neighbour_curve, LOSS: loss_curve}


def minima_of(run: Run[Any], *names: str) -> Minima:
    """The minima of some of the three curves, jointly."""
    return find_minima([CURVES[name](run) for name in names])


def all_minima(run: Run[Any]) -> Minima:
    """The minima of all curves of a run, jointly: twins, nearest neighbours, test loss, and every BP_k."""
    coarsest = range(1 + max(run.table("oracle_divergence").column("truncation").to_pylist()))
    return find_minima([*(curve(run) for curve in CURVES.values()), *(oracle_curve(run, k) for k in coarsest)])


@final
@dataclass(frozen=True)
class Landmark:
    """The kept checkpoint nearest to the minimum of one curve. reached: whether that minimum lies within the checkpoints."""

    step: int
    reached: bool

    def __str__(self) -> str:
        return f"step {self.step:,}" + ("" if self.reached else ", not reached")


def landmarks_of(run: Run[Any]) -> Landmarks:
    """Where to look closer."""
    return Landmarks(*(checkpoint_at(run, name) for name in (SPLIT, NEAREST, LOSS)))


def landmark_of(run: Run[Any], name: str) -> Landmark:
    """Of one of the three curves."""
    minima = minima_of(run, name)
    return Landmark(nearest_checkpoint(run.steps(), minima.places[name].at), minima.turn(name).step is not None)


def checkpoint_at(run: Run[Any], name: str) -> int:
    """The step of that landmark."""
    return landmark_of(run, name).step
