"""The report as one HTML file: nothing is fetched, nothing is sent, and the words can be read without scripts."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from string import Template

from twinsplit.report import words
from twinsplit.report.charts import Chart, Key, detail_chart, histogram_chart, main_chart
from twinsplit.report.colours import dark_by_light, style_variables
from twinsplit.report.markup import embedded, escaped, folded, paragraphs, settings, table
from twinsplit.report.model import Decision, Definition, Gallery, Histogram, Panel, Report, Series

BADGES = {"bias_precedes_test_minimum": "alarm", "no_bias_before_test_minimum": "calm", "not_enough_power": "open"}


def render(report: Report) -> str:
    """The whole page, about 1.3 MB, most of which is the charting library.

    Raises InputError where plotly is not installed.
    """
    main = main_chart(report) if report.main else None
    details = [(panel, detail_chart(report, panel)) for panel in report.details]
    distances = [(histogram, histogram_chart(report, histogram)) for histogram in report.histograms]
    charts = [*([main] if main else []), *(chart for _, chart in details), *(chart for _, chart in distances)]
    library, script = _asset("assets/plotly-basic.min.js"), _asset("report.js")
    return Template(_asset("template.html")).substitute(
        policy=_policy(library, script),
        title=escaped(report.title),
        subtitle=escaped(report.subtitle),
        created=escaped(report.created),
        style=_style(),
        verdict=_verdict(report),
        main=_main(report, main) if main else "",
        caveats=_caveats(report.caveats),
        details=_section("curves", "More along training", _CURVES, [_detail(*one) for one in details]),
        distances=_section("distances", "How close samples come to training data", _DISTANCES, [_distance(*one) for one in distances]),
        galleries=_section("samples", "What the twins draw", _SAMPLES, [_gallery(one) for one in report.galleries]),
        definitions="".join(_definition(definition) for definition in report.definitions),
        configuration=settings(report.configuration),
        data=settings(report.data),
        environment=settings(report.environment),
        command=escaped(report.command),
        charts=embedded([{"id": chart.id, "figure": chart.figure, "narrow": chart.narrow, "zoomed": chart.zoomed} for chart in charts]),
        numbers=embedded(_numbers(report)),
        theme=embedded(dark_by_light()),
        library=library,
        script=script,
    )


_CURVES = "The dashed lines and shaded phase are those of the chart at the top."
_DISTANCES = (
    "Bars: sequences the models generate. Dotted line: held-out data, which no model has seen. "
    "Where the bars stand to the left of the line, samples lie closer to training data than unseen data do."
)

_SAMPLES = "Both twins start from the same noise and meet the same noise at every step: what differs is due to their data and their seeds."


@cache
def _asset(name: str) -> str:
    return files("twinsplit.report").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    light, dark = style_variables(0), style_variables(1)
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{_asset('style.css')}"


def _policy(*scripts: str) -> str:
    """A content security policy: no network at all, and no script but these, whatever the data may contain."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def _verdict(report: Report) -> str:
    caption, decision = words.explain(report), report.decision
    return (
        f'<p class="badge">{escaped(caption.badge)}</p><h2 id="verdict-title">{escaped(caption.headline)}{_aside(caption.aside)}</h2>'
        f'<p class="lead">{escaped(caption.lead)}</p>{_facts(decision)}'
        f'<p class="reason"><strong>Why:</strong> {escaped(decision.reason)}</p>'
        f'<h3>What to do</h3><ul class="advice">{_checkpoint(decision)}{paragraphs(caption.advice)}</ul>'
    ).join((f'<section id="verdict" class="card {BADGES[decision.verdict]}" aria-labelledby="verdict-title">', "</section>"))


def _aside(text: str) -> str:
    return f" <span>{escaped(text)}</span>" if text else ""


def _checkpoint(decision: Decision) -> str:
    if decision.checkpoint is None:
        return ""
    return f"<li>Use this checkpoint of the run: <code>{escaped(decision.checkpoint)}</code></li>"


def _facts(decision: Decision) -> str:
    level = words.percent(decision.level)
    reached = [
        ("onset", "Disagreement turns upward (onset)", decision.onset_step, decision.onset_interval),
        ("minimum", "Test loss is lowest", decision.test_loss_minimum_step, decision.test_loss_minimum_interval),
    ]
    facts = [
        (kind, name, "not reached" if at is None else f"step {words.step(at)}", f"{level} interval: {words.interval(ends)}")
        for kind, name, at, ends in reached
    ]
    if decision.rise is not None:
        spread = f"{decision.rise_unit}; {level} interval: {words.interval(decision.rise_interval, words.rounded)}"
        facts.append(("rise", "Disagreement rises in between by", words.rounded(decision.rise), spread))
    return f'<dl class="facts">{"".join(_fact(*fact) for fact in facts)}</dl>'


def _fact(kind: str, name: str, value: str, more: str) -> str:
    return f'<div class="{kind}"><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd><dd class="more">{escaped(more)}</dd></div>'


def _main(report: Report, chart: Chart) -> str:
    notes = "".join(f"<p><strong>{escaped(panel.title)}.</strong> {escaped(panel.note)}</p>" for panel in report.main)
    numbers = "".join(_panel_table(panel) for panel in report.main)
    return f'<figure class="card wide">{_drawing(chart)}<figcaption>{notes}</figcaption>{_numbers_of(chart, numbers)}</figure>'


def _numbers_of(chart: Chart, tables: str) -> str:
    save = f'<button type="button" class="save" data-save="{escaped(chart.id)}" hidden>Save this chart as SVG</button>'
    return folded("The numbers in this chart", tables + save)


def _detail(panel: Panel, chart: Chart) -> str:
    note = f"<figcaption>{escaped(panel.note)}</figcaption>"
    return f'<figure class="card"><h3>{escaped(panel.title)}</h3>{_drawing(chart)}{note}{_numbers_of(chart, _panel_table(panel))}</figure>'


def _distance(histogram: Histogram, chart: Chart) -> str:
    title = f"<h3>{escaped(histogram.moment[:1].upper() + histogram.moment[1:])}: step {words.step(histogram.step)}</h3>"
    note = f"<figcaption>{escaped(histogram.note)} {histogram.samples:,} generated sequences.</figcaption>"
    return f'<figure class="card">{title}{_drawing(chart)}{note}{_numbers_of(chart, _histogram_table(histogram))}</figure>'


def _gallery(gallery: Gallery) -> str:
    source = f"data:image/png;base64,{base64.b64encode(gallery.png).decode()}"
    picture = f'<img class="pictures" src="{source}" alt="{escaped(gallery.note)}" width="{gallery.width}">'
    return f'<figure class="card"><h3>{escaped(gallery.title)}</h3>{picture}<figcaption>{escaped(gallery.note)}</figcaption></figure>'


_MISSING = "<noscript><p class='missing'>The chart needs JavaScript; its numbers are in the table below.</p></noscript>"
_FULL_RANGE = '<li><button type="button" class="full" aria-pressed="false" hidden>show full range</button></li>'


def _drawing(chart: Chart) -> str:
    """The place where the chart is drawn, with its legend: buttons, so that it works by keyboard and folds on a narrow screen."""
    keys = "".join(_key(key) for key in chart.keys) + (_FULL_RANGE if chart.zoomed else "")
    name, height = escaped(chart.id), chart.figure["layout"]["height"]
    place = f'<div class="chart" id="{name}" role="img" aria-label="{escaped(chart.description)}" style="height:{height}px"></div>'
    return f'{place}{_MISSING}<ul class="keys" aria-label="Legend" data-chart="{name}">{keys}</ul>'


def _key(key: Key) -> str:
    label = f'<span class="swatch {key.shape}" style="--colour:var(--{key.colour})"></span>{escaped(key.label)}'
    if not key.traces:
        return f"<li><span>{label}</span></li>"
    traces = ",".join(str(trace) for trace in key.traces)
    return f'<li><button type="button" aria-pressed="true" data-traces="{traces}">{label}</button></li>'


def _panel_table(panel: Panel) -> str:
    cells = [dict(zip(series.steps.tolist(), _cells(series), strict=True)) for series in panel.series]
    rows = [[words.step(at), *(column.get(at, "–") for column in cells)] for at in sorted({at for column in cells for at in column})]
    bands = "; ".join(dict.fromkeys(series.band for series in panel.series))
    header = ["step", *(f"{series.label} ({series.unit})" for series in panel.series)]
    return table(f"{panel.title}: mean (low–high). Band: {bands}.", header, rows)


def _cells(series: Series) -> list[str]:
    values = zip(series.mean, series.low, series.high, strict=True)
    return [f"{words.measured(mean)} ({words.measured(low)}–{words.measured(high)})" for mean, low, high in values]


def _histogram_table(histogram: Histogram) -> str:
    columns = (histogram.generated, histogram.generated_low, histogram.generated_high, histogram.held_out)
    shares = zip(*columns, strict=True)
    rows = [[words.number(at), *map(words.measured, row)] for at, row in zip(histogram.distance, shares, strict=True)]
    caption = f"Fractions of sequences by distance to the nearest training sequence, {histogram.moment}"
    return table(caption, ["distance", "generated", "low", "high", "held-out data"], rows)


def _section(name: str, title: str, note: str, parts: Sequence[str]) -> str:
    if not parts:
        return ""
    head = f'<section aria-labelledby="{name}"><h2 id="{name}">{escaped(title)}</h2><p class="note">{escaped(note)}</p>'
    return f'{head}<div class="grid">{"".join(parts)}</div></section>'


def _caveats(caveats: Sequence[str]) -> str:
    if not caveats:
        return ""
    return f'<section aria-labelledby="caveats"><h2 id="caveats">Keep in mind</h2><ul>{paragraphs(caveats)}</ul></section>'


def _definition(definition: Definition) -> str:
    name, text, formula, source = (escaped(part) for part in (definition.name, definition.text, definition.formula, definition.source))
    shown = f'<p class="formula">{formula}</p>' if formula else ""
    cited = f'<p class="source">{source}</p>' if source else ""
    return f"<div><dt>{name}</dt><dd>{text}{shown}{cited}</dd></div>"


def _numbers(report: Report) -> dict[str, object]:
    """What the download buttons give: everything that is plotted or said, and what made it."""
    return {
        "title": report.title,
        "created": report.created,
        "command": report.command,
        "decision": asdict(report.decision),
        "series": [vars(series) for panel in report.panels for series in panel.series],
        "histograms": [vars(histogram) for histogram in report.histograms],
        "configuration": report.configuration,
        "data": report.data,
        "environment": report.environment,
    }
