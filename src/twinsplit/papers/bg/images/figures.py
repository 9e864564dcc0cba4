"""[BG]'s figures of images: what each needs measured, and how it is put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from twinsplit.errors import InputError
from twinsplit.papers.bg.images import panels
from twinsplit.papers.bg.images.levels import measure_levels
from twinsplit.papers.bg.images.settings import SETTINGS
from twinsplit.papers.bg.images.turns import turns_table
from twinsplit.papers.figure import FIGURES, Options, Panels, PublishedFigure, run_name
from twinsplit.papers.lines import MINIMA, OVER_NETWORKS, OVER_PAIRS, size
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Axes, ImageGrid
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES = "Held-out images share no content with any split; noise is the same for all checkpoints and networks."
TYPICAL = (
    "Pictures: what the first network of the first split (A) and that of the second (B) draw from the same noise. Pairs whose similarity "
    "is nearest to the mean, not picked by eye; nearest training images by pixels."
)
COARSER = (
    "Every level's networks learned from copies with less detail, half as long as those at full resolution, and are frozen where "
    "they agree best."
)


def samples_stage(session: Session[Any]) -> None:
    """Draw samples at every checkpoint."""
    pipeline.sampling_stage(session, session.run.steps())


def training_images_stage(session: Session[Any]) -> None:
    """Compare noise predictions on training images."""
    pipeline.measure_stage(session, ("train_noise_similarity",))


def _recipe(options: Options) -> ImageRecipe:
    """The run at full resolution."""
    return at_scale(SETTINGS, options.scale).recipe(options.seed, options.seeds, options.data)


def _judged(run: Run[Any]) -> str:
    return f"{len(run.recipe.members)} networks with {size(run)} images each, judged on {run.recipe.data.held_out:,} held-out ones."


@final
@dataclass(frozen=True)
class ImageFigure(PublishedFigure):
    """A figure of one run. stage: a finer measurement; tables: beside those of its lines."""

    stage: Callable[[Session[Any]], None]
    axes: Callable[[Run[Any]], list[Axes]]
    grids: Callable[[Run[Any]], list[ImageGrid]]
    caption: str
    columns: int = 2
    tables: "Callable[[Run[Any]], dict[str, pa.Table]]" = lambda run: {}
    takes: ClassVar[tuple[str, ...]] = ("data", "seeds", "runs", "device")

    @property
    def numbers(self) -> range:
        return range(1, 2)

    def recipes(self, options: Options) -> dict[str, ImageRecipe]:
        recipe = _recipe(options)
        return {run_name(recipe): recipe}

    def check_run(self, run: Run[Any]) -> None:
        if run.recipe.network.kind != "unet":
            remedy = "these figures compare noise predicted at known times: give a run of U-Nets"
            raise InputError(f"{run.path} is a run of blind networks", remedy)

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        pipeline.measure_stage(session)
        self.stage(session)

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        run = runs[0]
        return Panels(self.axes(run), f"{_judged(run)} {self.caption}", self.grids(run), self.columns, self.tables(run))


@final
@dataclass(frozen=True)
class LevelsFigure(PublishedFigure):
    """The run at full resolution against runs on coarser copies of its images, which are made before it."""

    takes: ClassVar[tuple[str, ...]] = ("data", "seeds", "device")

    def recipes(self, options: Options) -> dict[str, ImageRecipe]:
        recipe = _recipe(options)
        coarser = at_scale(SETTINGS, options.scale).filtered(recipe).values()
        return {run_name(one): one for one in (*coarser, recipe)}

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        pipeline.measure_stage(session)
        names = at_scale(SETTINGS, options.scale).levels
        if len(before) == len(names):
            levels = {name: (run, ImageWorld.of(run.recipe)) for name, run in zip(names, before, strict=True)}
            pipeline.follow(session, "levels", measure_levels(session.run, session.world, levels, session.executor))

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        run = runs[-1]
        return Panels(panels.levels(run), f"{_judged(run)} {COARSER} {OVER_PAIRS} {IMAGES}", columns=1)


def _times(run: Run[Any]) -> list[Axes]:
    return [axes for t in run.recipe.measuring.times for axes in (panels.predicted(run, t), panels.loss_at(run, t))]


def _moments(run: Run[Any]) -> list[ImageGrid]:
    return [panels.pairs(run, step) for step in dict.fromkeys(panels.moments(run))]


NAMES = FIGURES.register(
    ImageFigure(
        "fig1a",
        "Similarity of twins' samples from the same noise, and the losses, along training",
        samples_stage,
        lambda run: [panels.drawn(run), panels.losses(run)],
        lambda run: _moments(run)[-2:],
        f"{OVER_PAIRS} {OVER_NETWORKS} {MINIMA} {IMAGES} {TYPICAL}",
    ),
    ImageFigure(
        "fig2",
        "Similarity of the twins' noise predictions at fixed times, and the test loss at these times",
        training_images_stage,
        _times,
        lambda run: [],
        f"{OVER_PAIRS} {OVER_NETWORKS} {MINIMA} {IMAGES}",
        tables=lambda run: {"turns": turns_table(run)},
    ),
    LevelsFigure("fig7", "Similarity to networks of images with less detail, along training"),
    ImageFigure("fig8", "What twins draw from the same noise", samples_stage, lambda run: [], _moments, f"{TYPICAL} {IMAGES}", columns=1),
)
