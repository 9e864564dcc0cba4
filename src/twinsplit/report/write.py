"""Write report.html and the printed figure of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.report.figure import Figure
from twinsplit.report.from_run import report_of
from twinsplit.report.marks import marked
from twinsplit.report.model import Report
from twinsplit.report.page import render
from twinsplit.report.panels import PanelsOf
from twinsplit.report.render_matplotlib import image, printed
from twinsplit.runs.files import write_bytes
from twinsplit.runs.places import check_place
from twinsplit.runs.store import Run


def write_report(run: Run[Any], extra_panels: Sequence[PanelsOf] = ()) -> Path:
    """RUN/report.html and RUN/figures/onset.{png,pdf}; the path of the page. extra_panels: as in `report_of`."""
    check_place(run.path / "figures")
    report = report_of(run, extra_panels)
    page = render(report)
    save_figure(report, run.path / "figures" / "onset")
    write_bytes(run.path / "report.html", page.encode())
    return run.path / "report.html"


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
