"""A sheet for print, with matplotlib: readable in a column of a paper, the same bytes for the same numbers."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from twinsplit.report.sheets import COLOURS, Axes, Line, Mark, Plate, Sheet

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    from matplotlib.figure import Figure

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
WIDTH, HEIGHT = 4.6, 3.3  # inches, of one pair of axes
CAPTION_LINE, ENTRY = 0.15, 0.15  # inches, of a line of the caption and of the legend
CHARACTERS_PER_INCH = 16


def printed(sheet: Sheet) -> "Figure":
    """The figure, its title above and its caption below; never pyplot's global state."""
    from matplotlib.figure import Figure

    count = len(sheet.axes) + len(sheet.plates)
    columns = min(sheet.columns, count)
    rows = -(-count // columns)
    width = max(WIDTH * columns, 6.5)
    caption = fill(sheet.caption, int(width * CHARACTERS_PER_INCH))
    below = CAPTION_LINE * (caption.count("\n") + 1) + 0.1
    legend = ENTRY * max((-(-(len(a.lines) + len(a.marks) + len(a.rules)) // 2) for a in sheet.axes), default=0)
    height = (HEIGHT + legend) * rows + 0.3 + below
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in zip(grid.flat, sheet.axes, strict=False):
        _draw(place, axes)
    for place, plate in zip(grid.flat[len(sheet.axes) :], sheet.plates, strict=False):
        _plate(place, plate)
    for place in grid.flat[count:]:
        place.set_axis_off()
    # not a suptitle, for which the layout would make room a second time
    figure.text(0.01, 1 - 0.08 / height, sheet.title, fontsize=11, ha="left", va="top")
    figure.text(0.01, 0.06 / height, caption, fontsize=8, va="bottom", ha="left", color=COLOURS["ink"])
    figure.tight_layout(rect=(0, below / height, 1, 1 - 0.3 / height))
    return figure


def _draw(place: "matplotlib.axes.Axes", axes: Axes) -> None:
    place.set_xscale(axes.x_scale)
    place.set_yscale(axes.y_scale)
    for rule in axes.rules:
        place.axhline(rule.y, color=COLOURS["grey"], linestyle=":", linewidth=1, label=rule.label)
    for line in axes.lines:
        _line(place, line)
    _set_range(place, axes)
    for mark in axes.marks:
        _mark(place, mark)
    for axis, scale in ((place.xaxis, axes.x_scale), (place.yaxis, axes.y_scale)):
        if scale == "log":
            _plain_ticks(axis)
    place.set_title(axes.title, fontsize=9.5)
    place.set_xlabel(axes.x_label, fontsize=9)
    place.set_ylabel(axes.y_label, fontsize=9)
    place.tick_params(labelsize=8)
    # below the axes: inside, there is no place that bands and curves leave free
    place.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, columnspacing=1.0, handlelength=3.2)
    for side in ("top", "right"):
        place.spines[side].set_visible(False)


def _plate(place: "matplotlib.axes.Axes", plate: Plate) -> None:
    """Pictures, with the names of their rows at the left."""
    grey = plate.page.shape[-1] == 1
    place.imshow(plate.page[..., 0] if grey else plate.page, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height = plate.page.shape[0] / len(plate.rows)
    place.set_yticks([(i + 0.5) * height for i in range(len(plate.rows))], plate.rows, fontsize=8)
    place.set_xticks([])
    place.tick_params(length=0)
    place.set_title(plate.title, fontsize=9.5)
    for side in place.spines.values():
        side.set_visible(False)


def _line(place: "matplotlib.axes.Axes", line: Line) -> None:
    colour, order = COLOURS[line.colour], np.argsort(line.x)
    x, y, low, high = (v[order] for v in (line.x, line.y, line.low, line.high))
    size = 3.0 if len(x) < 60 else 0.0
    place.plot(x, y, DASHES[line.dash], color=colour, linewidth=1.4, marker="o", markersize=size, label=line.label)
    if np.isfinite(low).any():
        place.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)


def _plain_ticks(axis: "matplotlib.axis.Axis") -> None:
    """Round numbers in full, at most a handful: powers of ten are hard to read off an axis of less than two decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def _set_range(place: "matplotlib.axes.Axes", axes: Axes) -> None:
    """Marks may lie anywhere: the range is that of the lines."""
    place.set_xlim(*place.get_xlim())
    if axes.y_range:
        place.set_ylim(*axes.y_range)


def _mark(place: "matplotlib.axes.Axes", mark: Mark) -> None:
    colour, (left, right) = COLOURS[mark.colour], place.get_xlim()
    label: dict[str, Any] = {"label": mark.label}
    if mark.x is not None:
        place.axvline(mark.x, color=colour, linestyle="--", linewidth=1.1, **label)
        label = {}
    elif mark.low is None and mark.high is None:
        place.plot([], [], " ", **label)
    if mark.low is not None or mark.high is not None:
        place.axvspan(mark.low or left, mark.high or right, color=colour, alpha=0.08, linewidth=0, **label)
