"""What `twinsplit measure` does beside its stages: Fréchet distances, which need a file that the recipe does not name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import ImageRecipe
from twinsplit.recipes.parts import require
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    from twinsplit.cli import command as cli
    from twinsplit.worlds.images.judging import FeatureFile

FID = "fid"
Stage = Callable[[pipeline.Session[Any]], None]


def distance_of(options: "cli.Measure", run: Run[Any]) -> Stage:
    """The stage that measures Fréchet distances, where they are asked for; InputError before anything else is measured."""
    given = [file for file in (options.features, options.inception) if file is not None]
    if FID not in options.names:
        require(not given, "a feature network without a measure that needs it", f"name `{FID}` too")
        return _nothing
    require(isinstance(run.recipe, ImageRecipe), f"{run.path} is a run on sequences", f"`{FID}` is of images")
    require(
        len(given) == 1, f"{FID} with {len(given)} feature networks", "give one: --features FILE, or --inception FILE; none is downloaded"
    )
    return _measuring(_features(options))


def _features(options: "cli.Measure") -> "FeatureFile":
    from twinsplit.worlds.images.judging import FeatureFile

    if options.features is not None:
        return FeatureFile.plain(options.features)
    assert options.inception is not None
    return FeatureFile.inception(options.inception)


def _measuring(features: "FeatureFile") -> Stage:
    from twinsplit.worlds.images.judging import measure_fid

    return lambda session: pipeline.follow(session, FID, measure_fid(session.run, session.world, features))


def _nothing(session: pipeline.Session[Any]) -> None:
    """No distance is asked for."""
