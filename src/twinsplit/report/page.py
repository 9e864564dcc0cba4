"""Pages as one HTML file each: nothing is fetched, nothing is sent, and the words can be read without scripts.

`render` makes the report of a run, `interactive` a published figure for the browser. Both come from the templates
beside this module, which escape every text that they are given.
"""

import json
import math
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from twinsplit.onset.decision import Onset
from twinsplit.report import words
from twinsplit.report.colours import LIGHT_DARK, dark_by_light
from twinsplit.report.figure import Axes, Bars, Figure, ImageGrid, Line
from twinsplit.report.marks import marked
from twinsplit.report.model import Report
from twinsplit.report.pictures import encoded
from twinsplit.report.plotly_axes import ALONE
from twinsplit.report.render_plotly import Chart, chart

FIGURE_HEIGHT = 430
TONES = {"bias_precedes_test_minimum": "alarm", "no_bias_before_test_minimum": "calm", "not_enough_power": "open"}
Json = dict[str, Any]


def render(report: Report) -> str:
    """The report of a run, about 1.3 MB, most of which is the charting library. InputError where plotly is not installed."""
    shown = marked(report)
    main = chart("chart-main", shown.main, ALONE) if shown.main else None
    details = [(axes, chart(f"chart-{i}", (axes,), ALONE)) for i, axes in enumerate(shown.details)]
    distances = [(axes, chart(f"chart-distances-{i}", (axes,), ALONE)) for i, axes in enumerate(shown.distances)]
    charts = [*([main] if main else []), *(one for _, one in (*details, *distances))]
    content: Json = {
        "report": shown,
        "tone": TONES[report.onset.verdict],
        "caption": words.explain(report),
        "facts": _facts(report.onset),
        "numbers": _numbers(report),
    }
    return _page("report.html.j2", charts, content | {"main": main, "details": details, "distances": distances})


def interactive(figure: Figure, configuration: Mapping[str, Any]) -> str:
    """A figure for the browser, with zoom and values under the pointer. InputError where plotly is not installed."""
    drawn = [(axes, chart(f"axes-{i}", (axes,), FIGURE_HEIGHT)) for i, axes in enumerate(figure.axes)]
    return _page("figure.html.j2", [one for _, one in drawn], {"figure": figure, "drawn": drawn, "configuration": configuration})


def _page(template: str, charts: list[Chart], content: Json) -> str:
    library, script = _asset("assets/plotly-basic.min.js"), _asset("templates/report.js")
    drawn = [{"id": one.id, "figure": one.figure, "narrow": one.narrow, "zoomed": one.zoomed} for one in charts]
    common = {"policy": _policy(library, script), "variables": _variables(), "style": Markup(_asset("templates/style.css"))}
    embedded_in_page = {"charts": drawn, "theme": dark_by_light(), "library": Markup(library), "script": Markup(script)}
    return _templates().get_template(template).render(common | embedded_in_page | content)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("twinsplit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {"embedded": embedded, "closed": closed, "flattened": flattened, "told": told, "picture": picture, "table": table_of}
    return found


@cache
def _asset(name: str) -> str:
    return files("twinsplit.report").joinpath(name).read_text(encoding="utf-8")


def _variables() -> list[Markup]:
    """CSS custom properties of all colours, light and dark."""
    return [Markup(" ".join(f"--{name}: {pair[variant]};" for name, pair in LIGHT_DARK.items())) for variant in (0, 1)]


def _policy(*scripts: str) -> Markup:
    """A content security policy: no network at all, and no script but these, whatever the data may contain."""
    allowed = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    sources = f"script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    return Markup(f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'")


def _facts(onset: Onset) -> list[tuple[str, str, str, str]]:
    """Kind, name, value and its interval of the numbers that decide."""
    level, minimum = words.percent(onset.level), onset.test_loss_minimum
    turns = (("onset", "Disagreement turns upward (onset)", onset.onset), ("minimum", "Test loss is lowest", minimum))
    facts = [
        (
            kind,
            name,
            "not reached" if turn.step is None else f"step {words.step(turn.step)}",
            f"{level} interval: {words.interval(turn.interval)}",
        )
        for kind, name, turn in turns
    ]
    if onset.rise.until <= (onset.onset.step or 0):
        return facts  # the test loss is lowest before the onset: there is nothing in between
    low, high = ("open" if bound is None else f"{words.rounded(100 * bound)}%" for bound in onset.rise.interval)
    name = f"Disagreement rises {'in between' if minimum.reached else 'up to the last step'} by"
    return [
        *facts,
        ("rise", name, f"{words.rounded(100 * onset.rise.growth)}%", f"of its value at the onset; {level} interval: {low} to {high}"),
    ]


def table_of(axes: Axes) -> tuple[str, list[str], list[list[str]]]:
    """Caption, header and rows of the numbers in a chart."""
    cells = [dict(zip(curve.x.tolist(), _cells(curve), strict=True)) for curve in axes.curves]
    rows = [[words.position(at), *(column.get(at, "–") for column in cells)] for at in sorted({at for column in cells for at in column})]
    bands = "; ".join(dict.fromkeys(curve.band for curve in axes.curves if curve.band))
    header = [axes.x_label, *(f"{curve.label} ({axes.y_label})" for curve in axes.curves)]
    return f"{axes.title}: {'mean (low–high). Band: ' + bands if bands else 'mean'}.", header, rows


def _cells(curve: Line | Bars) -> list[str]:
    values = zip(curve.y, curve.low, curve.high, strict=True)
    return [
        words.measured(y) + (f" ({words.measured(low)}–{words.measured(high)})" if math.isfinite(low + high) else "")
        for y, low, high in values
    ]


def picture(grid: ImageGrid) -> str:
    """A grid of pictures as a data URI."""
    return f"data:image/png;base64,{b64encode(encoded(grid.page)).decode()}"


def closed(text: str) -> str:
    """Text whose marks of writing direction all end within it: an open one would swallow the end of the <bdi> around it."""
    ends: list[str] = []
    for character in text:
        if character in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068":
            ends.append("\u2069" if character in "\u2066\u2067\u2068" else "\u202c")
        elif character in ends and (character == "\u2069" or ends[-1] == character):
            del ends[len(ends) - 1 - ends[::-1].index(character) :]
    return text + "".join(reversed(ends))


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("network.width", 64), ... from nested mappings; an empty one stands for itself."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{name}.")
        else:
            yield name, value


def told(value: Any) -> str:
    """A setting as a reader writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(told(one) for one in value)
    return str(value)


def embedded(value: Any) -> Markup:
    """JSON that may stand inside a script element: no "<" is left in it, so nothing can end the element."""
    return Markup(json.dumps(_clean(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _clean(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null, arrays lists, anything unknown its text."""
    if isinstance(value, Mapping):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _clean(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _numbers(report: Report) -> Json:
    """What the download buttons give: everything that is plotted or said, and what made it."""
    everything = (*report.panels, *report.distances)
    return {
        "title": report.title,
        "created": report.created,
        "command": report.command,
        "decision": report.onset.to_json() | {"checkpoint": report.checkpoint},
        "series": [_curve(curve, axes) for axes in everything for curve in axes.curves],
        "configuration": report.configuration,
        "data": report.data,
        "environment": report.environment,
    }


def _curve(curve: Line | Bars, axes: Axes) -> Json:
    named = {"panel": axes.key or axes.title, "name": curve.name or curve.label, "label": curve.label, "x_name": axes.x_label}
    return named | {"x": curve.x, "mean": curve.y, "low": curve.low, "high": curve.high, "unit": axes.y_label, "band": curve.band}
