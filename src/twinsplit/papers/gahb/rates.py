"""gahb-rates: do networks denoise regular images at the best possible rate? ([GAHB] section 3)"""

from contextlib import closing
from pathlib import Path
from typing import Any

from twinsplit.data.images.preparing import prepare
from twinsplit.data.synthetic import DiscImages, ImageClass
from twinsplit.execution.local import Executor
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.gahb import rate_panels
from twinsplit.papers.gahb.rate_panels import Rated
from twinsplit.papers.gahb.rate_settings import FITTED, Rates, rates_of
from twinsplit.papers.gahb.rate_stages import measure_best, measure_errors, write_pictures
from twinsplit.papers.lines import OVER_NETWORKS
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Figure
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

NAME = "gahb-rates"
CAPTION = (
    f"{OVER_NETWORKS} Slopes: least squares over sigma from {255 * FITTED[0]:.0f}/255 to {255 * FITTED[1]:.0f}/255; PSNR is of the mean "
    "squared error over images. Networks are not told sigma; what is called best or exact is. Best possible: posterior mean over the five "
    "parameters, with the 95% interval of its mean error over images. Smooth regions alone: Wiener's exact error on this grid."
)


def make_figure(scale: str, out: Path, seed: int, networks: int | None, executor: Executor) -> list[Path]:
    """Draw the images, train, measure, draw and store; the paths. What stands is not made again."""
    setting = rates_of(scale)
    count, kinds = setting.networks(networks), setting.kinds(seed)
    recipes = {name: setting.recipe(seed, count, _folder(out, setting, kind, count)) for name, kind in kinds.items()}
    runs = {f"runs/{run_name(recipe)}": recipe.to_json() for recipe in recipes.values()}
    configuration: dict[str, Any] = {"scale": scale, "runs": runs, "classes": [kind.describe() for kind in kinds.values()]}
    if found := existing(out, NAME, configuration):
        return found
    classes = [Rated.read(name, kind, prepare_run(out, recipes[name], kind, setting, executor)) for name, kind in kinds.items()]
    sheet = figure_of(classes, setting)
    tables = sheet.tables() | {"slopes": rate_panels.slope_table(classes), "best": rate_panels.best_table(classes[-1])}
    pages = {f"{NAME}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, NAME, printed(sheet), tables, configuration, pages)


def _folder(out: Path, setting: Rates, kind: ImageClass, networks: int) -> Path:
    """Where the images of a class lie, named by all that decides them."""
    about = kind.describe()
    name = f"{about['kind']}{about['alpha']:g}" if "alpha" in about else str(about["kind"])
    return out / "data" / f"{name}-{kind.size}px-n{setting.source(kind, networks).count}-seed{kind.seed}"


def prepare_run(out: Path, recipe: ImageRecipe, kind: ImageClass, setting: Rates, executor: Executor) -> Run[Any]:
    """The run of a class with all that the figure reads, taken up where it stood."""
    source = setting.source(kind, recipe.data.splits)
    prepare(source, source.frame, _folder(out, setting, kind, recipe.data.splits), executor)
    session: Session[ImageWorld] = pipeline.begin(out / "runs" / run_name(recipe), recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        run, world, step = session.run, session.world, session.run.steps()[-1]
        pipeline.follow(session, "measure", measure_errors(kind, setting.fresh, run, world, step, executor))
        if isinstance(kind, DiscImages):
            pipeline.follow(session, "best", measure_best(kind, setting, run, world, step, executor))
        write_pictures(kind, run, world, step)
    return session.run


def figure_of(classes: list[Rated], setting: Rates) -> Figure:
    """The figure as data."""
    data = classes[0].run.recipe.data
    caption = f"{data.splits} networks per class, each with {data.split_size:,} images of its own, judged on {setting.fresh:,} fresh ones."
    axes = [*map(rate_panels.curve, classes), rate_panels.against_alpha(classes)]
    title = f"{NAME}: Denoising regular images, and the best possible rate"
    return Figure(NAME, title, tuple(axes), f"{caption} {CAPTION}", 3, tuple(map(rate_panels.plate, classes)))
