"""The two-denoiser figures ([GAHB], [RP]) on a ladder of split sizes: what each needs measured, and how it is put together."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from twinsplit.execution.local import Executor
from twinsplit.measures.perceptual import COUNT
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.gahb import panels
from twinsplit.papers.gahb.ladder_data import told_layout, write_ladder
from twinsplit.papers.gahb.settings import HERE, ladder_of
from twinsplit.papers.gahb.stages import Stage, measure_bases, measure_psnr, measure_same_image
from twinsplit.papers.lines import OVER_NETWORKS, OVER_PAIRS
from twinsplit.papers.rp import nearest_panels
from twinsplit.papers.rp.nearest import SSIM, Eye, measure_closest, measure_reranked
from twinsplit.papers.rp.nearest_panels import Counts, Rungs, counts_table, last_samples
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Axes, Figure, ImageGrid
from twinsplit.report.page import interactive
from twinsplit.report.pictures import Samples
from twinsplit.report.render_matplotlib import printed
from twinsplit.report.stored import LEVEL
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

if TYPE_CHECKING:
    import pyarrow as pa

RERANKED = "rp-lpips"
ARCSINE = f"mean over networks with the {LEVEL:.0%} Student interval of its arcsine, which stays within [-1, 1]."


@final
@dataclass(frozen=True)
class PublishedFigure:
    """A figure of a ladder. stages: what is measured at the last checkpoint of every rung, after its samples are drawn; tables: beside
    those of its lines; decides: what decides it beside the runs.
    """

    title: str
    stages: tuple[Stage, ...]
    axes: Callable[[Rungs], list[Axes]]
    plates: Callable[[Rungs], list[ImageGrid]]
    caption: Callable[[Rungs], str]
    columns: int = 2
    tables: "Callable[[Rungs], dict[str, pa.Table]]" = lambda rungs: {}
    decides: Mapping[str, Any] = field(default_factory=dict)


def _last(run: Run[Any]) -> int:
    return run.steps()[-1]


def _ends(rungs: Rungs) -> list[Run[Any]]:
    """The shortest and the longest rung."""
    return [rungs[0], rungs[-1]]


def _counts(rungs: Rungs) -> list[Counts]:
    return [Counts.of(run, (last_samples(run),)) for run in rungs]


def _sample_tables(rungs: Rungs) -> "dict[str, pa.Table]":
    return {"samples": counts_table(_counts(rungs))}


def _told_twins(rungs: Rungs) -> str:
    closest = f"Closest training image, by correlation: {ARCSINE}"
    return f"{OVER_PAIRS} {panels.SHUFFLED} {closest} {nearest_panels.caption(_counts(rungs))}"


LADDER_FIGURES: Mapping[str, PublishedFigure] = {
    "gahb-psnr": PublishedFigure(
        "Denoising of training and of held-out images",
        (measure_psnr, measure_same_image),
        lambda rungs: [panels.psnr_curves(rungs, data) for data in ("train", "test")],
        lambda rungs: [panels.denoised(run, _last(run)) for run in _ends(rungs)],
        lambda rungs: OVER_NETWORKS,
    ),
    "gahb-twins": PublishedFigure(
        "Two denoisers on disjoint splits draw the same images once N is large",
        (measure_closest,),
        lambda rungs: [panels.convergence(rungs)],
        lambda rungs: [panels.drawn(run, last_samples(run)) for run in rungs],
        _told_twins,
        tables=_sample_tables,
    ),
    "gahb-bases": PublishedFigure(
        "The bases in which denoisers shrink",
        (measure_bases,),
        lambda rungs: [panels.spectra(rungs)],
        lambda rungs: [panels.directions(run, _last(run)) for run in _ends(rungs)],
        lambda rungs: (
            f"Of the symmetric part of the Jacobian at noised held-out images, sigma = 50/255. {panels.told_bases(rungs)} {OVER_NETWORKS}"
        ),
        columns=1,
    ),
}
NAMES = (*LADDER_FIGURES, RERANKED)


def reranked(eye: Eye) -> PublishedFigure:
    """rp-lpips with one perceptual distance."""
    return PublishedFigure(
        "The nearest training image by correlation and by eye",
        (measure_closest, partial(measure_reranked, eye)),
        lambda rungs: nearest_panels.reranked(rungs, eye),
        lambda rungs: [],
        partial(_told_reranked, eye),
        tables=_sample_tables,
        decides=eye.to_json(),
    )


def _told_reranked(eye: Eye, rungs: Rungs) -> str:
    side = min(Samples.read(rungs[0], last_samples(rungs[0])).images.shape[-2:])
    return (
        f"The {COUNT} training images that correlate best with a sample, or all where there are fewer, ordered again by "
        f"{eye.caption(side)}. By chance: an order that knows nothing of the other, 1 - 1 / count. Changes: mean over samples, and the "
        f"{LEVEL:.0%} interval of Clopper and Pearson for as many as the networks are worth (Korn and Graubard). Agreement: {ARCSINE} "
        f"{nearest_panels.caption(_counts(rungs))}"
    )


def make_figure(name: str, scale: str, out: Path, recipes: dict[int, ImageRecipe], executor: Executor, eye: Eye = SSIM) -> list[Path]:
    """Train what is missing on every rung, measure, draw and store; the paths. What stands is not made again. eye: of rp-lpips."""
    figure = reranked(eye) if name == RERANKED else LADDER_FIGURES[name]
    configuration: dict[str, Any] = {
        "scale": scale,
        "runs": {f"runs/{run_name(recipe)}": recipe.to_json() for recipe in recipes.values()},
    } | dict(figure.decides)
    if found := existing(out, name, configuration):
        return found
    write_ladder(ladder_of(scale), recipes)
    rungs = [prepare_run(out, recipe, figure.stages, executor) for recipe in recipes.values()]
    sheet = figure_of(name, figure, rungs)
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, name, printed(sheet), sheet.tables() | figure.tables(rungs), configuration, pages)


def prepare_run(out: Path, recipe: ImageRecipe, stages: tuple[Stage, ...], executor: Executor) -> Run[Any]:
    """A rung with all that a figure reads, taken up where it stood."""
    session: Session[ImageWorld] = pipeline.begin(out / "runs" / run_name(recipe), recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        step = _last(session.run)
        pipeline.sampling_stage(session, (step,))
        for stage in stages:
            pipeline.follow(session, "measure", stage(session.run, session.world, step, executor))
    return session.run


def figure_of(name: str, figure: PublishedFigure, rungs: Rungs) -> Figure:
    """The figure as data."""
    data = rungs[0].recipe.data
    caption = f"{data.splits} networks on every rung, judged on {data.held_out:,} held-out images."
    axes, plates = tuple(figure.axes(rungs)), tuple(figure.plates(rungs))
    caption = f"{caption} {figure.caption(rungs)} {told_layout(data)}"
    return Figure(name, f"{name}: {figure.title}", axes, caption, figure.columns, plates)


def recipes_of(scale: str, seed: int, splits: int | None, data: Path | None, out: Path = HERE) -> dict[int, ImageRecipe]:
    """N -> recipe, at a scale; out: the folder of figures, where the manifest of a published ladder goes."""
    return ladder_of(scale).recipes(seed, splits, data, out)
