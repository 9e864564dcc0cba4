"""Runs that are given and not made, imported or our own: checked before anything is measured on them; they are never trained."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.measures.statistics import FEWEST_UNITS
from twinsplit.onset.curves import FEWEST_CHECKPOINTS
from twinsplit.recipes import ImageRecipe, Recipe
from twinsplit.runs.files import fingerprint
from twinsplit.runs.store import Run


def run_from(path: Path) -> Run:
    """A run on sequences, or InputError where it is of another world or where its minima can have no interval."""
    run = Run.open(path)
    if not isinstance(run.recipe, Recipe):
        raise InputError(f"{path} is a run on images", "claims and these figures need the exact posterior: give a run on sequences")
    return _with_spread(run)


def image_run_from(path: Path) -> Run[ImageRecipe]:
    """A run of U-Nets that predict noise, or InputError as by `given_run`."""
    run = Run.open(path)
    if not isinstance(run.recipe, ImageRecipe):
        raise InputError(f"{path} is a run on sequences", "these figures show images: give a run with world = 'images'")
    if run.recipe.network.kind != "unet":
        raise InputError(f"{path} is a run of blind networks", "these figures compare noise predicted at known times: give a run of U-Nets")
    return _with_spread(run)


def configuration_of(out: Path, paths: Sequence[Path], runs: Sequence[Run[Any]]) -> dict[str, Any]:
    """What a figure in `out` is drawn from: recipes and weights. Runs are named as seen from there, so that all can be moved together."""
    places = [os.path.relpath(path.resolve(), out.resolve()) for path in paths]
    return {
        "runs": {place: run.recipe.to_json() for place, run in zip(places, runs, strict=True)},
        "checkpoints": [{"run": place, "sha256": _checkpoints(run)} for place, run in zip(places, runs, strict=True)],
    }


def _with_spread(run: Run[Any]) -> Run[Any]:
    splits, kept = run.recipe.data.splits, len(run.steps())
    if splits < FEWEST_UNITS:
        raise InputError(f"{run.path} has {splits} splits, which show no spread", f"give a run with {FEWEST_UNITS} or more (data.splits)")
    if kept < FEWEST_CHECKPOINTS:
        raise InputError(
            f"{run.path} has {kept} checkpoints, too few to find a minimum",
            f"train on, or keep more: {FEWEST_CHECKPOINTS} at least, log-spaced; 25 or more are better",
        )
    return run


def _checkpoints(run: Run[Any]) -> str:
    """Which weights are there: the manifest holds the hash of every checkpoint."""
    return fingerprint((run.path / "checkpoints" / "manifest.json").read_bytes())
