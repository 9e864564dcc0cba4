"""Write report.html and the printed figure of a run."""

from pathlib import Path

from twinsplit.report.figures import save_figure
from twinsplit.report.from_run import report_of
from twinsplit.report.page import render
from twinsplit.runs.files import write_bytes
from twinsplit.runs.places import check_place
from twinsplit.runs.store import Run


def write_report(run: Run) -> Path:
    """RUN/report.html and RUN/figures/onset.{png,pdf}; the path of the page."""
    check_place(run.path / "figures")
    report = report_of(run)
    page = render(report)
    save_figure(report, run.path / "figures" / "onset")
    write_bytes(run.path / "report.html", page.encode())
    return run.path / "report.html"
