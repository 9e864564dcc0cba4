"""Runs that are given and not made, imported or our own: checked before anything is measured on them; they are never trained."""

from pathlib import Path

from twinsplit.errors import InputError
from twinsplit.measures.curves import FEWEST_CHECKPOINTS
from twinsplit.measures.statistics import FEWEST_UNITS
from twinsplit.recipes import Recipe
from twinsplit.store import Run


def given_run(path: Path) -> Run:
    """The run, or InputError where it is of another world or where its minima can have no interval."""
    run = Run.open(path)
    if not isinstance(run.recipe, Recipe):
        raise InputError(f"{path} is a run on images", "claims and these figures need the exact posterior: give a run on sequences")
    splits, kept = run.recipe.data.splits, len(run.steps())
    if splits < FEWEST_UNITS:
        raise InputError(f"{path} has {splits} splits, which show no spread", f"give a run with {FEWEST_UNITS} or more (data.splits)")
    if kept < FEWEST_CHECKPOINTS:
        raise InputError(
            f"{path} has {kept} checkpoints, too few to find a minimum",
            f"train on, or keep more: {FEWEST_CHECKPOINTS} at least, log-spaced; 25 or more are better",
        )
    return run
