"""Figures as data, for print and for the browser: every number is kept, equal numbers give equal bytes, hostile text stays text."""

import importlib.util
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")

from matplotlib.collections import LineCollection

from twinsplit.papers.figure_store import image
from twinsplit.report.figure import SPOTS, Axes, Bars, Figure, HorizontalLine, Line, Point, VerticalLine
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.report.render_plotly import chart

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken=1'>&{x}"
X = np.geomspace(10.0, 1_000.0, 9)
NAN = np.full(9, np.nan)


def a_sheet(text: str = "twins") -> Figure:
    """Bands that reach below 0 on a logarithmic axis, a gap in a curve, marks with open sides and without a place."""
    y = 1.0 / X
    gap = np.where(X > 500, np.nan, X / 1_000)
    lines = (Line(text, X, y, y - 0.05, y + 0.05, "red"), Line(f"{text} 2", X, gap, NAN, NAN, "k2", "dash"))
    marks = (
        VerticalLine(f"{text} at", 50.0, 30.0, 90.0, "red"),
        VerticalLine(f"{text} late", 300.0, 200.0, None, "blue"),
        VerticalLine(f"{text} early", None, None, 40.0, "purple"),
        VerticalLine(f"{text} nowhere", None, None, None),
    )
    logarithmic = Axes(f"{text} panel 1", f"{text} x", f"{text} y", lines, marks, y_scale="log")
    linear = Axes(
        f"{text} panel 2", "x", "y", lines[:1], rules=(HorizontalLine(f"{text} rule", 0.05),), x_scale="linear", y_range=(0.0, 0.2)
    )
    return Figure("a", f"{text} title", (logarithmic, linear, linear), f"{text} caption", 2)


def test_tables_hold_every_number() -> None:
    sheet = a_sheet()
    curves, marks = (sheet.tables()[name].to_pylist() for name in ("curves", "marks"))
    assert len(curves) == 9 * 4
    for axes in sheet.axes[:2]:
        for line in axes.lines:
            rows = [row for row in curves if (row["panel"], row["line"]) == (axes.title, line.label)][:9]
            for key in ("x", "y", "low", "high"):
                caption = [math.nan if row[key] is None else row[key] for row in rows]
                np.testing.assert_array_equal(caption, getattr(line, key))
    assert marks == [
        {"panel": "twins panel 1", "y": None} | {key: getattr(m, key) for key in ("label", "x", "low", "high")} for m in sheet.axes[0].marks
    ]
    json.dumps(curves + marks, allow_nan=False)


def test_a_sheet_without_marks_has_an_empty_table_of_them() -> None:
    tables = Figure("a", "t", a_sheet().axes[1:], "c").tables()
    assert tables["marks"].num_rows == 0
    assert tables["marks"].column_names == ["panel", "label", "x", "low", "high", "y"]


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_equal_numbers_give_equal_bytes(kind: str) -> None:
    first, second = (image(printed(a_sheet()), kind) for _ in range(2))
    assert first == second
    assert first != image(printed(a_sheet("others")), kind)
    assert first.startswith(b"\x89PNG" if kind == "png" else b"%PDF")


def texts_apart(boxes: list[Any]) -> bool:
    return not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_print_names_everything_and_nothing_lies_upon_another() -> None:
    figure = printed(a_sheet())
    figure.draw_without_rendering()
    drawn = [place for place in figure.axes if place.axison]
    assert len(drawn) == 3
    for place, axes in zip(drawn, a_sheet().axes, strict=True):
        keys = [text.get_text() for text in place.get_legend().get_texts()]
        assert sorted(keys) == sorted(thing.label for thing in (*axes.lines, *axes.marks, *axes.rules))
    boxes = [text.get_window_extent() for text in figure.texts]
    for place in drawn:
        boxes += [place.title.get_window_extent(), place.xaxis.label.get_window_extent(), place.get_legend().get_window_extent()]
        boxes.append(place.get_window_extent())
    assert texts_apart(boxes)
    page = figure.bbox
    assert all(box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1 for box in boxes)


def test_print_shows_the_range_asked_for_and_open_sides_to_the_end() -> None:
    first, second = printed(a_sheet()).axes[:2]
    assert second.get_ylim() == (0.0, 0.2)
    low, high = first.get_xlim()
    spans = [patch for patch in first.patches if patch.get_width() > 0]
    assert [span.get_x() for span in spans] == pytest.approx([30.0, 200.0, low])
    assert [span.get_x() + span.get_width() for span in spans] == pytest.approx([90.0, high, 40.0])


SPOTTED = (
    Point("whole", 50.0, 30.0, 90.0, 0.02, "red"),
    Point("late", None, 200.0, None, 0.003, "blue"),
    Point("alone", 100.0, None, None, 0.01),
    Point("nowhere", None, None, None, 0.05),
)


def spotted() -> Figure:
    return Figure("a", "t", (replace(a_sheet().axes[0], marks=(), spots=SPOTTED),), "c")


def test_spots_lie_on_their_curves_and_open_sides_reach_the_end() -> None:
    rows = spotted().tables()["marks"].to_pylist()
    assert rows == [{"panel": "twins panel 1"} | {key: getattr(s, key) for key in ("label", "x", "low", "high", "y")} for s in SPOTTED]
    (place,) = printed(spotted()).axes
    right = place.get_xlim()[1]
    bars = [segment.tolist() for bar in place.collections if isinstance(bar, LineCollection) for segment in bar.get_segments()]
    assert bars == [[[30.0, 0.02], [90.0, 0.02]], [[200.0, 0.003], [pytest.approx(right), 0.003]]]
    dots = [(*line.get_xdata(), *line.get_ydata()) for line in place.lines if line.get_markersize() == 6.5]
    assert dots == [(50.0, 0.02), (100.0, 0.01)]
    assert [text.get_text() for text in place.get_legend().get_texts()].count(SPOTS) == 1


def test_the_page_shows_spots_and_names_them_once() -> None:
    drawn = chart("a", spotted().axes, 400)
    (key,) = [key for key in drawn.keys if key.label == SPOTS]
    high = drawn.figure["layout"]["xaxis"]["range"][1]
    assert [(t["mode"], [*t["x"]], t["y"][0], t["name"]) for t in (drawn.figure["data"][i] for i in key.traces)] == [
        ("lines", [30.0, 90.0], 0.02, "whole"),
        ("markers", [50.0], 0.02, "whole"),
        ("lines", [200.0, pytest.approx(10**high)], 0.003, "late"),
        ("markers", [100.0], 0.01, "alone"),
    ]


def test_bars_are_drawn_with_their_intervals_by_both_renderers() -> None:
    bars = Bars("drawn", np.arange(3.0), [0.2, 0.5, 0.3], [0.1, 0.4, 0.2], [0.3, 0.6, 0.4])
    axes = Axes("a", "distance", "share", bars=(bars,), x_scale="linear", y_percent=True)
    (place,) = printed(Figure("a", "t", (axes,), "c")).axes
    assert [patch.get_height() for patch in place.patches] == [0.2, 0.5, 0.3]
    (trace,) = chart("a", (axes,), 300).figure["data"]
    assert (trace["type"], [*trace["y"]]) == ("bar", [0.2, 0.5, 0.3])
    assert [*trace["error_y"]["array"]] == pytest.approx([0.1] * 3)
    assert Figure("a", "t", (axes,), "c").tables()["curves"].num_rows == 3


def gaps(sheet: Figure) -> tuple[float, float]:
    """Inches from the lowest legend or axes to the caption, and from the title to the highest heading."""
    figure = printed(sheet)
    figure.draw_without_rendering()
    inches = figure.dpi_scale_trans.inverted()
    boxes = [place.get_tightbbox().transformed(inches) for place in figure.axes if place.axison]
    title, caption = (text.get_window_extent().transformed(inches) for text in figure.texts)
    return min(box.y0 for box in boxes) - caption.y1, title.y0 - max(box.y1 for box in boxes)


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("lines", [1, 6])
@pytest.mark.parametrize("words", [3, 150])
def test_print_leaves_no_empty_strip(rows: int, lines: int, words: int) -> None:
    """Between legend and caption, and between title and axes, whatever there is of each."""
    one = replace(a_sheet().axes[1], lines=tuple(replace(a_sheet().axes[1].lines[0], label=str(i)) for i in range(lines)))
    below, above = gaps(Figure("a", "t", (one,) * (2 * rows), "word " * words))
    assert 0.03 < below < 0.35
    assert 0.0 < above < 0.2


class Page(HTMLParser):
    """What a page refers to, its scripts, and whether its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.references, self.open, self.tags, self.words = [], [], [], []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "script":
            self.words.append(data)


def parsed(page: str) -> Page:
    reader = Page()
    reader.feed(page)
    reader.close()
    return reader


def test_the_page_is_whole_and_refers_to_nothing() -> None:
    page = interactive(a_sheet(), {"scale": "smoke", "nested": {"a": None}})
    reader = parsed(page)
    assert reader.open == []
    assert reader.references == ["data:,"]  # no icon
    assert reader.tags.count("script") == 4  # charts and their dark colours as data, the library, and what draws
    library = next(path for path in (Path(__import__("twinsplit").__file__).parent / "report" / "assets").glob("plotly*.js"))
    own = page.replace(library.read_text(encoding="utf-8"), "")
    assert "://" not in own
    assert len(own) < 60_000
    words = " ".join(reader.words)
    for caption in ("twins title", "twins caption", "twins panel 2", "nested.a", "smoke"):
        assert caption in words


def test_hostile_text_is_escaped_on_the_page() -> None:
    reader = parsed(interactive(a_sheet(HOSTILE), {HOSTILE: HOSTILE}))
    assert reader.tags.count("script") == 4
    assert "img" not in reader.tags
    assert f"{HOSTILE} title" in reader.words


def test_pages_are_the_same_for_the_same_numbers() -> None:
    assert interactive(a_sheet(), {"a": 1}) == interactive(a_sheet(), {"a": 1})


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
in_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER and importlib.util.find_spec("selenium")),
    reason="needs selenium, chromium and chromedriver: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from test_report_browser import ARGUMENTS

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield browser
    browser.quit()


@in_browser
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("text", ["twins", HOSTILE])
def test_the_page_draws_quietly(driver: Any, tmp_path: Path, text: str, width: int) -> None:
    from test_report_browser import wait_for

    (tmp_path / "a.html").write_text(interactive(a_sheet(text), {"a": text}), encoding="utf-8")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    driver.get_log("browser")
    driver.get((tmp_path / "a.html").as_uri())
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].map((c) => c.querySelectorAll('.scatterlayer .trace').length)"
    assert wait_for(lambda: len(driver.execute_script(drawn)) == 3)
    assert all(driver.execute_script(drawn))
    assert driver.execute_script("return document.querySelectorAll('#axes-0 .shapelayer path').length") == 5
    keys = driver.execute_script("return [...document.querySelectorAll('[data-chart=axes-0] bdi')].map((t) => t.textContent)")
    assert keys == [thing.label for thing in (*a_sheet(text).axes[0].lines, *a_sheet(text).axes[0].marks)]
    assert driver.execute_script("return window.broken === undefined && document.images.length === 0")
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert driver.execute_script("return document.querySelectorAll('.modebar-btn, a').length") == 0
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
