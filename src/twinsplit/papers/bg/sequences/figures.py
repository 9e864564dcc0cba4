"""[BG]'s figures of sequences: which runs each needs, which finer measurements, and how its axes are put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

from twinsplit.papers.bg.landmark_measures import (
    Stage,
    decomposition_stage,
    measure_landmarks,
    profile_stage,
    random_stage,
    samples_stage,
    training_data_stage,
    uturn_stage,
)
from twinsplit.papers.bg.sequences import captions, panels
from twinsplit.papers.bg.sequences.settings import SETTINGS, Size
from twinsplit.papers.figure import FIGURES, Options, Panels, PublishedFigure, run_name
from twinsplit.papers.lines import size
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline.landmarks import LOSS, NEAREST
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import Recipe
from twinsplit.report.figure import Axes
from twinsplit.runs.store import Run


@final
@dataclass(frozen=True)
class SequenceFigure(PublishedFigure):
    """sizes: its runs; stages: finer measurements; axes: of each run; caption: from the runs; seeds_per_split: 2 where same-data pairs
    are shown; given: how many given runs it can show, where that is not the number of its sizes.
    """

    sizes: tuple[Size, ...]
    stages: tuple[Stage, ...]
    axes: Callable[[Run], list[Axes]]
    caption: Callable[[Sequence[Run]], str]
    seeds_per_split: int = 1
    columns: int = 2
    given: range = range(0)
    takes: ClassVar[tuple[str, ...]] = ("seeds", "runs", "device")
    world: ClassVar[str] = "sequences"

    @property
    def numbers(self) -> range:
        return self.given or range(len(self.sizes), len(self.sizes) + 1)

    def recipes(self, options: Options) -> dict[str, Recipe]:
        setting = at_scale(SETTINGS, options.scale)
        default = setting.paired if self.seeds_per_split > 1 else setting.splits
        count = default if options.seeds is None else options.seeds
        made = [(size, setting.recipe(size, options.seed, count, self.seeds_per_split)) for size in self.sizes]
        return {run_name(recipe, size): recipe for size, recipe in made}

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        measure_landmarks(session, self.stages)

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        caption = ", ".join(f"{len(run.recipe.members)} networks with {size(run)}" for run in runs)
        axes = [axes for run in runs for axes in named(self.axes(run), run, runs)]
        return Panels(axes, f"{caption[:1].upper()}{caption[1:]}. {self.caption(runs)}", columns=self.columns)


def named(axes: list[Axes], run: Run, runs: Sequence[Run]) -> list[Axes]:
    """Titles say the size of a run; where another one has the same size, its folder too."""
    if sum(size(other) == size(run) for other in runs) == 1:
        return axes
    folder = run.path.name if sum(other.path.name == run.path.name for other in runs) == 1 else str(run.path)
    return [replace(one, title=f"{folder}: {one.title}") for one in axes]


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


_SEQUENTIAL = "Divergence from BP_k, for every k, to the networks, and between networks, along training"
_SAMPLED = (samples_stage, uturn_stage)

NAMES = FIGURES.register(
    SequenceFigure("fig1b", _SEQUENTIAL, ("middle",), (training_data_stage,), _sequential, captions.sequential, 2),
    SequenceFigure(
        "fig3b",
        "Divergence from BP_k to the networks against diffusion time, at the test-loss minimum",
        ("small", "middle", "large"),
        (profile_stage,),
        _profiles,
        captions.profiles,
        columns=3,
        given=range(1, 100),
    ),
    SequenceFigure(
        "fig4a",
        "Nearest-neighbour divergence of samples, and the losses, along training",
        ("middle",),
        (samples_stage,),
        _neighbours,
        captions.neighbours,
    ),
    SequenceFigure(
        "fig4b", "Oracle term and excess term of the loss, along training", ("middle",), (decomposition_stage,), _terms, captions.terms
    ),
    SequenceFigure(
        "fig5", "U-turns from a network's own training sequences and from another's", ("middle",), _SAMPLED, _uturns, captions.uturns
    ),
    SequenceFigure("fig6", _SEQUENTIAL, ("small", "large"), (training_data_stage,), _sequential, captions.sequential, 2),
    SequenceFigure("fig9", "Nearest neighbours and U-turns, small splits", ("small",), _SAMPLED, _both, captions.neighbours_and_uturns),
    SequenceFigure("fig10", "Nearest neighbours and U-turns, large splits", ("large",), _SAMPLED, _both, captions.neighbours_and_uturns),
    SequenceFigure(
        "fig11", "U-turns from uniformly random sequences", ("middle",), (random_stage,), _random, captions.random_uturns, columns=1
    ),
)
