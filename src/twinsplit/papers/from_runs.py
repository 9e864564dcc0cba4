"""Runs that are given instead of trained, imported or our own: opened and checked before anything is measured on them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.measures.statistics import FEWEST_UNITS
from twinsplit.onset.curves import FEWEST_CHECKPOINTS
from twinsplit.runs.files import fingerprint
from twinsplit.runs.store import Run

NEEDS = {
    "sequences": "claims and these figures need the exact posterior: give a run on sequences",
    "images": "these figures show images: give a run with world = 'images'",
}


def run_from(path: Path, world: str = "sequences") -> Run[Any]:
    """Open a run of a world; InputError where it is of another one."""
    run: Run[Any] = Run.open(path)
    recipe = run.recipe
    if recipe.world != world:
        raise InputError(f"{path} is a run on {recipe.samples_called}", NEEDS[world])
    return run


def check_minima(run: Run[Any]) -> None:
    """Refuse a run whose minima can have no interval."""
    splits, kept = run.recipe.data.splits, len(run.steps())
    if splits < FEWEST_UNITS:
        raise InputError(f"{run.path} has {splits} splits, which show no spread", f"give a run with {FEWEST_UNITS} or more (data.splits)")
    if kept < FEWEST_CHECKPOINTS:
        raise InputError(
            f"{run.path} has {kept} checkpoints, too few to find a minimum",
            f"train on, or keep more: {FEWEST_CHECKPOINTS} at least, log-spaced; 25 or more are better",
        )


def check_runs(name: str, paths: Sequence[Path], numbers: range) -> None:
    """Refuse a number of runs that the figure NAME cannot show, and a run that is given twice."""
    if not numbers:
        raise InputError(f"{name} cannot be drawn from runs that are given", "leave --run out")
    if len(paths) not in numbers:
        wanted = "1 run or more" if len(numbers) > 1 else f"{numbers[0]} run{'s' * (numbers[0] > 1)}"
        raise InputError(f"{name} shows {wanted}, {len(paths)} were given", "give each of them as --run RUN")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a run is given twice", "name each run once")


def configuration_of(out: Path, runs: Sequence[Run[Any]]) -> dict[str, Any]:
    """Return what a figure in `out` is drawn from: recipes and weights.

    Runs are named as seen from `out`, so that all can be moved together.
    """
    places = [os.path.relpath(run.path.resolve(), out.resolve()) for run in runs]
    return {
        "runs": {place: run.recipe.to_json() for place, run in zip(places, runs, strict=True)},
        "checkpoints": [{"run": place, "sha256": _weights(run)} for place, run in zip(places, runs, strict=True)],
    }


def _weights(run: Run[Any]) -> str:
    """The manifest holds the hash of every checkpoint, so its own names all weights."""
    return fingerprint((run.path / "checkpoints" / "manifest.json").read_bytes())
