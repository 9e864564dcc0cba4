"""The charts of the page, built with plotly and handed on as plain JSON-ready dictionaries.

All text that reaches plotly is escaped, because plotly reads a little HTML in labels. Colours are the light ones of `colours`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twinsplit.errors import InputError
from twinsplit.report import axes, marks, words
from twinsplit.report.colours import faded, series_colours, solid
from twinsplit.report.model import Decision, FloatArray, Histogram, Panel, Report, Series

Json = dict[str, Any]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
MAIN_PANEL_HEIGHT, DETAIL_HEIGHT, HISTOGRAM_HEIGHT = 250, 330, 290


@dataclass(frozen=True)
class Key:
    """An entry of a legend. shape: "line", "dots", "bar", "rule" or "area".  traces: what it shows and hides; empty: it only explains."""

    label: str
    colour: str
    shape: str
    traces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart. figure: {"data", "layout"} for plotly.js.  keys: the legend, which the page writes in HTML.  description: in words.

    narrow: what the x axis changes on a narrow screen.  zoomed: the y axes that do not show everything at first.
    """

    id: str
    figure: Json
    keys: tuple[Key, ...]
    description: str
    narrow: Json
    zoomed: tuple[str, ...]


def main_chart(report: Report) -> Chart:
    """The main panels under one another on a shared axis of optimizer steps, with both turning points and the phase between."""
    colours, panels = series_colours(report), report.main
    data, keys = _traces(panels, colours)
    x_range = axes.step_range(panels)
    layout = axes.stacked(panels, x_range, MAIN_PANEL_HEIGHT)
    layout["shapes"] = [*marks.turning_points(report.decision, x_range, len(panels)), *marks.level_lines(panels)]
    layout["annotations"] += marks.turning_labels(report.decision, x_range, len(panels))
    return Chart("chart-main", _figure(data, layout), (*keys, *_explaining_keys(report.decision)), *_reading(panels, x_range))


def detail_chart(report: Report, panel: Panel) -> Chart:
    """One further panel, with the two turning points for reference."""
    data, keys = _traces((panel,), series_colours(report))
    x_range = axes.step_range((panel,))
    layout = axes.single(panel, x_range, DETAIL_HEIGHT)
    layout["shapes"] = [*marks.turning_points(report.decision, x_range, 1), *marks.level_lines((panel,))]
    return Chart(f"chart-{report.panels.index(panel)}", _figure(data, layout), keys, *_reading((panel,), x_range))


def histogram_chart(report: Report, histogram: Histogram) -> Chart:
    """Distances of generated sequences to the nearest training sequence as bars, held-out data as a line of dots."""
    top = max((axes.largest(one.generated, one.generated_high, one.held_out) for one in report.histograms), default=1.0)
    layout = axes.bars(histogram, 1.08 * top, HISTOGRAM_HEIGHT)
    keys = (Key("generated", "green", "bar", (0,)), Key("held-out data", "ink", "dots", (1,)))
    name = f"chart-distances-{report.histograms.index(histogram)}"
    described = f"Histogram of nearest-neighbour distances {histogram.moment}, step {words.step(histogram.step)}. {histogram.note}"
    return Chart(name, _figure([_generated(histogram), _held_out(histogram)], layout), keys, described, {}, ())


def _figure(data: Sequence[Json], layout: Json) -> Json:
    """Through plotly's own validation, so that a misspelt attribute fails here and not silently in a browser."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise InputError("the report page needs plotly", "pip install 'twinsplit[report]'") from error
    figure: Json = go.Figure(data=data, layout={"template": {"data": {}}, **layout}).to_plotly_json()
    figure["layout"].pop("template")
    return figure


def _reading(panels: Sequence[Panel], x_range: tuple[float, float]) -> tuple[str, Json, tuple[str, ...]]:
    """How a line chart is described, what it changes on a narrow screen, and which of its axes are zoomed."""
    curves = "; ".join(f"{panel.title}: {', '.join(series.label for series in panel.series)}" for panel in panels)
    described = f"Line chart against the optimizer step. {curves}. The numbers are in the table below the chart."
    narrow = axes.named_ticks(axes.round_steps(x_range, axes.MOST_TICKS_NARROW))
    return described, narrow, tuple(axes.y_axis(row) for row, panel in enumerate(panels) if panel.y_range)


def finite(values: FloatArray) -> list[float | None]:
    """JSON has no NaN: a missing number is null."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _traces(panels: Sequence[Panel], colours: dict[tuple[str, str], str]) -> tuple[list[Json], tuple[Key, ...]]:
    """For each series its band and its line, and the legend entry that holds both; levels are in the legend only, where long names fit."""
    data: list[Json] = []
    keys = []
    for row, panel in enumerate(panels):
        for rank, series in enumerate(panel.series):
            colour = colours[panel.key, series.name]
            place = {"xaxis": "x", "yaxis": axes.y_name(row)}
            data += [_band(series, colour) | place, _line(series, colour, rank) | place]
            keys.append(Key(series.label, colour, "line", (len(data) - 2, len(data) - 1)))
        keys += [Key(f"{level.label}: {words.number(level.value)}", "quiet", "dots") for level in panel.levels]
    return data, tuple(keys)


def _shown(series: Series) -> Any:
    """A logarithmic axis has no place for step 0; missing values would tear a band."""
    return (series.steps > 0) & ~(series.mean != series.mean)


def _band(series: Series, colour: str) -> Json:
    shown = _shown(series) & (series.low == series.low) & (series.high == series.high)
    steps, low, high = series.steps[shown], series.low[shown], series.high[shown]
    outline = {"x": [*finite(steps), *finite(steps[::-1])], "y": [*finite(high), *finite(low[::-1])]}
    drawn = {"type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": faded(colour, 0.16), "line": {"width": 0}}
    return {**drawn, **outline, "hoverinfo": "skip", "showlegend": False, "name": axes.plain(series.label)}


def _line(series: Series, colour: str, rank: int) -> Json:
    shown = _shown(series)
    spans = [f"{words.measured(a)} to {words.measured(b)}" for a, b in zip(series.low[shown], series.high[shown], strict=True)]
    style = {"line": {"color": solid(colour), "width": 2}, "marker": {"size": 4.5, "symbol": SYMBOLS[rank % len(SYMBOLS)]}}
    points = {"x": finite(series.steps[shown]), "y": finite(series.mean[shown]), "customdata": spans}
    hover = "%{y:.4g}  (%{customdata})"
    return {"type": "scatter", "mode": "lines+markers", "name": axes.plain(series.label), "hovertemplate": hover, **points, **style}


def _generated(histogram: Histogram) -> Json:
    error = {
        "type": "data",
        "symmetric": False,
        "array": finite(histogram.generated_high - histogram.generated),
        "arrayminus": finite(histogram.generated - histogram.generated_low),
        "color": solid("ink"),
        "thickness": 1.2,
        "width": 3,
    }
    bars = {"type": "bar", "name": "generated", "x": finite(histogram.distance), "y": finite(histogram.generated), "error_y": error}
    return {**bars, "marker": {"color": faded("green", 0.55), "line": {"color": solid("green"), "width": 1}}, "hovertemplate": "%{y:.1%}"}


def _held_out(histogram: Histogram) -> Json:
    points = {"type": "scatter", "name": "held-out data", "x": finite(histogram.distance), "y": finite(histogram.held_out)}
    style = {"mode": "lines+markers", "line": {"color": solid("ink"), "width": 1.4, "dash": "dot"}, "marker": {"size": 6}}
    return {**points, **style, "hovertemplate": "%{y:.1%}"}


def _explaining_keys(decision: Decision) -> tuple[Key, ...]:
    """What the rules and areas are; these entries hide nothing."""
    interval = f"{words.percent(decision.level)} interval"
    rules = [Key(f"{mark.name}, {interval}", mark.colour, "rule") for mark in marks.turns(decision) if mark.drawn]
    return (*rules, *(Key("biased phase", "phase", "area") for _ in marks.biased_phase(decision)))
