"""Axes of the charts: layouts for plotly with room for labels at any width, and ticks at round optimizer steps."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from twinsplit.report.colours import solid
from twinsplit.report.model import FloatArray, Histogram, Panel

Json = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TITLE_ROOM, GAP_PER_PANEL = 26, 24
MOST_TICKS, MOST_TICKS_NARROW = 7, 5
_STEMS = ((1, 2, 5), (1, 3), (1,))


def y_name(row: int) -> str:
    """plotly's name of the y axis of a stacked panel: "y", "y2", ..."""
    return "y" if row == 0 else f"y{row + 1}"


def y_axis(row: int) -> str:
    """The key of that axis in a layout: "yaxis", "yaxis2", ..."""
    return f"yaxis{y_name(row)[1:]}"


def step_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """From a little before the first to a little after the last positive step of these panels; (1, 10) where there are none."""
    steps = [series.steps[series.steps > 0] for panel in panels for series in panel.series]
    steps = [one for one in steps if len(one)]
    if not steps:
        return 1.0, 10.0
    low, high = min(float(one.min()) for one in steps), max(float(one.max()) for one in steps)
    room = (high / low) ** 0.015 if low < high else 2.0
    return low / room, high * room


def round_steps(x_range: tuple[float, float], most: int) -> list[int]:
    """Round numbers in the range, at most so many: 1-2-5, or 1-3, or powers of ten, or every so many powers."""
    low, high = x_range
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for stems in _STEMS:
        ticks = [int(stem * 10**decade) for decade in decades if decade >= 0 for stem in stems if low <= stem * 10**decade <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def largest(*values: FloatArray) -> float:
    """The largest finite number; 0 where there is none."""
    together = np.concatenate(values)
    return float(np.max(together, initial=0.0, where=np.isfinite(together)))


def _line_style() -> Json:
    return {"gridcolor": solid("grid"), "linecolor": solid("quiet"), "zerolinecolor": solid("grid"), "tickfont": {"size": 11.5}}


def steps(x_range: tuple[float, float]) -> Json:
    """A logarithmic axis of optimizer steps."""
    ends = [math.log10(end) for end in x_range]
    named = {**named_ticks(round_steps(x_range, MOST_TICKS)), "tickangle": 0, "title": _title("optimizer step")}
    hover = {"unifiedhovertitle": {"text": "step %{x:,.0f}"}, "hoverformat": ",.0f"}
    spike = {"spikethickness": 1, "spikecolor": solid("quiet"), "spikedash": "solid", "spikemode": "across"}
    return {"type": "log", "range": ends, "ticks": "outside", "showline": True, **named, **hover, **spike, **_line_style()}


def named_ticks(ticks: Sequence[int]) -> Json:
    """Ticks with thousands separated."""
    return {"tickvals": list(ticks), "ticktext": [f"{tick:,}" for tick in ticks]}


def _title(text: str) -> Json:
    return {"text": text, "standoff": 8, "font": {"size": 12}}


def values(panel: Panel) -> Json:
    """The y axis of a panel."""
    shown = {"range": list(panel.y_range)} if panel.y_range else {}
    return {
        "title": _title(wrapped(panel.y_label, 30)),
        "nticks": 6,
        "automargin": True,
        "separatethousands": True,
        **shown,
        **_line_style(),
    }


def wrapped(text: str, width: int) -> str:
    """Escaped, broken into lines at spaces: plotly does not wrap."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "<br>".join(plain(line) for line in lines)


def plain(text: str) -> str:
    """Text that plotly shows as it is: plotly reads a little HTML in labels."""
    return html.escape(text, quote=False)


def _base(height: int, top: int) -> Json:
    clear = "rgba(0,0,0,0)"
    font = {"family": FONT, "size": 12.5, "color": solid("ink")}
    hover = {"bgcolor": solid("card"), "bordercolor": solid("quiet"), "font": {"size": 12}}
    return {
        "height": height,
        "margin": {"l": 8, "r": 10, "t": top, "b": 44},
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "font": font,
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": hover,
        "dragmode": "zoom",
        "annotations": [],
    }


def single(panel: Panel, x_range: tuple[float, float], height: int) -> Json:
    """The layout of one panel by itself; its title is a heading of the page."""
    return {**_base(height, 12), "xaxis": steps(x_range), "yaxis": values(panel)}


def stacked(panels: Sequence[Panel], x_range: tuple[float, float], panel_height: int) -> Json:
    """Panels under one another with one x axis, a title over each, and hover that runs through all of them."""
    rows = max(len(panels), 1)
    top = TITLE_ROOM + GAP_PER_PANEL
    plotted = rows * panel_height + (rows - 1) * (top + 12)
    layout = _base(plotted + top + 44, top)
    layout |= {"xaxis": {**steps(x_range), "anchor": y_name(rows - 1)}, "hoversubplots": "axis"}
    for row, panel in enumerate(panels):
        upper = 1 - row * (panel_height + top + 12) / plotted
        domain = [max(upper - panel_height / plotted, 0.0), upper]
        layout[y_axis(row)] = {**values(panel), "domain": domain, "anchor": "x"}
        layout["annotations"].append(_title_over(panel, row))
    return layout


def _title_over(panel: Panel, row: int) -> Json:
    place = {
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": f"{y_name(row)} domain",
        "y": 1,
        "yanchor": "bottom",
        "yshift": GAP_PER_PANEL,
    }
    return {**place, "text": f"<b>{plain(panel.title)}</b>", "showarrow": False, "font": {"size": 13.5}}


def label_over(step: float, text: str, row: int, x_range: tuple[float, float]) -> Json:
    """Text over a panel at a step, turned inwards so that it stays on the chart; annotations use the logarithm of x."""
    low, here, high = (math.log10(value) for value in (x_range[0], step, x_range[1]))
    inwards = "left" if here < (low + high) / 2 else "right"
    place = {"x": here, "xref": "x", "xanchor": inwards, "y": 1, "yref": f"{y_name(row)} domain", "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "yshift": 3}


def bars(histogram: Histogram, top: float, height: int) -> Json:
    """The axes of a histogram of distances; the same top everywhere, so that histograms can be compared by eye."""
    x = {"title": _title("distance to the nearest training sequence"), "ticks": "outside", "showline": True}
    x |= {
        "showspikes": False,
        "dtick": max(1, math.ceil(len(histogram.distance) / 10)),
        "unifiedhovertitle": {"text": "distance %{x}"},
        **_line_style(),
    }
    y = {"tickformat": ".0%", "range": [0, top], "nticks": 6, "automargin": True, "rangemode": "tozero", **_line_style()}
    return {**_base(height, 12), "xaxis": x, "yaxis": y, "bargap": 0.15}
