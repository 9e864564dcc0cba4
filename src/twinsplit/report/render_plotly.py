"""Axes for the browser, with plotly: figures as JSON-ready dictionaries that plotly.js draws.

Every text that reaches plotly is escaped, because plotly reads a little HTML in labels. Colours are the light
variants of `colours`. Legends are left to the page, which writes them in HTML (`Key`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.report import words
from twinsplit.report.colours import BAR, faded, solid
from twinsplit.report.figure import SPOTS, Axes, Bars, FloatArray, HorizontalLine, Line, Point, Scale, VerticalLine, ends_of, floor
from twinsplit.report.plotly_axes import ends_on, layout_of, plain, ticks, x_range_of, y_key, y_name

Json = dict[str, Any]
SHAPES = {"solid": "line", "dash": "dashes", "dot": "dots"}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
NARROW_DECADES = 2.6  # on a longer logarithmic axis of a narrow screen only powers of ten are labelled


@dataclass(frozen=True)
class Key:
    """An entry of a legend. shape: "line", "dashes", "dots", "bar", "rule", "area" or "".

    traces: what it shows and hides; without any it only explains.
    """

    label: str
    colour: str
    shape: str
    traces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart. figure: {"data", "layout"} for plotly.js.  keys: its legend.  description: in words.

    narrow: what the x axis changes on a narrow screen.  zoomed: the y axes that do not show everything at first.
    """

    id: str
    figure: Json
    keys: tuple[Key, ...]
    description: str
    narrow: Json
    zoomed: tuple[str, ...]


def chart(name: str, panels: Sequence[Axes], height: int) -> Chart:
    """Draw one axes, or several under one another on the x axis of the last one. height: pixels, if it is one.

    Raises InputError where plotly is not installed.
    """
    x_range = x_range_of(panels)
    layout = layout_of(panels, x_range, height)
    data: list[Json] = []
    keys: dict[Key, None] = {}  # what is on several axes is explained once
    for row, axes in enumerate(panels):
        for traces, key in _drawn(axes, x_range):
            keys[Key(*key, tuple(range(len(data), len(data) + len(traces))))] = None
            data += [trace | {"xaxis": "x", "yaxis": y_name(row)} for trace in traces]
        keys |= {Key(rule.label, "quiet", "dots"): None for rule in axes.rules}
    for row, axes in enumerate(panels):
        keys |= {Key(mark.label, mark.colour, _shape_of(mark)): None for mark in axes.marks if mark.label}
        layout["shapes"] += [shape for mark in axes.marks for shape in _across(mark, x_range, row)]
        layout["shapes"] += [_level(rule, row) for rule in axes.rules]
        layout["annotations"] += [_tag(mark, row, panels[-1].x_scale, x_range) for mark in axes.marks if mark.tag and mark.x is not None]
    curves = "; ".join(f"{axes.title}: {', '.join(curve.label for curve in axes.curves)}" for axes in panels)
    kind = "Histogram" if panels[-1].bars else "Line chart"
    narrow = ticks(panels[-1].x_scale, x_range, NARROW_DECADES) | {"tickfont": {"size": 10}}
    zoomed = tuple(y_key(row) for row, axes in enumerate(panels) if _hides(axes))
    return Chart(name, _checked(data, layout), tuple(keys), f"{kind} against the {panels[-1].x_label}. {curves}.", narrow, zoomed)


def _checked(data: list[Json], layout: Json) -> Json:
    """Through plotly's own validation, so that a misspelt attribute fails here and not silently in a browser."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise InputError("a page with charts needs plotly", "pip install 'twinsplit[report]'") from error
    figure: Json = go.Figure(data=data, layout={"template": {"data": {}}, **layout}).to_plotly_json()
    figure["layout"].pop("template")
    return figure


def _tag(mark: VerticalLine, row: int, scale: Scale, x_range: tuple[float, float]) -> Json:
    """Text over the axes at a mark, turned inwards so that it stays on the chart."""
    assert mark.x is not None
    low, here, high = ends_on(scale, (x_range[0], mark.x, x_range[1]))
    place = {"x": here, "xref": "x", "xanchor": "left" if here < (low + high) / 2 else "right", "y": 1, "yref": f"{y_name(row)} domain"}
    return {
        **place,
        "yanchor": "bottom",
        "yshift": 3,
        "text": plain(mark.tag),
        "showarrow": False,
        "font": {"color": solid(mark.colour), "size": 12},
    }


def _hides(axes: Axes) -> bool:
    """Whether something lies outside the range that is shown at first."""
    low, high = axes.y_range or (-np.inf, np.inf)
    return any(bool((values < low).any() or (values > high).any()) for curve in axes.curves for values in (curve.y, curve.low, curve.high))


def _finite(values: FloatArray) -> list[float | None]:
    """JSON has no NaN: a missing number is null."""
    return [float(f"{value:.6g}") if isfinite(value) else None for value in values]


def _drawn(axes: Axes, x_range: tuple[float, float]) -> Iterator[tuple[list[Json], tuple[str, str, str]]]:
    """For each curve its traces, and label, colour and shape of its entry in the legend; all spots of the axes share one."""
    for bars in axes.bars:
        yield [_bars(bars, axes)], (bars.label, bars.colour, "bar")
    for rank, line in enumerate(axes.lines):
        yield [_band(line, axes), _line(line, axes, rank)], (line.label, line.colour, SHAPES[line.dash])
    spots = [trace for spot in axes.spots for trace in _spot(spot, x_range)]
    if spots:
        yield spots, (SPOTS, "grey", "line")


def _shown(curve: Line, axes: Axes) -> Any:
    """A logarithmic axis has no place for x = 0."""
    return curve.x > 0 if axes.x_scale == "log" else np.ones(len(curve.x), bool)


def _band(line: Line, axes: Axes) -> Json:
    """The area between low and high, which missing values would tear."""
    shown = _shown(line, axes) & np.isfinite(line.y) & np.isfinite(line.low) & np.isfinite(line.high)
    x, low, high = line.x[shown], np.maximum(line.low[shown], floor(axes)), line.high[shown]
    outline = {"x": [*_finite(x), *_finite(x[::-1])], "y": [*_finite(high), *_finite(low[::-1])]}
    drawn = {"type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": faded(line.colour), "line": {"width": 0}}
    return {**drawn, **outline, "hoverinfo": "skip", "name": plain(line.label)}


def _line(line: Line, axes: Axes, rank: int) -> Json:
    shown = _shown(line, axes)
    style = {"line": {"color": solid(line.colour), "width": 2, "dash": line.dash}}
    style |= {"marker": {"size": 4.5, "symbol": SYMBOLS[rank % len(SYMBOLS)]}}
    points = {"x": _finite(line.x[shown]), "y": _finite(line.y[shown])}
    hover: Json = {"hovertemplate": _hover(axes)}
    if np.isfinite(line.low).any():
        spans = zip(line.low[shown], line.high[shown], strict=True)
        hover = {
            "hovertemplate": _hover(axes) + "  (%{customdata})",
            "customdata": [f"{words.measured(a)} to {words.measured(b)}" for a, b in spans],
        }
    return {"type": "scatter", "mode": "lines+markers", "name": plain(line.label), **hover, **points, **style}


def _hover(axes: Axes) -> str:
    return "%{y:.1%}" if axes.y_percent else "%{y:.4g}"


def _bars(bars: Bars, axes: Axes) -> Json:
    above, below = _finite(bars.high - bars.y), _finite(bars.y - bars.low)
    error = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": solid("ink"), "thickness": 1.2, "width": 3}
    filled = {"color": faded(bars.colour, BAR), "line": {"color": solid(bars.colour), "width": 1}}
    drawn = {"type": "bar", "name": plain(bars.label), "x": _finite(bars.x), "y": _finite(bars.y)}
    return {**drawn, "hovertemplate": _hover(axes), "marker": filled, **({"error_y": error} if np.isfinite(bars.low).any() else {})}


def _spot(spot: Point, x_range: tuple[float, float]) -> list[Json]:
    """A bar over its interval and a dot at its place; where neither is known, nothing."""
    common: Json = {"type": "scatter", "name": plain(spot.label), "hovertemplate": "%{x:,~r}"}
    colour, ends = solid(spot.colour), ends_of(spot, x_range)
    bar = {"x": list(ends or ()), "y": [spot.y] * 2, "mode": "lines", "line": {"color": colour, "width": 5}, "opacity": 0.45}
    edge = {"color": solid("card"), "width": 1.5}
    dot = {"x": [spot.x], "y": [spot.y], "mode": "markers", "marker": {"color": colour, "size": 10, "line": edge}}
    return [common | bar] * (ends is not None) + [common | dot] * (spot.x is not None)


def _shape_of(mark: VerticalLine) -> str:
    """How the legend shows a mark: a line in its interval, an interval alone, or nothing."""
    if mark.x is not None:
        return "rule"
    return "" if (mark.low, mark.high) == (None, None) else "area"


def _across(mark: VerticalLine, x_range: tuple[float, float], row: int) -> Iterator[Json]:
    """The interval of a mark and its line, over the height of the axes."""
    place: Json = {"yref": f"{y_name(row)} domain", "y0": 0, "y1": 1}
    ends = ends_of(mark, x_range)
    if ends is not None:
        area = {"type": "rect", "x0": ends[0], "x1": ends[1], "fillcolor": faded(mark.colour), "line": {"width": 0}, "layer": "below"}
        yield place | area
    if mark.x is not None:
        line = {"color": solid(mark.colour), "width": 1.6, "dash": "dash"}
        yield place | {"type": "line", "x0": mark.x, "x1": mark.x, "line": line, "layer": "above"}


def _level(rule: HorizontalLine, row: int) -> Json:
    style = {"line": {"color": solid("quiet"), "width": 1, "dash": "dot"}, "layer": "below"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": y_name(row), "y0": rule.y, "y1": rule.y, **style}
