"""gahb-rates: do networks denoise regular images at the best possible rate? ([GAHB] section 3)"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from twinsplit.data.images.preparing import prepare
from twinsplit.data.synthetic import DiscImages, ImageClass
from twinsplit.execution.local import Executor
from twinsplit.papers.figure import FIGURES, Options, Panels, PublishedFigure, Recipes, run_name
from twinsplit.papers.gahb import rate_panels
from twinsplit.papers.gahb.rate_measures import FITTED, SCALES, Rates, measure_best, measure_errors, write_pictures
from twinsplit.papers.gahb.rate_panels import Rated
from twinsplit.papers.lines import OVER_NETWORKS
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run

CAPTION = (
    f"{OVER_NETWORKS} Slopes: least squares over sigma from {255 * FITTED[0]:.0f}/255 to {255 * FITTED[1]:.0f}/255; PSNR is of the mean "
    "squared error over images. Networks are not told sigma; what is called best or exact is. Best possible: posterior mean over the five "
    "parameters, with the 95% interval of its mean error over images. Smooth regions alone: Wiener's exact error on this grid."
)


def folder(out: Path, setting: Rates, kind: ImageClass, networks: int) -> Path:
    """Where the images of a class lie, named by all that decides them."""
    about = kind.describe()
    name = f"{about['kind']}{about['alpha']:g}" if "alpha" in about else str(about["kind"])
    return out / "data" / f"{name}-{kind.size}px-n{setting.source(kind, networks).count}-seed{kind.seed}"


@final
@dataclass(frozen=True)
class RatesFigure(PublishedFigure):
    """A run for each class of images, the discs last."""

    def recipes(self, options: Options) -> dict[str, ImageRecipe]:
        setting = at_scale(SCALES, options.scale)
        count = setting.networks(options.seeds)
        made = [setting.recipe(options.seed, count, folder(options.out, setting, kind, count)) for kind in _kinds(options).values()]
        return {run_name(recipe): recipe for recipe in made}

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        return super().configuration(options, recipes) | {"classes": [kind.describe() for kind in _kinds(options).values()]}

    def prepare_data(self, options: Options, recipes: Recipes, executor: Executor) -> None:
        setting = at_scale(SCALES, options.scale)
        for kind, recipe in zip(_kinds(options).values(), recipes.values(), strict=True):
            source = setting.source(kind, recipe.data.splits)
            prepare(source, source.frame, folder(options.out, setting, kind, recipe.data.splits), executor)

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        setting, kind = at_scale(SCALES, options.scale), list(_kinds(options).values())[len(before)]
        run, world, step = session.run, session.world, session.run.steps()[-1]
        pipeline.follow(session, "measure", measure_errors(kind, setting.fresh, run, world, step, session.executor))
        if isinstance(kind, DiscImages):
            pipeline.follow(session, "best", measure_best(kind, setting, run, world, step, session.executor))
        write_pictures(kind, run, world, step)

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        classes = [Rated.read(name, kind, run) for (name, kind), run in zip(_kinds(options).items(), runs, strict=True)]
        data, fresh = runs[0].recipe.data, at_scale(SCALES, options.scale).fresh
        caption = f"{data.splits} networks per class, each with {data.split_size:,} images of its own, judged on {fresh:,} fresh ones."
        axes = [*map(rate_panels.curve, classes), rate_panels.against_alpha(classes)]
        tables = {"slopes": rate_panels.slope_table(classes), "best": rate_panels.best_table(classes[-1])}
        return Panels(axes, f"{caption} {CAPTION}", list(map(rate_panels.grid, classes)), 3, tables)


def _kinds(options: Options) -> dict[str, ImageClass]:
    """Name of a class -> its images."""
    return at_scale(SCALES, options.scale).kinds(options.seed)


(NAME,) = FIGURES.register(RatesFigure("gahb-rates", "Denoising regular images, and the best possible rate"))
