"""A sheet for the browser: one HTML file with plotly's library in it, nothing fetched, zoom and values under the pointer."""

from base64 import b64encode
from functools import cache
from importlib.resources import files
from math import ceil, floor, log10
from typing import Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.report.figure import COLOURS, SPOTS, Axes, Figure, ImageGrid, Line, Point, Scale, VerticalLine, number
from twinsplit.report.markup import escaped, settings
from twinsplit.report.model import FloatArray
from twinsplit.report.pictures import encoded

Json = dict[str, Any]
HEIGHT, ENTRY = 440, 20  # pixels: of the axes with their labels, and of a line of the legend below
DECADES = 3  # on a longer axis only powers of ten are labelled
CONFIG = {"responsive": True, "displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}  # nothing can be sent either
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.25rem; }} h2 {{ font-size: 1rem; margin: 1.2rem 0 0; }}
dl.settings div {{ display: flex; gap: 1rem; }} dt {{ min-width: 16rem; }} dd {{ margin: 0; }}</style>
<script>{library}</script></head><body><h1>{title}</h1>{charts}<p>{caption}</p>
<details><summary>Configuration</summary>{configuration}</details></body></html>
"""


def interactive(sheet: Figure, configuration: Json) -> str:
    """The page. InputError where plotly is not installed."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise InputError("an interactive figure needs plotly", "pip install 'twinsplit[report]'") from error
    charts = [_chart(go.Figure(data=_data(axes), layout=_layout(axes)), axes.title, i) for i, axes in enumerate(sheet.axes)]
    return PAGE.format(
        title=escaped(sheet.title),
        library=_library(),
        charts="".join([*charts, *(_plate(plate) for plate in sheet.plates)]),
        caption=escaped(sheet.caption),
        configuration=settings(configuration),
    )


def _chart(figure: Any, title: str, i: int) -> str:
    """A heading of its own does not lie under plotly's buttons."""
    chart = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"axes-{i}", config=CONFIG)
    return f"<h2>{escaped(title)}</h2>{chart}"


def _plate(plate: ImageGrid) -> str:
    png, width = encoded(plate.page)
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    rows = f"Rows from above: {'; '.join(' '.join(row.split()) for row in plate.rows)}."
    picture = f'<img src="{source}" width="{width}" style="max-width: 100%; image-rendering: pixelated" alt="{escaped(rows)}">'
    return f"<h2>{escaped(plate.title)}</h2>{picture}<p>{escaped(rows)}</p>"


@cache
def _library() -> str:
    return files("twinsplit.report").joinpath("assets/plotly-basic.min.js").read_text(encoding="utf-8")


def _data(axes: Axes) -> list[Json]:
    curves = [trace for line in axes.lines for trace in _traces(line, _floor(axes))]
    return [*curves, *_keys(axes), *(trace for i, spot in enumerate(axes.spots) for trace in _spot(spot, axes, i == 0))]


def _floor(axes: Axes) -> float:
    """Where bands end on a logarithmic axis: an interval may reach below 0, a shape there may not."""
    heights = np.concatenate([line.y for line in axes.lines])
    return float(min(heights[heights > 0], default=1.0)) / 2 if axes.y_scale == "log" else -np.inf


def _traces(line: Line, floor: float) -> list[Json]:
    """Band and curve, which the legend shows and hides together."""
    seen, name = (line.low == line.low) & (line.high == line.high), escaped(line.label)
    x, low, high = line.x[seen], np.maximum(line.low[seen], floor), line.high[seen]
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
    return {
        "xaxis": _axis(axes.x_scale, axes.x_label, [line.x for line in axes.lines], None),
        "yaxis": _axis(axes.y_scale, axes.y_label, _heights(axes), axes.y_range),
        "height": HEIGHT + ENTRY * axes.entries,
        "margin": {"t": 30, "b": 60 + ENTRY * axes.entries, "l": 60, "r": 15},
        "template": "plotly_white",
        "shapes": [shape for mark in axes.marks for shape in _shapes(mark, axes)],
        "legend": {"orientation": "v", "x": 0, "y": -60 / (HEIGHT - 90), "yanchor": "top"},
    }


def _heights(axes: Axes) -> list[FloatArray]:
    return [v[np.isfinite(v)] for line in axes.lines for v in (line.y, np.maximum(line.low, _floor(axes)), line.high)]


def _axis(scale: Scale, label: str, values: list[FloatArray], shown: tuple[float, float] | None) -> Json:
    """Numbers in full: plotly's own labels of a logarithmic axis are single digits."""
    axis: Json = {"type": scale, "title": {"text": escaped(label)}, "automargin": True}
    if scale == "log":
        ticks = round_numbers(np.concatenate(values))
        axis |= {"tickvals": ticks, "ticktext": [f"{v:,.6g}" for v in ticks]}
    elif shown:
        axis["range"] = list(shown)
    return axis


def round_numbers(values: FloatArray) -> list[float]:
    """1, 2, 5 times powers of ten, a little beyond the positive values; powers alone over many decades."""
    positive = values[values > 0]
    if not len(positive):
        return []
    first, last = floor(log10(positive.min())), ceil(log10(positive.max()))
    factors = (1, 2, 5) if last - first <= DECADES else (1,)
    return [float(f"{factor}e{power}") for power in range(first, last + 1) for factor in factors]


def _shapes(mark: VerticalLine, axes: Axes) -> list[Json]:
    """The line of a mark and its interval; an open side reaches to the end of the curves."""
    place: Json = {"yref": "paper", "y0": 0, "y1": 1}
    low, high = _interval(mark, axes)
    line = {"type": "line", "x0": mark.x, "x1": mark.x, "line": {"dash": "dash", "color": COLOURS[mark.colour]}}
    area = {"type": "rect", "x0": low, "x1": high, "fillcolor": faded(mark.colour), "line": {"width": 0}, "layer": "below"}
    return [place | line] * (mark.x is not None) + [place | area] * (mark.low is not None or mark.high is not None)


def _interval(mark: VerticalLine | Point, axes: Axes) -> tuple[float, float]:
    """Its ends; an open side reaches to the end of the curves."""
    ends = np.concatenate([line.x for line in axes.lines])
    return float(ends.min()) if mark.low is None else mark.low, float(ends.max()) if mark.high is None else mark.high


def _spot(spot: Point, axes: Axes, named: bool) -> list[Json]:
    """A bar over its interval and a dot at its place; where neither is known, nothing."""
    colour, known = COLOURS[spot.colour], spot.low is not None or spot.high is not None
    common: Json = {"type": "scatter", "legendgroup": SPOTS, "name": SPOTS, "text": escaped(spot.label), "hoverinfo": "text+x"}
    bar = {"x": list(_interval(spot, axes)), "y": [spot.y] * 2, "mode": "lines", "line": {"color": colour, "width": 5}, "opacity": 0.45}
    dot = {
        "x": [spot.x],
        "y": [spot.y],
        "mode": "markers",
        "marker": {"color": colour, "size": 10, "line": {"color": "white", "width": 1.5}},
    }
    return [common | bar | {"showlegend": False}] * known + [common | dot | {"showlegend": named}]


def _keys(axes: Axes) -> list[Json]:
    """What the shapes and rules are, in the legend, where labels cannot lie upon each other. Rules are traces from end to end."""
    ends = np.concatenate([line.x for line in axes.lines])
    marks = [{"x": [None], "y": [None], "name": escaped(mark.label), "line": _key(mark)} for mark in axes.marks]
    rules = [
        {
            "x": [float(ends.min()), float(ends.max())],
            "y": [rule.y] * 2,
            "name": escaped(rule.label),
            "line": {"dash": "dot", "color": COLOURS["grey"]},
        }
        for rule in axes.rules
    ]
    return [{"type": "scatter", "mode": "lines", "hoverinfo": "skip"} | key for key in marks + rules]


def _key(mark: VerticalLine) -> Json:
    """Dashes for a place; a broad pale line where there is only an interval."""
    if mark.x is None:
        return {"width": 10, "color": faded(mark.colour)}
    return {"dash": "dash", "color": COLOURS[mark.colour]}
