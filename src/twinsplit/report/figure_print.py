"""A sheet for print, with matplotlib: readable in a column of a paper, the same bytes for the same numbers."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from twinsplit.report.figure import COLOURS, SPOTS, Axes, Figure, ImageGrid, Line, Point, VerticalLine

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    from matplotlib.figure import Figure as MatplotlibFigure

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
WIDTH, HEIGHT = 4.6, 3.3  # inches, of one pair of axes
CAPTION_LINE, ENTRY = 0.15, 0.15  # inches, of a line of the caption and of the legend
CHARACTERS_PER_INCH = 16
ABOVE, GAP, KEYS = 0.3, 0.07, 0.42  # inches: of the title, around axes, and from axes down to their legend


def printed(sheet: Figure) -> "MatplotlibFigure":
    """The figure, its title above and its caption below; never pyplot's global state."""
    from matplotlib.figure import Figure as MatplotlibFigure

    count = len(sheet.axes) + len(sheet.plates)
    columns = min(sheet.columns, count)
    rows = -(-count // columns)
    width = max(WIDTH * columns, 6.5)
    caption = fill(sheet.caption, int(width * CHARACTERS_PER_INCH))
    below = CAPTION_LINE * (caption.count("\n") + 1) + 0.15
    height = HEIGHT * rows + sum(_legend_heights(sheet, columns)) + ABOVE + below
    figure = MatplotlibFigure(figsize=(width, height), layout="constrained")
    _leave_room(figure, below / height, 1 - ABOVE / height)
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in zip(grid.flat, sheet.axes, strict=False):
        _draw(place, axes)
    for place, plate in zip(grid.flat[len(sheet.axes) :], sheet.plates, strict=False):
        _plate(place, plate)
    for place in grid.flat[count:]:
        place.set_axis_off()
    # not a suptitle, for which the layout would make room a second time
    figure.text(0.01, 1 - 0.08 / height, sheet.title, fontsize=11, ha="left", va="top", in_layout=False)
    figure.text(0.01, 0.06 / height, caption, fontsize=8, va="bottom", ha="left", color=COLOURS["ink"], in_layout=False)
    return figure


def _legend_heights(sheet: Figure, columns: int) -> list[float]:
    """Inches that the tallest legend of each row of axes takes."""
    heights = [ENTRY * -(-axes.entries // 2) for axes in sheet.axes]
    return [max(heights[i : i + columns]) for i in range(0, len(heights), columns)]


def _leave_room(figure: "MatplotlibFigure", bottom: float, top: float) -> None:
    """Axes and legends keep between title and caption; parts of the height."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, bottom, 1, top - bottom), w_pad=GAP, h_pad=GAP)  # type: ignore[call-arg]


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
    for spot in axes.spots:
        _spot(place, spot)
    if axes.spots:
        place.plot([], [], "o-", color=COLOURS["grey"], markersize=5, linewidth=3, label=SPOTS)
    for axis, scale in ((place.xaxis, axes.x_scale), (place.yaxis, axes.y_scale)):
        if scale == "log":
            _plain_ticks(axis)
    place.set_title(axes.title, fontsize=9.5)
    place.set_xlabel(axes.x_label, fontsize=9)
    place.set_ylabel(axes.y_label, fontsize=9)
    place.tick_params(labelsize=8)
    _legend(place)
    for side in ("top", "right"):
        place.spines[side].set_visible(False)


def _legend(place: "matplotlib.axes.Axes") -> None:
    """Below the axes: inside, there is no place that bands and curves leave free. At a distance in inches, however high the axes become."""
    from matplotlib.transforms import ScaledTranslation

    figure = place.get_figure(root=True)
    assert figure is not None
    below = place.transAxes + ScaledTranslation(0, -KEYS, figure.dpi_scale_trans)
    anchor: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": below, "borderaxespad": 0}
    place.legend(fontsize=7, frameon=False, ncols=2, columnspacing=1.0, handlelength=3.2, **anchor)


def _plate(place: "matplotlib.axes.Axes", plate: ImageGrid) -> None:
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


def _mark(place: "matplotlib.axes.Axes", mark: VerticalLine) -> None:
    colour, (left, right) = COLOURS[mark.colour], place.get_xlim()
    label: dict[str, Any] = {"label": mark.label}
    if mark.x is not None:
        place.axvline(mark.x, color=colour, linestyle="--", linewidth=1.1, **label)
        label = {}
    elif mark.low is None and mark.high is None:
        place.plot([], [], " ", **label)
    if mark.low is not None or mark.high is not None:
        place.axvspan(mark.low or left, mark.high or right, color=colour, alpha=0.08, linewidth=0, **label)


def _spot(place: "matplotlib.axes.Axes", spot: Point) -> None:
    """A bar over its interval, which on an open side reaches to the end, and a dot at its place."""
    colour, (left, right) = COLOURS[spot.colour], place.get_xlim()
    if spot.low is not None or spot.high is not None:
        place.hlines(spot.y, spot.low or left, spot.high or right, color=colour, linewidth=3.5, alpha=0.45)
    if spot.x is not None:
        place.plot([spot.x], [spot.y], "o", color=colour, markersize=6.5, markeredgecolor="white", zorder=4)
