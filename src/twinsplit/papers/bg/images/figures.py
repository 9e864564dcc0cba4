"""[BG]'s image figures: what each needs measured, and how it is put together."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from twinsplit.execution.local import Executor
from twinsplit.papers.bg.images import panels
from twinsplit.papers.bg.images.levels import measure_levels
from twinsplit.papers.bg.images.settings import ImageSetting, run_name, setting_of
from twinsplit.papers.bg.images.turns import turns_table
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.lines import MINIMA, OVER_NETWORKS, OVER_PAIRS
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Axes, Figure, ImageGrid
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

if TYPE_CHECKING:
    import pyarrow as pa

Level = tuple[Run[Any], ImageWorld]
Stage = Callable[[Session[ImageWorld], Mapping[str, Level]], None]
IMAGES = "Held-out images share no content with any split; noise is the same for all checkpoints and networks."
TYPICAL = (
    "Pictures: what the first network of the first split (A) and that of the second (B) draw from the same noise. Pairs whose similarity "
    "is nearest to the mean, not picked by eye; nearest training images by pixels."
)


def samples_stage(session: Session[ImageWorld], levels: Mapping[str, Level]) -> None:
    """Samples of every checkpoint."""
    pipeline.sampling_stage(session, session.run.steps())


def training_images_stage(session: Session[ImageWorld], levels: Mapping[str, Level]) -> None:
    """Similarity of noise predictions on training images."""
    pipeline.measure_stage(session, ("train_noise_similarity",))


def levels_stage(session: Session[ImageWorld], levels: Mapping[str, Level]) -> None:
    """Similarity to the networks of coarser images."""
    pipeline.follow(session, "levels", measure_levels(session.run, session.world, levels, session.executor))


@final
@dataclass(frozen=True)
class PublishedFigure:
    """A figure of one run. stages: finer measurements; tables: what is stored beside the drawn numbers, by name."""

    title: str
    stages: tuple[Stage, ...]
    axes: Callable[[Run[Any]], list[Axes]]
    plates: Callable[[Run[Any]], list[ImageGrid]]
    caption: str
    columns: int = 2
    tables: Mapping[str, Callable[[Run[Any]], "pa.Table"]] = field(default_factory=dict)

    @property
    def coarser(self) -> bool:
        """Whether networks of filtered images are compared with."""
        return levels_stage in self.stages


def _times(run: Run[Any]) -> list[Axes]:
    return [axes for t in run.recipe.measuring.times for axes in (panels.predicted(run, t), panels.loss_at(run, t))]


def _moments(run: Run[Any]) -> list[ImageGrid]:
    return [panels.pairs(run, step) for step in dict.fromkeys(panels.moments(run))]


def _ends(run: Run[Any]) -> list[ImageGrid]:
    return _moments(run)[-2:]


FIGURES: dict[str, PublishedFigure] = {
    "fig1a": PublishedFigure(
        "Twins' samples part while the test loss falls",
        (samples_stage,),
        lambda run: [panels.drawn(run), panels.losses(run)],
        _ends,
        f"{OVER_PAIRS} {OVER_NETWORKS} {MINIMA} {IMAGES} {TYPICAL}",
    ),
    "fig2": PublishedFigure(
        "Similarity of the twins' noise predictions at fixed times, and the test loss at these times",
        (training_images_stage,),
        _times,
        lambda run: [],
        f"{OVER_PAIRS} {OVER_NETWORKS} {MINIMA} {IMAGES}",
        tables={"turns": turns_table},
    ),
    "fig7": PublishedFigure(
        "From coarse to fine: which level of detail the networks resemble",
        (levels_stage,),
        panels.levels,
        lambda run: [],
        f"Every level's networks learned from copies with less detail, half as long as those at full resolution, and are frozen where "
        f"they agree best. {OVER_PAIRS} {IMAGES}",
        columns=1,
    ),
    "fig8": PublishedFigure(
        "What twins draw from the same noise", (samples_stage,), lambda run: [], _moments, f"{TYPICAL} {IMAGES}", columns=1
    ),
}


def make_figure(name: str, scale: str, out: Path, recipe: ImageRecipe, executor: Executor) -> list[Path]:
    """Train what is missing, measure, draw and store; the paths. What stands is not made again."""
    figure, setting = FIGURES[name], setting_of(scale)
    coarser = setting.filtered(recipe) if figure.coarser else {}
    runs = {f"runs/{run_name(one)}": one.to_json() for one in (recipe, *coarser.values())}
    configuration = {"scale": scale, "runs": runs}
    if found := existing(out, name, configuration):
        return found
    levels = {level: prepare_run(out, one, executor) for level, one in coarser.items()}
    run, _ = prepare_run(out, recipe, executor, figure.stages, levels)
    return store_drawn(out, name, run, configuration)


def store_drawn(out: Path, name: str, run: Run[Any], configuration: dict[str, Any]) -> list[Path]:
    """Drawn for print and for a browser, and stored with its tables; the paths."""
    sheet = figure_of(name, run)
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    tables = sheet.tables() | {also: table(run) for also, table in FIGURES[name].tables.items()}
    return store_figure(out, name, printed(sheet), tables, configuration, pages)


def prepare_run(
    out: Path, recipe: ImageRecipe, executor: Executor, stages: tuple[Stage, ...] = (), levels: Mapping[str, Level] | None = None
) -> Level:
    """A run with all that a figure reads, taken up where it stood, and its world."""
    session = pipeline.begin(out / "runs" / run_name(recipe), recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        measured(session, stages, levels or {})
    return session.run, session.world


def measured(session: Session[ImageWorld], stages: tuple[Stage, ...], levels: Mapping[str, Level]) -> None:
    """What every figure starts from, and what these stages add."""
    pipeline.measure_stage(session)
    for stage in stages:
        stage(session, levels)


def figure_of(name: str, run: Run[Any]) -> Figure:
    """The figure as data."""
    figure, data = FIGURES[name], run.recipe.data
    caption = f"{len(run.recipe.members)} networks with {panels.size(run)} images each, judged on {data.held_out:,} held-out ones."
    axes, plates = tuple(figure.axes(run)), tuple(figure.plates(run))
    return Figure(name, f"{name}: {figure.title}", axes, f"{caption} {figure.caption}", figure.columns, plates)


def recipe_of(scale: str, seed: int, splits: int | None, data: Path | None) -> ImageRecipe:
    """The recipe of a scale's run at full resolution."""
    setting: ImageSetting = setting_of(scale)
    return setting.recipe(seed, splits, data)
