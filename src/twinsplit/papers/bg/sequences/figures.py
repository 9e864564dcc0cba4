"""[BG]'s hierarchical figures: which runs each needs, which finer measurements, and how its axes are put together."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from twinsplit.execution.local import Executor
from twinsplit.papers.bg.landmark_measures import (
    Stage,
    closer,
    decomposition_stage,
    profile_stage,
    random_stage,
    samples_stage,
    training_data_stage,
    uturn_stage,
)
from twinsplit.papers.bg.sequences import captions, panels
from twinsplit.papers.bg.sequences.settings import Setting, Size, run_name, setting_of
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.landmarks import LOSS, NEAREST
from twinsplit.recipes import Recipe
from twinsplit.report.figure import Axes, Figure
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.runs.store import Run


@final
@dataclass(frozen=True)
class PublishedFigure:
    """A figure. sizes: its runs; stages: finer measurements; axes: of each run; caption: from the runs; seeds_per_split: 2 where same-data
    pairs are shown; given: how many runs it can be drawn from when they are given, where that is not the number of its sizes.
    """

    title: str
    sizes: tuple[Size, ...]
    stages: tuple[Stage, ...]
    axes: Callable[[Run], list[Axes]]
    caption: Callable[[Sequence[Run]], str]
    seeds_per_split: int = 1
    columns: int = 2
    given: range = range(0)

    def recipes(self, setting: Setting, seed: int, splits: int | None) -> dict[str, Recipe]:
        """The runs by folder name."""
        default = setting.paired if self.seeds_per_split > 1 else setting.splits
        count = default if splits is None else splits
        made = [(size, setting.recipe(size, seed, count, self.seeds_per_split)) for size in self.sizes]
        return {run_name(size, recipe): recipe for size, recipe in made}

    @property
    def numbers(self) -> range:
        """How many runs it can be drawn from."""
        return self.given or range(len(self.sizes), len(self.sizes) + 1)


def _sequential(run: Run) -> list[Axes]:
    return [panels.sequential(run, data) for data in ("test", "train")]


def _neighbours(run: Run) -> list[Axes]:
    return [panels.neighbours(run), panels.losses(run)]


def _uturns(run: Run) -> list[Axes]:
    return [panels.uturns(run, NEAREST, "at the nearest-neighbour minimum"), panels.uturns(run, LOSS, "at the test-loss minimum")]


def _both(run: Run) -> list[Axes]:
    return _neighbours(run) + _uturns(run)


def _terms(run: Run) -> list[Axes]:
    return [panels.terms(run, times, term) for times in ("fixed", "all") for term in ("oracle", "excess")]


def _profiles(run: Run) -> list[Axes]:
    return [panels.profiles(run)]


def _random(run: Run) -> list[Axes]:
    return [panels.random_uturns(run)]


_SEQUENTIAL = "Sequential learning: coarse structure first, then fine structure, then the samples"
_SAMPLED = (samples_stage, uturn_stage)

FIGURES: dict[str, PublishedFigure] = {
    "fig1b": PublishedFigure(_SEQUENTIAL, ("middle",), (training_data_stage,), _sequential, captions.sequential, 2),
    "fig3b": PublishedFigure(
        "Where networks and oracle differ: divergence against diffusion time at the test-loss minimum",
        ("small", "middle", "large"),
        (profile_stage,),
        _profiles,
        captions.profiles,
        columns=3,
        given=range(1, 100),
    ),
    "fig4a": PublishedFigure(
        "Samples move closer to the training data while the test loss falls",
        ("middle",),
        (samples_stage,),
        _neighbours,
        captions.neighbours,
    ),
    "fig4b": PublishedFigure(
        "The loss is the sum of an oracle term and an excess term", ("middle",), (decomposition_stage,), _terms, captions.terms
    ),
    "fig5": PublishedFigure(
        "U-turns from a network's own training sequences and from another's", ("middle",), _SAMPLED, _uturns, captions.uturns
    ),
    "fig6": PublishedFigure(_SEQUENTIAL, ("small", "large"), (training_data_stage,), _sequential, captions.sequential, 2),
    "fig9": PublishedFigure("Nearest neighbours and U-turns, small splits", ("small",), _SAMPLED, _both, captions.neighbours_and_uturns),
    "fig10": PublishedFigure("Nearest neighbours and U-turns, large splits", ("large",), _SAMPLED, _both, captions.neighbours_and_uturns),
    "fig11": PublishedFigure(
        "U-turns from uniformly random sequences", ("middle",), (random_stage,), _random, captions.random_uturns, columns=1
    ),
}


def make_figure(name: str, scale: str, out: Path, seed: int, splits: int | None, executor: Executor) -> list[Path]:
    """Train what is missing, measure, draw and store; the paths. What stands is not made again."""
    figure = FIGURES[name]
    recipes = figure.recipes(setting_of(scale), seed, splits)
    configuration: dict[str, Any] = {"scale": scale, "runs": {f"runs/{run}": recipe.to_json() for run, recipe in recipes.items()}}
    if found := existing(out, name, configuration):
        return found
    runs = [prepare_run(out / "runs" / run, recipe, figure.stages, executor) for run, recipe in recipes.items()]
    return store_drawn(out, name, figure_of(name, runs), configuration)


def store_drawn(out: Path, name: str, sheet: Figure, configuration: dict[str, Any]) -> list[Path]:
    """Drawn for print and for a browser, and stored; the paths."""
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, name, printed(sheet), sheet.tables(), configuration, pages)


def prepare_run(path: Path, recipe: Recipe, stages: tuple[Stage, ...], executor: Executor) -> Run:
    """A run with all that a figure reads, taken up where it stood."""
    session = pipeline.begin(path, recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        closer(session, stages)
    return session.run


def figure_of(name: str, runs: Sequence[Run]) -> Figure:
    """The figure as data."""
    figure = FIGURES[name]
    caption = ", ".join(f"{len(run.recipe.members)} networks with {panels.size(run)}" for run in runs)
    axes = tuple(axes for run in runs for axes in named(figure.axes(run), run, runs))
    return Figure(name, f"{name}: {figure.title}", axes, f"{caption[:1].upper()}{caption[1:]}. {figure.caption(runs)}", figure.columns)


def named(axes: list[Axes], run: Run, runs: Sequence[Run]) -> list[Axes]:
    """Titles say the size of a run; where another one has the same size, its folder too."""
    if sum(panels.size(other) == panels.size(run) for other in runs) == 1:
        return axes
    folder = run.path.name if sum(other.path.name == run.path.name for other in runs) == 1 else str(run.path)
    return [replace(one, title=f"{folder}: {one.title}") for one in axes]
