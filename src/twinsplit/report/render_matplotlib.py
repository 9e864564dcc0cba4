"""A figure for print, with matplotlib: readable in a column of a paper, the same bytes for the same numbers."""

from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.report.colours import BAND, BAR, solid
from twinsplit.report.figure import SPOTS, Axes, Bars, Figure, ImageGrid, Line, Point, VerticalLine, ends_of

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    from matplotlib.figure import Figure as MatplotlibFigure

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
WIDTH, HEIGHT = 4.6, 3.3  # inches, of one pair of axes
CAPTION_LINE, ENTRY = 0.15, 0.15  # inches, of a line of the caption and of the legend
CHARACTERS_PER_INCH = 16
DPI = 200
ABOVE, GAP, KEYS = 0.3, 0.07, 0.42  # inches: of the title, around axes, and from axes down to their legend


def printed(figure: Figure) -> "MatplotlibFigure":
    """The figure, its title above and its caption below; never pyplot's global state. InputError where matplotlib is not installed."""
    try:
        import matplotlib.figure
    except ImportError as error:
        raise InputError("printed figures need matplotlib", "pip install 'twinsplit[report]'") from error

    count = len(figure.axes) + len(figure.plates)
    columns = min(figure.columns, count)
    rows = -(-count // columns)
    width = max(WIDTH * columns, 6.5)
    caption = fill(_literal(figure.caption), int(width * CHARACTERS_PER_INCH))
    above, below = ABOVE * bool(figure.title), CAPTION_LINE * (caption.count("\n") + 1) + 0.15 if caption else 0.0
    height = HEIGHT * rows + sum(_legend_heights(figure, columns)) + above + below
    drawing = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    _leave_room(drawing, below / height, 1 - above / height)
    grid = drawing.subplots(rows, columns, squeeze=False)
    for place, axes in zip(grid.flat, figure.axes, strict=False):
        _draw(place, axes)
    for place, plate in zip(grid.flat[len(figure.axes) :], figure.plates, strict=False):
        _plate(place, plate)
    for place in grid.flat[count:]:
        place.set_axis_off()
    # not a suptitle, for which the layout would make room a second time
    drawing.text(0.01, 1 - 0.08 / height, _literal(figure.title), fontsize=11, ha="left", va="top", in_layout=False)
    drawing.text(0.01, 0.06 / height, caption, fontsize=8, va="bottom", ha="left", color=solid("ink"), in_layout=False)
    return drawing


def image(drawing: "MatplotlibFigure", kind: str, dpi: int = DPI) -> bytes:
    """The drawing as a PNG or PDF, without the date, so that the same numbers give the same file."""
    stream = BytesIO()
    metadata: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    drawing.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def _literal(text: str) -> str:
    """Without dollar signs meaning mathematics."""
    return text.replace("$", r"\$")


def _legend_heights(figure: Figure, columns: int) -> list[float]:
    """Inches that the tallest legend of each row of axes takes."""
    heights = [ENTRY * -(-axes.entries // 2) for axes in figure.axes]
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
        place.axhline(rule.y, color=solid("grey"), linestyle=":", linewidth=1, label=_literal(rule.label))
    for bars in axes.bars:
        _bars(place, bars)
    for line in axes.lines:
        _line(place, line)
    _set_range(place, axes)
    for mark in axes.marks:
        _mark(place, mark)
    for spot in axes.spots:
        _spot(place, spot)
    if axes.spots:
        place.plot([], [], "o-", color=solid("grey"), markersize=5, linewidth=3, label=SPOTS)
    for axis, scale in ((place.xaxis, axes.x_scale), (place.yaxis, axes.y_scale)):
        if scale == "log":
            _plain_ticks(axis)
    place.set_title(_literal(axes.title), fontsize=9.5, pad=16 if any(mark.tag for mark in axes.marks) else 6)
    place.set_xlabel(_literal(axes.x_label), fontsize=9)
    place.set_ylabel(_literal(axes.y_label), fontsize=9)
    place.tick_params(labelsize=8)
    place.grid(visible=True, color=solid("grid"), linewidth=0.6)
    place.set_axisbelow(True)
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
    colour, order = solid(line.colour), np.argsort(line.x)
    x, y, low, high = (v[order] for v in (line.x, line.y, line.low, line.high))
    size = 3.0 if len(x) < 60 else 0.0
    place.plot(x, y, DASHES[line.dash], color=colour, linewidth=1.4, marker="o", markersize=size, label=_literal(line.label))
    if np.isfinite(low).any():
        place.fill_between(x, low, high, color=colour, alpha=BAND, linewidth=0)


def _plain_ticks(axis: "matplotlib.axis.Axis") -> None:
    """Round numbers in full, at most a handful: powers of ten are hard to read off an axis of less than two decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def _bars(place: "matplotlib.axes.Axes", bars: Bars) -> None:
    width = 0.85 * (np.diff(bars.x).min() if len(bars.x) > 1 else 1.0)
    spread = [bars.y - bars.low, bars.high - bars.y] if np.isfinite(bars.low).any() else None
    kept: dict[str, Any] = {"error_kw": {"elinewidth": 0.8, "ecolor": solid("ink")}, "label": _literal(bars.label)}
    place.bar(bars.x, bars.y, width, yerr=spread, color=solid(bars.colour), alpha=BAR, **kept)


def _set_range(place: "matplotlib.axes.Axes", axes: Axes) -> None:
    """Marks may lie anywhere: the range is that of the lines."""
    place.set_xlim(*place.get_xlim())
    if axes.y_range:
        place.set_ylim(*axes.y_range)


def _mark(place: "matplotlib.axes.Axes", mark: VerticalLine) -> None:
    colour = solid(mark.colour)
    label: dict[str, Any] = {"label": _literal(mark.label)}
    ends = ends_of(mark, place.get_xlim())
    if mark.x is not None:
        place.axvline(mark.x, color=colour, linestyle="--", linewidth=1.1, **label)
        if mark.tag:
            _tag(place, mark.x, mark)
        label = {}
    elif ends is None:
        place.plot([], [], " ", **label)
    if ends is not None:
        place.axvspan(*ends, color=colour, alpha=0.14, linewidth=0, **label)


def _tag(place: "matplotlib.axes.Axes", x: float, mark: VerticalLine) -> None:
    """Over the axes, turned inwards so that it stays on the page."""
    inwards = "left" if place.transAxes.inverted().transform(place.transData.transform((x, 0.0)))[0] < 0.5 else "right"
    over: dict[str, Any] = {"textcoords": "offset points", "color": solid(mark.colour), "fontsize": 8, "ha": inwards}
    place.annotate(_literal(mark.tag), (x, 1.0), (0, 3), xycoords=place.get_xaxis_transform(), **over)


def _spot(place: "matplotlib.axes.Axes", spot: Point) -> None:
    """A bar over its interval, which on an open side reaches to the end, and a dot at its place."""
    colour, ends = solid(spot.colour), ends_of(spot, place.get_xlim())
    if ends is not None:
        place.hlines(spot.y, *ends, color=colour, linewidth=3.5, alpha=0.45)
    if spot.x is not None:
        place.plot([spot.x], [spot.y], "o", color=colour, markersize=6.5, markeredgecolor="white", zorder=4)
