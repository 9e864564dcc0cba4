"""Write report.html and the printed figure of a run."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.pipeline.study import Study
from twinsplit.recipes import entry_of
from twinsplit.report.figure import Axes, Figure
from twinsplit.report.from_run import report_of
from twinsplit.report.marks import marked
from twinsplit.report.model import Report
from twinsplit.report.page import render
from twinsplit.report.panels import PanelsOf, along
from twinsplit.report.render_matplotlib import image, printed
from twinsplit.report.stored import member_line
from twinsplit.runs.files import write_bytes
from twinsplit.runs.places import check_place
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measure


def report(run: Study | Run[Any] | Path | str) -> Path:
    """Write RUN/report.html and RUN/figures from stored results; return the page's path.

    Args:
        run: a run folder, or a study, that is decided.

    Raises:
        InputError: where a stage is missing, or plotly is not installed.

    Examples:
        >>> report("runs/a")  # doctest: +SKIP
    """
    if isinstance(run, Study):
        return write_report(run.run)
    return write_report(run if isinstance(run, Run) else Run.open(Path(run)))


def write_report(run: Run[Any]) -> Path:
    """RUN/report.html and RUN/figures/onset.{png,pdf}; the path of the page."""
    check_place(run.path / "figures")
    found = report_of(run, _panels_of_measures(run))
    page = render(found)
    save_figure(found, run.path / "figures" / "onset")
    write_bytes(run.path / "report.html", page.encode())
    return run.path / "report.html"


def _panels_of_measures(run: Run[Any]) -> tuple[PanelsOf, ...]:
    """The panels that the measures of the run's world bring along, of those that were made."""
    world = entry_of(run.recipe.world, str(run.path)).load()
    return tuple(partial(_panel, one) for one in world.extra_measures if one.title and run.measured(one.name))


def _panel(measure: Measure, run: Run[Any], settled: float) -> Iterator[Axes]:
    line = member_line(Table.read(run, measure.name), measure.title, measure.name)
    yield along(measure.name, measure.title, measure.unit, [line], measure.note, settled / 4)


def main_figure(report: Report) -> Figure:
    """The main axes of a report with both turning points, for documents. InputError where there are none."""
    if not report.main:
        raise InputError("this report has no main panel", "give it at least one")
    return Figure("onset", "", marked(report).main, "", columns=1)


def save_figure(report: Report, stem: Path) -> tuple[Path, ...]:
    """Write the main figure as STEM.png and STEM.pdf, each whole or not at all; the same report gives the same bytes."""
    drawing = printed(main_figure(report))
    images = {stem.with_name(f"{stem.name}.{kind}"): image(drawing, kind) for kind in ("png", "pdf")}
    for path, content in images.items():
        write_bytes(path, content)
    return tuple(images)
