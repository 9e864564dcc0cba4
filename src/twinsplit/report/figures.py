"""The main figure for documents: the twins' disagreement above the loss, with both turning points, as PNG and PDF."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinsplit.errors import InputError
from twinsplit.report import axes, marks, words
from twinsplit.report.colours import series_colours, solid
from twinsplit.report.model import Panel, Report, Series
from twinsplit.runs.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

FORMATS = ("png", "pdf")
STYLE = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": solid("grid"),
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "twinsplit",
}
_MARKERS = "osD^Xp"


def main_figure(report: Report, width: float = 6.6) -> "MatplotlibFigure":
    """The main panels of a report on a shared logarithmic axis of optimizer steps; width in inches.

    Raises InputError where matplotlib is not installed or the report has no main panel.
    """
    if not report.main:
        raise InputError("this report has no main panel", 'give at least one panel place="main"')
    with _matplotlib().rc_context(STYLE):
        return _drawn(report, report.main, width)


def save_figure(report: Report, stem: Path) -> tuple[Path, ...]:
    """Write the main figure as STEM.png and STEM.pdf, each whole or not at all; the same report gives the same bytes."""
    figure = main_figure(report)
    paths = tuple(stem.with_name(f"{stem.name}.{kind}") for kind in FORMATS)
    for path, kind in zip(paths, FORMATS, strict=True):
        write_bytes(path, _encoded(figure, kind))
    return paths


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("figures need matplotlib", "pip install 'twinsplit[report]'") from error
    return matplotlib


def _drawn(report: Report, panels: Sequence[Panel], width: float) -> "MatplotlibFigure":
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(width, 0.9 + 2.1 * len(panels)), dpi=200, layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    colours, x_range = series_colours(report), axes.step_range(panels)
    for rank, (row, panel) in enumerate(zip(rows, panels, strict=True)):
        _panel(row, panel, [colours[panel.key, series.name] for series in panel.series])
        _turning_points(row, report, x_range, rank)
    _step_axis(rows[-1], x_range)
    figure.legend(loc="outside lower center", ncols=2, columnspacing=2.5)
    return figure


def _panel(row: "Axes", panel: Panel, colours: Sequence[str]) -> None:
    for rank, (series, colour) in enumerate(zip(panel.series, colours, strict=True)):
        _curve(row, series, solid(colour), _MARKERS[rank % len(_MARKERS)])
    for level in panel.levels:
        row.axhline(level.value, color=solid("quiet"), linewidth=0.8, linestyle=":", label=f"{_literal(level.label)}: {level.value:.4g}")
    row.set_title(_literal(panel.title), pad=16)
    row.set_ylabel(_literal(panel.y_label))
    if panel.y_range:
        row.set_ylim(*panel.y_range)


def _curve(row: "Axes", series: Series, colour: str, marker: str) -> None:
    shown = series.steps > 0
    steps = series.steps[shown]
    row.fill_between(steps, series.low[shown], series.high[shown], color=colour, alpha=0.18, linewidth=0)
    row.plot(steps, series.mean[shown], color=colour, linewidth=1.5, marker=marker, markersize=2.6, label=_literal(series.label))


def _turning_points(row: "Axes", report: Report, x_range: tuple[float, float], rank: int) -> None:
    """Phase, intervals and rules; a rule is named over the panel that it belongs to."""
    for phase in marks.biased_phase(report.decision):
        row.axvspan(*marks.clipped(phase, x_range), color=solid("phase"), alpha=0.14, linewidth=0, zorder=0)
    for owner, turn in enumerate(marks.turns(report.decision)):
        if turn.interval != (None, None):
            row.axvspan(*marks.clipped(turn.interval, x_range), color=solid(turn.colour), alpha=0.14, linewidth=0, zorder=0)
        if turn.step is not None:
            row.axvline(turn.step, color=solid(turn.colour), linewidth=1.2, linestyle="--")
            if owner == min(rank, 1):
                _name_over(row, f"{turn.name}: step {words.step(turn.step)}", turn, x_range)


def _name_over(row: "Axes", text: str, turn: marks.Turn, x_range: tuple[float, float]) -> None:
    assert turn.step is not None
    inwards = "left" if turn.step**2 < x_range[0] * x_range[1] else "right"
    place = (turn.step, 1.0)
    row.annotate(text, place, (0, 3), row.get_xaxis_transform(), "offset points", color=solid(turn.colour), fontsize=8.5, ha=inwards)


def _step_axis(row: "Axes", x_range: tuple[float, float]) -> None:
    ticks = axes.round_steps(x_range, axes.MOST_TICKS)
    row.set_xscale("log")
    row.set_xlim(*x_range)
    row.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    row.set_xticks([], minor=True)
    row.set_xlabel("optimizer step")


def _literal(text: str) -> str:
    """Without dollar signs meaning mathematics."""
    return text.replace("$", r"\$")


def _encoded(figure: "MatplotlibFigure", kind: str) -> bytes:
    """Without the date, so that the bytes depend on the report only."""
    metadata = {"png": {"Software": "twinsplit"}, "pdf": {"CreationDate": None, "ModDate": None}}
    buffer = BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata[kind])
    return buffer.getvalue()
