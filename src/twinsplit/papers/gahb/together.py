"""gahb-onset: on one ladder of N, how far twins converge ([GAHB]) and from which step they lean on their own images ([BG])."""

from contextlib import closing
from pathlib import Path
from typing import Any

from twinsplit.execution.local import Executor
from twinsplit.onset.decision import find_onset
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.gahb import together_panels as panels
from twinsplit.papers.gahb.ladder_data import told_layout, write_ladder
from twinsplit.papers.gahb.panels import SHUFFLED
from twinsplit.papers.gahb.settings import HERE, ladder_of
from twinsplit.papers.gahb.together_panels import Rung
from twinsplit.papers.lines import OVER_PAIRS
from twinsplit.papers.rp import nearest_panels
from twinsplit.papers.rp.nearest import measure_closest
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.curves import curves_of
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Figure
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

NAME = "gahb-onset"
TITLE = "How far twins converge, and when they part"
CAPTION = f"{OVER_PAIRS} {SHUFFLED} Minima: joint 95% intervals over splits and held-out images."


def make_figure(scale: str, out: Path, recipes: dict[int, ImageRecipe], executor: Executor) -> list[Path]:
    """Train what is missing on every rung, measure along training, decide, draw and store; the paths. What stands is not made again."""
    runs = {f"runs/{run_name(recipe)}": recipe.to_json() for recipe in recipes.values()}
    configuration: dict[str, Any] = {"scale": scale, "runs": runs}
    if found := existing(out, NAME, configuration):
        return found
    write_ladder(ladder_of(scale), recipes)
    rungs = [prepare_run(out, recipe, executor) for recipe in recipes.values()]
    sheet = figure_of(rungs)
    tables = sheet.tables() | {"onsets": panels.onset_table(rungs)}
    return store_figure(out, NAME, printed(sheet), tables, configuration, {f"{NAME}.html": interactive(sheet, configuration).encode()})


def prepare_run(out: Path, recipe: ImageRecipe, executor: Executor) -> Rung:
    """A rung measured at every checkpoint, with the decision, and with samples at its landmarks; taken up where it stood."""
    session: Session[ImageWorld] = pipeline.begin(out / "runs" / run_name(recipe), recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        pipeline.measure_stage(session)
        rung = Rung(session.run, pipeline.decide(session.run))
        pipeline.sampling_stage(session, rung.moments.steps)
        for step in rung.moments.steps:
            pipeline.follow(session, "measure", measure_closest(session.run, session.world, step, executor))
    return rung


def figure_of(rungs: list[Rung]) -> Figure:
    """The figure as data."""
    data = rungs[0].run.recipe.data
    caption = f"{data.splits} networks on every rung, judged on {data.held_out:,} held-out images. {panels.caption(rungs)}"
    axes = (panels.convergence(rungs), panels.along_training(rungs), panels.turns(rungs))
    caption = f"{caption} {CAPTION} {nearest_panels.caption(panels.counts(rungs))} {told_layout(data)}"
    return Figure(NAME, f"{NAME}: {TITLE}", axes, caption, 3, tuple(panels.drawn(rungs[-1])))


def recipes_of(scale: str, seed: int, splits: int | None, data: Path | None, out: Path = HERE) -> dict[int, ImageRecipe]:
    """N -> recipe, at a scale: the ladder of the other two-denoiser figures, whose runs it shares."""
    return ladder_of(scale).recipes(seed, splits, data, out)


def rungs_in(out: Path, recipes: dict[int, ImageRecipe]) -> list[Rung]:
    """The rungs of a figure that stands, with their decisions."""
    runs = [Run.open(out / "runs" / run_name(recipe)) for recipe in recipes.values()]
    return [Rung(run, find_onset(curves_of(run))) for run in runs]
