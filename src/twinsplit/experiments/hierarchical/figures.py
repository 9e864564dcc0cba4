"""[BG]'s hierarchical figures: which runs each needs, which finer measurements, and how its axes are put together."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import final

from twinsplit.experiments import pipeline
from twinsplit.experiments.closer import (
    Stage,
    closer,
    decomposition_stage,
    profile_stage,
    random_stage,
    samples_stage,
    training_data_stage,
    uturn_stage,
)
from twinsplit.experiments.figure_store import standing, store_figure
from twinsplit.experiments.hierarchical import panels
from twinsplit.experiments.hierarchical.settings import Setting, Size, run_name, setting_of
from twinsplit.experiments.landmarks import LOSS, checkpoint_at, landmarks_of
from twinsplit.experiments.lines import OVER_NETWORKS, OVER_PAIRS, OVER_SPLITS
from twinsplit.recipes import Recipe
from twinsplit.report.sheet_page import interactive
from twinsplit.report.sheet_print import printed
from twinsplit.report.sheets import Axes, Sheet
from twinsplit.store import Run
from twinsplit.workers import Crew

SEQUENCES = "Held-out sequences share no content with the splits of any run; noise is the same for all checkpoints, networks and oracles."


@final
@dataclass(frozen=True)
class Figure:
    """A figure. sizes: its runs; stages: finer measurements; axes: from the runs; seeds_per_split: 2 where same-data pairs are shown."""

    title: str
    sizes: tuple[Size, ...]
    stages: tuple[Stage, ...]
    axes: Callable[[Sequence[Run]], list[Axes]]
    caption: str
    seeds_per_split: int = 1
    columns: int = 2

    def recipes(self, setting: Setting, seed: int, splits: int | None) -> dict[str, Recipe]:
        """The runs by folder name."""
        default = setting.paired if self.seeds_per_split > 1 else setting.splits
        count = default if splits is None else splits
        made = [(size, setting.recipe(size, seed, count, self.seeds_per_split)) for size in self.sizes]
        return {run_name(size, recipe): recipe for size, recipe in made}


def _sequential(runs: Sequence[Run]) -> list[Axes]:
    return [panels.sequential(run, data) for run in runs for data in ("test", "train")]


def _neighbours(runs: Sequence[Run]) -> list[Axes]:
    return [axes for run in runs for axes in (panels.neighbours(run), panels.losses(run))]


def _uturns(runs: Sequence[Run]) -> list[Axes]:
    marks = [(run, landmarks_of(run)) for run in runs]
    early = [panels.uturns(run, mark.nearest, "at the nearest-neighbour minimum") for run, mark in marks]
    return early + [panels.uturns(run, mark.loss, "at the test-loss minimum") for run, mark in marks]


def _both(runs: Sequence[Run]) -> list[Axes]:
    return _neighbours(runs) + _uturns(runs)


def _terms(runs: Sequence[Run]) -> list[Axes]:
    return [panels.terms(run, times, term) for run in runs for times in ("fixed", "all") for term in ("oracle", "excess")]


def _profiles(runs: Sequence[Run]) -> list[Axes]:
    return [panels.profiles(run, checkpoint_at(run, LOSS)) for run in runs]


def _random(runs: Sequence[Run]) -> list[Axes]:
    return [panels.random_uturns(run, checkpoint_at(run, LOSS)) for run in runs]


_SEQUENTIAL = "Sequential learning: coarse structure first, then fine structure, then the samples"
_UTURN = (
    "Overlap with the start after noising to t and denoising back, over that of the exact oracle from the same noised starts. Test starts "
    "of a network are the train starts of the next one: over all networks both are the same sequences."
)

FIGURES: dict[str, Figure] = {
    "fig1b": Figure(_SEQUENTIAL, ("middle",), (training_data_stage,), _sequential, f"{OVER_SPLITS} {OVER_PAIRS} {SEQUENCES}", 2),
    "fig3b": Figure(
        "Where networks and oracle differ: divergence against diffusion time at the test-loss minimum",
        ("small", "middle", "large"),
        (profile_stage,),
        _profiles,
        f"{OVER_NETWORKS} One held-out set for all three sizes. {SEQUENCES}",
        columns=3,
    ),
    "fig4a": Figure(
        "Samples move closer to the training data while the test loss falls",
        ("middle",),
        (samples_stage,),
        _neighbours,
        f"{OVER_NETWORKS} {SEQUENCES}",
    ),
    "fig4b": Figure(
        "The loss is the sum of an oracle term and an excess term",
        ("middle",),
        (decomposition_stage,),
        _terms,
        f"{OVER_NETWORKS} {SEQUENCES}",
    ),
    "fig5": Figure(
        "U-turns from training and held-out sequences", ("middle",), (samples_stage, uturn_stage), _uturns, f"{_UTURN} {OVER_NETWORKS}"
    ),
    "fig6": Figure(_SEQUENTIAL, ("small", "large"), (training_data_stage,), _sequential, f"{OVER_SPLITS} {OVER_PAIRS} {SEQUENCES}", 2),
    "fig9": Figure(
        "Nearest neighbours and U-turns, small splits", ("small",), (samples_stage, uturn_stage), _both, f"{_UTURN} {OVER_NETWORKS}"
    ),
    "fig10": Figure(
        "Nearest neighbours and U-turns, large splits", ("large",), (samples_stage, uturn_stage), _both, f"{_UTURN} {OVER_NETWORKS}"
    ),
    "fig11": Figure(
        "U-turns from uniformly random sequences",
        ("middle",),
        (random_stage,),
        _random,
        "Networks at the test-loss minimum, the empirical denoiser of 256 training sequences, and belief propagation BP_k. Red band: 95% "
        "Student interval over networks; the exact denoisers are means over the same starts and noise.",
        columns=1,
    ),
}


def make_figure(name: str, scale: str, out: Path, seed: int, splits: int | None, crew: Crew) -> list[Path]:
    """Train what is missing, measure, draw and store; the paths. What stands is not made again."""
    figure = FIGURES[name]
    recipes = figure.recipes(setting_of(scale), seed, splits)
    configuration = {"scale": scale, "runs": {f"runs/{run}": recipe.to_json() for run, recipe in recipes.items()}}
    if found := standing(out, name, configuration):
        return found
    sheet = sheet_of(name, [made_ready(out / "runs" / run, recipe, figure.stages, crew) for run, recipe in recipes.items()])
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, name, printed(sheet), sheet.tables(), configuration, pages)


def made_ready(path: Path, recipe: Recipe, stages: tuple[Stage, ...], crew: Crew) -> Run:
    """A run with all that a figure reads, taken up where it stood."""
    session = pipeline.begin(path, recipe, crew)
    with closing(session.lock):
        pipeline.train_stage(session)
        closer(session, stages)
    return session.run


def sheet_of(name: str, runs: Sequence[Run]) -> Sheet:
    """The figure as data."""
    figure = FIGURES[name]
    told = ", ".join(f"{len(run.recipe.members)} networks with {panels.size(run)}" for run in runs)
    return Sheet(
        name, f"{name}: {figure.title}", tuple(figure.axes(runs)), f"{told[:1].upper()}{told[1:]}. {figure.caption}", figure.columns
    )
