"""Layouts of charts for plotly: heights, room for labels at any width, and axes with plotly's own ticks."""

import html
from collections.abc import Sequence
from math import ceil, log10
from typing import Any

import numpy as np

from twinsplit.report.colours import solid
from twinsplit.report.figure import Axes, Scale, floor, reach

Json = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ALONE, STACKED = 330, 250  # pixels: height of a chart by itself, and of each plot of a stack
OVER, BELOW, BETWEEN = 50, 44, 12  # pixels: title and tags over a stacked plot, the x axis below the last, and the gap between two
DECADES, WIDE_DECADES = 3.0, 4.5  # on a longer logarithmic axis only powers of ten are labelled; stacked axes have all the width


def plain(text: str) -> str:
    """Text that plotly shows as it is."""
    return html.escape(text, quote=False)


def y_name(row: int) -> str:
    """plotly's name of the y axis of a row: "y", "y2", ..."""
    return "y" if row == 0 else f"y{row + 1}"


def y_key(row: int) -> str:
    """The key of that axis in a layout: "yaxis", "yaxis2", ..."""
    return f"yaxis{y_name(row)[1:]}"


def x_range_of(panels: Sequence[Axes]) -> tuple[float, float]:
    """From a little before the first x to a little after the last."""
    low, high = reach(panels)
    if panels[-1].x_scale == "log":
        room = (high / low) ** 0.015 if low < high else 2.0
        return low / room, high * room
    bars = [np.diff(bars.x).min() / 2 for axes in panels for bars in axes.bars if len(bars.x) > 1]
    pad = max([0.015 * (high - low), *bars]) or 0.5
    return low - pad, high + pad


def _base() -> Json:
    clear = "rgba(0,0,0,0)"
    hover = {"bgcolor": solid("card"), "bordercolor": solid("quiet"), "font": {"size": 12}}
    font = {"family": FONT, "size": 12.5, "color": solid("ink")}
    common: Json = {"paper_bgcolor": clear, "plot_bgcolor": clear, "font": font, "hoverlabel": hover, "bargap": 0.15, "shapes": []}
    return {**common, "showlegend": False, "hovermode": "x unified", "dragmode": "zoom", "annotations": []}


def layout_of(panels: Sequence[Axes], x_range: tuple[float, float], height: int) -> Json:
    """Heights, margins and axes. Axes by themselves have a heading of the page; stacked ones have their titles on the chart."""
    stacked, rows = len(panels) > 1, len(panels)
    tagged = stacked or any(mark.tag for axes in panels for mark in axes.marks)
    top = OVER if stacked else 28 if tagged else 12
    plot = STACKED if stacked else height - 12 - BELOW
    whole = rows * plot + (rows - 1) * (OVER + BETWEEN)
    layout: Json = _base() | {"height": whole + top + BELOW, "margin": {"l": 8, "r": 10, "t": top, "b": BELOW}}
    layout["xaxis"] = _x_axis(panels[-1], x_range, WIDE_DECADES if stacked else DECADES) | {"anchor": y_name(rows - 1)}
    if stacked:
        layout |= {"hoversubplots": "axis", "annotations": [_title_over(axes, row) for row, axes in enumerate(panels)]}
    for row, axes in enumerate(panels):
        upper = 1 - row * (plot + OVER + BETWEEN) / whole
        layout[y_key(row)] = _y_axis(axes) | {"domain": [max(upper - plot / whole, 0.0), upper], "anchor": "x"}
    return layout


def _x_axis(axes: Axes, x_range: tuple[float, float], decades: float) -> Json:
    spike = {"spikethickness": 1, "spikecolor": solid("quiet"), "spikedash": "solid", "spikemode": "across", "showspikes": not axes.bars}
    hover = {"unifiedhovertitle": {"text": f"{plain(axes.x_label)} %{{x:,~r}}"}, "hoverformat": ",~r"}
    whole = {"dtick": max(1, ceil((x_range[1] - x_range[0]) / 10))} if axes.bars else {}
    shown = {"type": axes.x_scale, "range": ends_on(axes.x_scale, x_range), "ticks": "outside", "showline": True, "tickangle": 0}
    shown["separatethousands"] = True
    return shown | ticks(axes.x_scale, x_range, decades) | whole | {"title": _title(plain(axes.x_label))} | hover | spike | _style()


def _y_axis(axes: Axes) -> Json:
    """On a logarithmic axis the range is that of the curves, because the ticks depend on it."""
    shown: Json = {"type": axes.y_scale, "nticks": 6, "automargin": True, "separatethousands": True}
    if axes.y_range:
        shown["range"] = ends_on(axes.y_scale, axes.y_range)
    if axes.y_scale == "log" and axes.curves:
        heights = np.concatenate([v for curve in axes.curves for v in (curve.y, np.maximum(curve.low, floor(axes)), curve.high)])
        heights = heights[np.isfinite(heights) & (heights > 0)]
        if len(heights):
            shown |= ticks("log", (float(heights.min()), float(heights.max())), DECADES)
    if axes.y_percent:
        shown |= {"tickformat": ".0%", "rangemode": "tozero"}
    return shown | {"title": _title(_wrapped(axes.y_label, 30))} | _style()


def ends_on(scale: Scale, ends: Sequence[float]) -> list[float]:
    """A range as plotly wants it: of logarithms on a logarithmic axis."""
    return [log10(end) for end in ends] if scale == "log" else list(ends)


def ticks(scale: Scale, ends: tuple[float, float], most: float) -> Json:
    """Numbers in full at 1, 2, 5 times powers of ten, or at powers alone; within less than a decade where plotly finds them round."""
    if scale == "linear":
        return {}
    decades = log10(ends[1] / ends[0])
    if decades < 1:
        return {"tickformat": ",~r", "nticks": 6}
    return {"tickformat": ",~r", "dtick": "D2" if decades <= most else max(1, ceil(decades / (2 * most)))}


def _style() -> Json:
    return {"gridcolor": solid("grid"), "linecolor": solid("quiet"), "zerolinecolor": solid("grid"), "tickfont": {"size": 11.5}}


def _title(text: str) -> Json:
    return {"text": text, "standoff": 8, "font": {"size": 12}}


def _wrapped(text: str, width: int) -> str:
    """Escaped, broken into lines at spaces: plotly does not wrap."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "<br>".join(plain(line) for line in lines)


def _title_over(axes: Axes, row: int) -> Json:
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": f"{y_name(row)} domain", "y": 1, "yanchor": "bottom", "yshift": 24}
    return {**place, "text": f"<b>{plain(axes.title)}</b>", "showarrow": False, "font": {"size": 13.5}}
