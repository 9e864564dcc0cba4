"""A sheet for the browser: one HTML file with plotly's library in it, nothing fetched, zoom and values under the pointer."""

from functools import cache
from importlib.resources import files
from typing import Any

from twinsplit.errors import InputError
from twinsplit.report.markup import escaped, settings
from twinsplit.report.sheets import COLOURS, Axes, Line, Mark, Sheet, number

Json = dict[str, Any]
HEIGHT = 380
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.25rem; }} dl.settings div {{ display: flex; gap: 1rem; }} dt {{ min-width: 16rem; }} dd {{ margin: 0; }}</style>
<script>{library}</script></head><body><h1>{title}</h1>{charts}<p>{caption}</p>
<details><summary>Configuration</summary>{configuration}</details></body></html>
"""


def interactive(sheet: Sheet, configuration: Json) -> str:
    """The page. InputError where plotly is not installed."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise InputError("an interactive figure needs plotly", "pip install 'twinsplit[report]'") from error
    charts = [
        go.Figure(data=_data(axes), layout=_layout(axes)).to_html(full_html=False, include_plotlyjs=False, div_id=f"axes-{i}")
        for i, axes in enumerate(sheet.axes)
    ]
    return PAGE.format(
        title=escaped(sheet.title),
        library=_library(),
        charts="".join(charts),
        caption=escaped(sheet.caption),
        configuration=settings(configuration),
    )


@cache
def _library() -> str:
    return files("twinsplit.report").joinpath("assets/plotly-basic.min.js").read_text(encoding="utf-8")


def _data(axes: Axes) -> list[Json]:
    return [trace for line in axes.lines for trace in _traces(line)]


def _traces(line: Line) -> list[Json]:
    """Band and curve, which the legend shows and hides together."""
    seen, name = (line.low == line.low) & (line.high == line.high), escaped(line.label)
    x, low, high = line.x[seen], line.low[seen], line.high[seen]
    group = {"type": "scatter", "legendgroup": name, "name": name}
    outline = {"x": [*x.tolist(), *x[::-1].tolist()], "y": [*high.tolist(), *low[::-1].tolist()]}
    band = {"mode": "lines", "fill": "toself", "fillcolor": faded(line.colour), "line": {"width": 0}}
    drawn = {"mode": "lines+markers", "line": {"color": COLOURS[line.colour], "dash": line.dash}, "marker": {"size": 5}}
    points = {"x": line.x.tolist(), "y": [number(v) for v in line.y.tolist()]}
    return [group | outline | band | {"hoverinfo": "skip", "showlegend": False}, group | points | drawn]


def faded(colour: str) -> str:
    """A colour of `sheets` at one sixth of its strength, as CSS."""
    red, green, blue = (int(COLOURS[colour][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def _layout(axes: Axes) -> Json:
    y_axis: Json = {"type": axes.y_scale, "title": {"text": escaped(axes.y_label)}}
    if axes.y_range and axes.y_scale == "linear":
        y_axis["range"] = list(axes.y_range)
    rules = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": rule.y, "y1": rule.y, "line": {"dash": "dot", "color": COLOURS["grey"]}}
        for rule in axes.rules
    ]
    return {
        "title": {"text": escaped(axes.title)},
        "xaxis": {"type": axes.x_scale, "title": {"text": escaped(axes.x_label)}},
        "yaxis": y_axis,
        "height": HEIGHT,
        "template": "plotly_white",
        "shapes": rules + [shape for mark in axes.marks for shape in _shapes(mark)],
        "annotations": [_annotation(mark, axes) for mark in axes.marks if mark.x is not None],
    }


def _shapes(mark: Mark) -> list[Json]:
    place: Json = {"yref": "paper", "y0": 0, "y1": 1}
    line = {"type": "line", "x0": mark.x, "x1": mark.x, "line": {"dash": "dash", "color": COLOURS[mark.colour]}}
    area = {"type": "rect", "x0": mark.low, "x1": mark.high, "fillcolor": faded(mark.colour), "line": {"width": 0}, "layer": "below"}
    drawn = [line] if mark.x is not None else []
    return [place | shape for shape in (drawn + ([area] if mark.low is not None and mark.high is not None else []))]


def _annotation(mark: Mark, axes: Axes) -> Json:
    """Annotations on a logarithmic axis are placed by the exponent."""
    from math import log10

    assert mark.x is not None
    at = log10(mark.x) if axes.x_scale == "log" else mark.x
    return {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "text": escaped(mark.label), "showarrow": False, "font": {"size": 11}}
