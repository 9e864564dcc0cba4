"""Published figures: what one is, the registry of all, and the one way in which they are made.

A family of figures subclasses `PublishedFigure` and registers its figures:

    class Ladder(PublishedFigure): ...                        # recipes, measure, draw
    NAMES = FIGURES.register(Ladder("gahb-psnr", "Denoising of ..."), ...)

    make("gahb-psnr", Options(scale="smoke", out=Path("figures")), executor)      # the paths of its files
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, final

from twinsplit.errors import InputError
from twinsplit.execution.local import CPU, Executor
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.from_runs import check_minima, check_runs, configuration_of, run_from
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.dry_run import dry_run, render, total
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import RunRecipe
from twinsplit.report.figure import Axes, Figure, ImageGrid
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.runs.places import check_place
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure as Print

Recipes = Mapping[str, Any]  # name of a run folder -> recipe
Measure = Callable[[Session[Any]], None]
NEEDS_CELEBA = "this scale needs CelebA", "prepare it (`twinsplit data celeba DIR --out FOLDER`) and give --data FOLDER"


@final
@dataclass(frozen=True)
class Options:
    """What is asked of a figure. out: the folder of figures; seed, seeds: of data and models, and how many; data: a prepared folder.

    runs: run folders to draw from instead of training; lpips_weights: a file of weights.
    """

    scale: str = "laptop"
    out: Path = Path("twinsplit-out/figures")
    seed: int = 0
    seeds: int | None = None
    runs: tuple[Path, ...] = ()
    data: Path | None = None
    lpips_weights: Path | None = None


class Drawing(ABC):
    """A figure that is drawn."""

    @abstractmethod
    def store(self, figure: "PublishedFigure", out: Path, configuration: Mapping[str, Any]) -> list[Path]:
        """Write it with its tables; return the paths."""


@final
@dataclass(frozen=True)
class Panels(Drawing):
    """Axes and grids of images, for print and for a browser. tables: beside those of the lines and marks."""

    axes: Sequence[Axes]
    caption: str
    grids: Sequence[ImageGrid] = ()
    columns: int = 2
    tables: "Mapping[str, pa.Table]" = field(default_factory=dict)

    def store(self, figure: "PublishedFigure", out: Path, configuration: Mapping[str, Any]) -> list[Path]:
        drawn = figure_of(figure, self)
        pages = {f"{figure.name}.html": interactive(drawn, dict(configuration)).encode()}
        return store_figure(out, figure.name, printed(drawn), drawn.tables() | dict(self.tables), configuration, pages)


def figure_of(figure: "PublishedFigure", panels: Panels) -> Figure:
    """Return the figure as plain data."""
    title = f"{figure.name}: {figure.title}"
    return Figure(figure.name, title, tuple(panels.axes), panels.caption, panels.columns, tuple(panels.grids))


@final
@dataclass(frozen=True)
class PrintOnly(Drawing):
    """A matplotlib figure and the tables that it shows."""

    figure: "Print"
    tables: "Mapping[str, pa.Table]"

    def store(self, figure: "PublishedFigure", out: Path, configuration: Mapping[str, Any]) -> list[Path]:
        return store_figure(out, figure.name, self.figure, self.tables, configuration)


@dataclass(frozen=True)
class PublishedFigure(ABC):
    """A figure of a paper: its runs at every scale, what is measured on them, and how it is drawn.

    takes: fields of `Options` beside scale, out and seed that it heeds, and "device" where networks
    compute. numbers: from how many given runs of `world` it can be drawn.
    """

    name: str
    title: str
    takes: ClassVar[tuple[str, ...]] = ("seeds", "device")
    world: ClassVar[str] = "images"

    @property
    def numbers(self) -> range:
        """From how many given runs it can be drawn; of most figures none."""
        return range(0)

    @abstractmethod
    def recipes(self, options: Options) -> Recipes:
        """Return its runs, in the order in which they are made; InputError for options that show nothing."""

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        """Return all that decides the figure."""
        return {"scale": options.scale, "runs": {f"runs/{name}": recipe.to_json() for name, recipe in recipes.items()}}

    def prepare_data(self, options: Options, recipes: Recipes, executor: Executor) -> None:  # noqa: B027 most have nothing to prepare
        """Make the data that the runs learn from; keep what exists."""

    @abstractmethod
    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        """Measure what the figure reads of a trained run. before: the runs that come before it, measured."""

    @abstractmethod
    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Drawing:
        """Draw the figure from its measured runs."""

    def check_run(self, run: Run[Any]) -> None:  # noqa: B027 most take every run of their world
        """Refuse a given run that the figure cannot show."""


@final
class Registry:
    """The published figures by name."""

    def __init__(self) -> None:
        self._figures: dict[str, PublishedFigure] = {}

    def register(self, *figures: PublishedFigure) -> tuple[str, ...]:
        """Add figures; return their names."""
        for figure in figures:
            assert figure.name not in self._figures, figure.name
            self._figures[figure.name] = figure
        return tuple(figure.name for figure in figures)

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __getitem__(self, name: str) -> PublishedFigure:
        if name not in self._figures:
            raise InputError(f"there is no figure {name!r}", f"choose one of {', '.join(self)}")
        return self._figures[name]

    def takers(self, option: str) -> list[str]:
        """Return the names of the figures that heed an option."""
        return [name for name, figure in self._figures.items() if option in figure.takes]


FIGURES = Registry()


def make(name: str, options: Options, executor: Executor) -> list[Path]:
    """Train what is missing, measure, draw and store a figure; return its paths. A figure that exists is not made again.

    With `options.runs` it is drawn from these: they are measured where something is missing, and never trained.
    Raises InputError for an unknown name, for options that the figure does not take, and where `options.out` cannot be
    written into, before any work.
    """
    figure = FIGURES[name]
    _refuse_unused(figure, options, executor)
    check_place(options.out)
    recipes = {} if options.runs else figure.recipes(options)
    configuration = _of_given(figure, options) if options.runs else figure.configuration(options, recipes)
    if found := existing(options.out, name, configuration):
        return found
    if not options.runs:
        figure.prepare_data(options, recipes, executor)
    done: list[Run[Any]] = []
    for path in options.runs:
        done.append(measure_run(path, executor, lambda session: figure.measure(options, done, session)))
    for folder, recipe in recipes.items():
        done.append(prepare_run(options.out / "runs" / folder, recipe, executor, lambda session: figure.measure(options, done, session)))
    return figure.draw(options, done).store(figure, options.out, configuration)


def plan(name: str, options: Options, executor: Executor) -> Iterator[str]:
    """Yield what each run of a figure takes, and the sum; data that runs learn from are made in a temporary folder."""
    figure = FIGURES[name]
    _refuse_unused(figure, options, executor)
    with TemporaryDirectory(prefix="twinsplit-") as folder:
        elsewhere = replace(options, out=Path(folder))
        recipes = {} if options.runs else figure.recipes(elsewhere)
        figure.prepare_data(elsewhere, recipes, executor)
        plans = []
        for run, recipe in recipes.items():
            plans.append(dry_run(recipe, executor))
            yield f"{run}, {render(plans[-1])}"
    yield f"{name}: {total(plans) if plans else 'it trains no networks'}"


def _refuse_unused(figure: PublishedFigure, options: Options, executor: Executor) -> None:
    """An option that a figure would ignore is a misunderstanding."""
    given = {option: getattr(options, option) not in (None, ()) for option in ("data", "seeds", "lpips_weights", "runs")}
    given["device"] = executor.device != CPU
    for option in (option for option, is_given in given.items() if is_given and option not in figure.takes):
        flag = "--run" if option == "runs" else f"--{option.replace('_', '-')}"
        raise InputError(f"{figure.name} has no {flag}", f"leave it out: it is for {', '.join(FIGURES.takers(option))}")


def _of_given(figure: PublishedFigure, options: Options) -> dict[str, Any]:
    """The configuration of a figure of given runs; what would decide runs that are trained decides nothing here, and is refused."""
    if options.seeds is not None:
        raise InputError("--seeds with --run", "leave one out: the runs that are given have their networks")
    if options.data is not None:
        raise InputError("--data with --run", "leave one out: a run that is given has its data")
    check_runs(figure.name, options.runs, figure.numbers)
    runs = [run_from(path, figure.world) for path in options.runs]
    for run in runs:
        figure.check_run(run)
        check_minima(run)
    return configuration_of(options.out, runs)


def measure_run(path: Path, executor: Executor, measure: Measure) -> Run[Any]:
    """Measure a run that exists, at the checkpoints it has."""
    session = pipeline.resume(path, executor)
    with closing(session.lock):
        measure(session)
    return session.run


def prepare_run(path: Path, recipe: RunRecipe, executor: Executor, measure: Measure = lambda session: None) -> Run[Any]:
    """Train a run to the end and measure it; one that was stopped goes on where it stood."""
    session = pipeline.begin(path, recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        measure(session)
    return session.run


def run_name(recipe: Any, size: str = "images") -> str:
    """Return a folder name that says the size and belongs to this very recipe. size: small, middle or large, of sequences."""
    digest = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True).encode()).hexdigest()[:10]
    return f"{size}-n{recipe.data.split_size}-{digest}"
