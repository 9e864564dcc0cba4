"""The two-denoiser figures ([GAHB], [RP]) on a ladder of split sizes: what each needs measured, and how it is put together."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

from twinsplit.experiments import pipeline
from twinsplit.experiments.blind import panels
from twinsplit.experiments.blind.settings import ladder_of
from twinsplit.experiments.blind.stages import Stage, measure_bases, measure_perceptual, measure_psnr, same_image
from twinsplit.experiments.figure_store import standing, store_figure
from twinsplit.experiments.images.settings import run_name
from twinsplit.experiments.images.world import ImageWorld
from twinsplit.experiments.lines import OVER_NETWORKS, OVER_PAIRS
from twinsplit.experiments.pipeline import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.sheet_page import interactive
from twinsplit.report.sheet_print import printed
from twinsplit.report.sheets import Axes, Plate, Sheet
from twinsplit.store import Run
from twinsplit.workers import Crew

Rungs = Sequence[Run[Any]]
LADDER = "Splits of all sizes are nested and seen equally often; held-out images share no content with any."


@final
@dataclass(frozen=True)
class Figure:
    """A figure of a ladder. stages: what is measured at the last checkpoint of every rung, after its samples are drawn."""

    title: str
    stages: tuple[Stage, ...]
    axes: Callable[[Rungs], list[Axes]]
    plates: Callable[[Rungs], list[Plate]]
    caption: str
    columns: int = 2


def _last(run: Run[Any]) -> int:
    return run.steps()[-1]


def _ends(rungs: Rungs) -> list[Run[Any]]:
    """The shortest and the longest rung."""
    return [rungs[0], rungs[-1]]


def figures(weights: Path | None) -> dict[str, Figure]:
    """By name. weights: local ones of LPIPS; without, SSIM."""
    perceptual = partial(measure_perceptual, weights)
    return {
        "gahb-psnr": Figure(
            "Denoising of training and of held-out images",
            (measure_psnr,),
            lambda rungs: [panels.psnr_curves(rungs, data) for data in ("train", "test")],
            lambda rungs: [panels.denoised(run, _last(run)) for run in _ends(rungs)],
            f"{OVER_NETWORKS} {LADDER}",
        ),
        "gahb-twins": Figure(
            "Two denoisers on disjoint splits draw the same images once N is large",
            (perceptual,),
            lambda rungs: [panels.convergence(rungs)],
            lambda rungs: [panels.drawn(run) for run in rungs],
            f"{OVER_PAIRS} Shuffled pairs: mean and central 95% over 200 orders. {OVER_NETWORKS} {LADDER}",
        ),
        "gahb-bases": Figure(
            "The bases in which denoisers shrink",
            (measure_bases,),
            lambda rungs: [panels.spectra(rungs)],
            lambda rungs: [panels.directions(run, _last(run)) for run in _ends(rungs)],
            f"Of the symmetric part of the Jacobian at noised held-out images, sigma = 50/255. {OVER_NETWORKS} {LADDER}",
            columns=1,
        ),
        "rp-lpips": Figure(
            "The nearest training image by correlation and by eye",
            (perceptual,),
            panels.reranked,
            lambda rungs: [],
            f"The ten training images that correlate best with a sample, ordered again. {OVER_NETWORKS} {LADDER}",
        ),
    }


NAMES = tuple(figures(None))


def make_figure(name: str, scale: str, out: Path, recipes: dict[int, ImageRecipe], weights: Path | None, crew: Crew) -> list[Path]:
    """Train what is missing on every rung, measure, draw and store; the paths. What stands is not made again."""
    figure = figures(weights)[name]
    configuration: dict[str, Any] = {
        "scale": scale,
        "weights": None if weights is None else str(weights),
        "runs": {f"runs/{run_name(recipe)}": recipe.to_json() for recipe in recipes.values()},
    }
    if found := standing(out, name, configuration):
        return found
    sheet = sheet_of(name, figure, [made_ready(out, recipe, figure.stages, crew) for recipe in recipes.values()])
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, name, printed(sheet), sheet.tables(), configuration, pages)


def made_ready(out: Path, recipe: ImageRecipe, stages: tuple[Stage, ...], crew: Crew) -> Run[Any]:
    """A rung with all that a figure reads, taken up where it stood."""
    session: Session[ImageWorld] = pipeline.begin(out / "runs" / run_name(recipe), recipe, crew)
    with closing(session.lock):
        pipeline.train_stage(session)
        step = _last(session.run)
        pipeline.sampling_stage(session, (step,))
        session.run.write_tensors("same_image", step, same_image(session.run, session.world, step))
        for stage in stages:
            pipeline.follow(session, "measure", stage(session.run, session.world, step, crew))
    return session.run


def sheet_of(name: str, figure: Figure, rungs: Rungs) -> Sheet:
    """The figure as data."""
    data = rungs[0].recipe.data
    told = f"{data.splits} networks on every rung, judged on {data.held_out:,} held-out images."
    axes, plates = tuple(figure.axes(rungs)), tuple(figure.plates(rungs))
    return Sheet(name, f"{name}: {figure.title}", axes, f"{told} {figure.caption}", figure.columns, plates)


def recipes_of(scale: str, seed: int, splits: int | None, data: Path | None) -> dict[int, ImageRecipe]:
    """N -> recipe, at a scale."""
    return ladder_of(scale).recipes(seed, splits, data)
