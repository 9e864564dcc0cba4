"""Fréchet distances of `twinsplit measure RUN fid`: they need a file of features that no recipe
names.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import ImageRecipe
from twinsplit.recipes.parts import require
from twinsplit.runs.store import Run

FID = "fid"
Stage = Callable[[pipeline.Session[Any]], None]


def distance_stage(run: Run[Any], names: Sequence[str], features: Path | None, inception: Path | None) -> Stage:
    """Return the stage that measures Fréchet distances where `names` has them, else one that does
    nothing.

    features, inception: TorchScript files, of which `fid` needs exactly one. InputError before
    anything else is measured.
    """
    from twinsplit.worlds.images.judging import FeatureFile, measure_fid

    given = [file for file in (features, inception) if file is not None]
    if FID not in names:
        require(not given, "a feature network without a measure that needs it", f"name `{FID}` too")
        return lambda session: None
    require(run.recipe.world == ImageRecipe.world, f"{run.path} is a run on sequences", f"`{FID}` is of images")
    require(
        len(given) == 1, f"{FID} with {len(given)} feature networks", "give one: --features FILE, or --inception FILE; none is downloaded"
    )
    (path,) = given
    file = FeatureFile.inception(path) if inception else FeatureFile.plain(path)
    return lambda session: pipeline.follow(session, FID, measure_fid(session.run, session.world, file))
