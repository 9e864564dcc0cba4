"""The two-denoiser figures ([GAHB], [RP]) on a ladder of split sizes: what each needs measured, and how it is put together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, final

from twinsplit.execution.local import Executor
from twinsplit.measures.perceptual import COUNT
from twinsplit.papers.figure import FIGURES, Options, Panels, PublishedFigure, Recipes, run_name
from twinsplit.papers.gahb import panels
from twinsplit.papers.gahb.ladder import LADDERS, layout_caption, write_ladder
from twinsplit.papers.gahb.stages import measure_bases, measure_psnr, measure_same_image
from twinsplit.papers.lines import OVER_NETWORKS, OVER_PAIRS
from twinsplit.papers.rp import nearest_panels
from twinsplit.papers.rp.nearest import Eye, measure_closest, measure_reranked
from twinsplit.papers.rp.nearest_panels import Counts, Rungs, counts_table, last_samples
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Axes, ImageGrid
from twinsplit.report.pictures import Samples
from twinsplit.report.stored import LEVEL
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.world import ImageWorld

if TYPE_CHECKING:
    import pyarrow as pa

Stage = Callable[[Run[Any], ImageWorld, int, Executor], Iterator[Measured]]
ARCSINE = f"mean over networks with the {LEVEL:.0%} Student interval of its arcsine, which stays within [-1, 1]."


@dataclass(frozen=True)
class OnLadder(PublishedFigure):
    """A figure whose runs are the rungs of a ladder, from the smallest N to the largest."""

    takes: ClassVar[tuple[str, ...]] = ("data", "seeds", "device")

    def recipes(self, options: Options) -> dict[str, ImageRecipe]:
        rungs = at_scale(LADDERS, options.scale).recipes(options.seed, options.seeds, options.data, options.out)
        return {run_name(recipe): recipe for recipe in rungs.values()}

    def prepare_data(self, options: Options, recipes: Recipes, executor: Executor) -> None:
        write_ladder(at_scale(LADDERS, options.scale), list(recipes.values()))


def rungs_caption(rungs: Rungs, caption: str) -> str:
    """How the networks of all rungs are judged, what is shown, and how the splits were laid."""
    data = rungs[0].recipe.data
    return f"{data.splits} networks on every rung, judged on {data.held_out:,} held-out images. {caption} {layout_caption(data)}"


def measure_last(session: Session[Any], stages: Sequence[Stage]) -> None:
    """Draw samples at the last checkpoint and measure there."""
    step = session.run.steps()[-1]
    pipeline.sampling_stage(session, (step,))
    for stage in stages:
        pipeline.follow(session, "measure", stage(session.run, session.world, step, session.executor))


@final
@dataclass(frozen=True)
class LadderFigure(OnLadder):
    """A figure of the last checkpoints. tables: beside those of its lines."""

    stages: tuple[Stage, ...]
    axes: Callable[[Rungs], list[Axes]]
    grids: Callable[[Rungs], list[ImageGrid]]
    caption: Callable[[Rungs], str]
    columns: int = 2
    tables: "Callable[[Rungs], dict[str, pa.Table]]" = lambda rungs: {}

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        measure_last(session, self.stages)

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        return Panels(self.axes(runs), rungs_caption(runs, self.caption(runs)), self.grids(runs), self.columns, self.tables(runs))


@final
@dataclass(frozen=True)
class RerankedFigure(OnLadder):
    """The nearest training images ordered again by a perceptual distance, which the options choose."""

    takes: ClassVar[tuple[str, ...]] = ("data", "seeds", "lpips_weights", "device")

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        return super().configuration(options, recipes) | Eye.of(options.lpips_weights).to_json()

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        measure_last(session, (measure_closest, partial(measure_reranked, Eye.of(options.lpips_weights))))

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        eye = Eye.of(options.lpips_weights)
        caption = rungs_caption(runs, _reranked_caption(eye, runs))
        return Panels(nearest_panels.reranked(runs, eye), caption, tables=_sample_tables(runs))


def _counts(rungs: Rungs) -> list[Counts]:
    return [Counts.of(run, (last_samples(run),)) for run in rungs]


def _sample_tables(rungs: Rungs) -> "dict[str, pa.Table]":
    return {"samples": counts_table(_counts(rungs))}


def _twins_caption(rungs: Rungs) -> str:
    closest = f"Closest training image, by correlation: {ARCSINE}"
    return f"{OVER_PAIRS} {panels.SHUFFLED} {closest} {nearest_panels.caption(_counts(rungs))}"


def _reranked_caption(eye: Eye, rungs: Rungs) -> str:
    side = min(Samples.read(rungs[0], last_samples(rungs[0])).images.shape[-2:])
    return (
        f"The {COUNT} training images that correlate best with a sample, or all where there are fewer, ordered again by "
        f"{eye.caption(side)}. By chance: an order that knows nothing of the other, 1 - 1 / count. Changes: mean over samples, and the "
        f"{LEVEL:.0%} interval of Clopper and Pearson for as many as the networks are worth (Korn and Graubard). Agreement: {ARCSINE} "
        f"{nearest_panels.caption(_counts(rungs))}"
    )


NAMES = FIGURES.register(
    LadderFigure(
        "gahb-psnr",
        "Denoising of training and of held-out images",
        (measure_psnr, measure_same_image),
        lambda rungs: [panels.psnr_curves(rungs, data) for data in ("train", "test")],
        lambda rungs: [panels.denoised(run, run.steps()[-1]) for run in (rungs[0], rungs[-1])],
        lambda rungs: OVER_NETWORKS,
    ),
    LadderFigure(
        "gahb-twins",
        "Similarity of what denoisers on disjoint splits draw from the same noise, against N",
        (measure_closest,),
        lambda rungs: [panels.convergence(rungs)],
        lambda rungs: [panels.drawn(run, last_samples(run)) for run in rungs],
        _twins_caption,
        tables=_sample_tables,
    ),
    LadderFigure(
        "gahb-bases",
        "Shrinkage factors and directions of the denoisers' Jacobians",
        (measure_bases,),
        lambda rungs: [panels.spectra(rungs)],
        lambda rungs: [panels.directions(run, run.steps()[-1]) for run in (rungs[0], rungs[-1])],
        lambda rungs: (
            "Of the symmetric part of the Jacobian at noised held-out images, sigma = 50/255. "
            f"{panels.asymmetry_caption(rungs)} {OVER_NETWORKS}"
        ),
        columns=1,
    ),
    RerankedFigure("rp-lpips", "The nearest training image by correlation and by eye"),
)
