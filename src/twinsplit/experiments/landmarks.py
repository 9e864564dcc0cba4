"""The checkpoints at which the finer measurements are made: at the minima of the curves, found from what is stored."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from twinsplit.experiments.replicates import loss_curve, neighbour_curve, oracle_curve, split_curve
from twinsplit.measures.minima import Minima, find_minima
from twinsplit.store import Run

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


def landmarks_of(run: Run[Any]) -> Landmarks:
    """Where to look closer."""
    return Landmarks(*(checkpoint_at(run, name) for name in (SPLIT, NEAREST, LOSS)))


def checkpoint_at(run: Run[Any], name: str) -> int:
    """The kept checkpoint nearest to the minimum of one of the three curves."""
    return nearest_checkpoint(run, minima_of(run, name).places[name].at)


def nearest_checkpoint(run: Run[Any], log_step: float) -> int:
    """The kept checkpoint nearest in log step."""
    return min(run.steps(), key=lambda step: abs(float(np.log(step)) - log_step))


def reached(run: Run[Any], name: str) -> bool:
    """Whether one of the three curves has its minimum within the checkpoints."""
    return minima_of(run, name).turn(name).step is not None


def lowest(run: Run[Any], name: str) -> str:
    """In words, the checkpoint nearest to that minimum; where it is not reached, the one where the curve is lowest."""
    return f"step {checkpoint_at(run, name):,}" + ("" if reached(run, name) else ", not reached")
