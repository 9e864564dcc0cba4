"""The page as text: complete, escaped, small, and free of anything that would be fetched."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import example_report
import numpy as np
import pytest

from twinsplit.errors import InputError
from twinsplit.report.colours import ALPHAS, LIGHT_DARK, ORDERED, SERIES, dark_by_light, faded
from twinsplit.report.marks import marked
from twinsplit.report.page import closed, embedded, render
from twinsplit.report.render_plotly import chart

pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
ASSETS = files("twinsplit.report") / "assets"


class Reader(HTMLParser):
    """Collects elements and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module", params=example_report.ALL)
def page(request: pytest.FixtureRequest) -> str:
    return render(example_report.ALL[request.param]())


def test_is_small(page: str) -> None:
    assert len(page.encode()) < 1.6e6


def test_fetches_nothing(page: str) -> None:
    read = Reader(page)
    links = [value for _, attrs in read.tags for name, value in attrs.items() if name in ("src", "href", "action", "srcset")]
    assert set(links) - {link for link in links if link and link.startswith("data:image/png;base64,")} == {"data:,"}
    assert not re.search(r"@import|url\(", page[: page.index("</style>")])
    assert "default-src 'none'" in page


def test_holds_five_scripts_whatever_the_text(page: str) -> None:
    scripts = Reader(page).scripts
    assert len(scripts) == 5
    drawn, theme, numbers = (json.loads(script) for script in scripts[:3])
    assert drawn
    assert theme
    assert set(numbers) > {"command", "decision", "series", "data"}


def test_is_the_same_twice() -> None:
    assert render(example_report.biased()) == render(example_report.biased())


def test_hostile_text_adds_no_element() -> None:
    ordinary, hostile = (Reader(render(one())) for one in (example_report.biased, example_report.hostile))
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in ordinary.tags} | {"img"}
    assert [dict(attrs)["src"][:5] for tag, attrs in hostile.tags if tag == "img"] == ["data:"]


@pytest.mark.parametrize("hostile", ["</script>", "<!--", "<script", "\u2028"])
def test_embedded_json_cannot_end_its_element(hostile: str) -> None:
    text = embedded({"key": [hostile, float("nan"), float("inf"), None, 1.5]})
    assert "<" not in text
    assert json.loads(text) == {"key": [hostile, None, None, None, 1.5]}


def test_a_report_without_curves_is_still_a_page() -> None:
    empty = replace(example_report.underpowered(), main=(), details=(), distances=(), caveats=(), definitions=(), configuration={})
    assert "This run cannot tell" in render(empty)


def test_missing_plotly_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(InputError, match=r"pip install 'twinsplit\[report\]'"):
        render(example_report.biased())


def test_the_vendored_library_is_the_recorded_one() -> None:
    digest = hashlib.sha256((ASSETS / "plotly-basic.min.js").read_bytes()).hexdigest()
    assert digest in (ASSETS / "README.md").read_text(encoding="utf-8")
    assert "MIT" in (ASSETS / "LICENSE.plotly.txt").read_text(encoding="utf-8")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _strings(one)


def test_every_colour_has_a_dark_counterpart() -> None:
    report = marked(example_report.biased())
    drawn = [chart("main", report.main, 300), *(chart("one", (axes,), 300) for axes in (*report.details, *report.distances))]
    used = {text for one in drawn for text in _strings(one.figure) if re.fullmatch(r"#[0-9A-Fa-f]{6}|rgba\(.*\)", text)}
    assert used - {"rgba(0,0,0,0)"} <= set(dark_by_light())


def test_no_light_colour_has_two_dark_ones() -> None:
    assert len(dark_by_light()) == len(LIGHT_DARK) * (1 + len(ALPHAS))
    assert faded("blue") == "rgba(0,114,178,0.16)"


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("variant", [0, 1])
def test_contrast_suffices(variant: int) -> None:
    """WCAG 2.2: 4.5 for text, 3 for lines."""
    ground = LIGHT_DARK["card"][variant]
    assert min(_contrast(LIGHT_DARK[name][variant], ground) for name in ("ink", "quiet")) >= 4.5
    assert min(_contrast(LIGHT_DARK[name][variant], ground) for name in (*SERIES, *ORDERED)) >= 3


def test_ticks_are_plotlys_own_numbers_in_full_and_fewer_on_a_narrow_screen() -> None:
    def ticks(high: float) -> tuple[Any, Any]:
        line = example_report.line("a", "a", "blue", np.arange(3.0), 0.1, np.array([10.0, 20.0, high]))
        drawn = chart("one", (example_report.axes("a", "a", "nats", (line,), ""),), 300)
        assert "tickvals" not in drawn.figure["layout"]["xaxis"]
        assert drawn.figure["layout"]["xaxis"]["tickformat"] == drawn.narrow["tickformat"] == ",~r"
        return drawn.figure["layout"]["xaxis"].get("dtick"), drawn.narrow.get("dtick")

    assert ticks(50) == (None, None)  # less than a decade: plotly finds round steps
    assert ticks(2_000) == ("D2", "D2")
    assert ticks(8_000) == ("D2", 1)
    assert ticks(1e6) == (1, 1)


def test_only_what_cuts_something_off_has_a_button_for_the_full_range() -> None:
    whole = replace(example_report.main_panels()[0], y_range=(-9.0, 9.0))
    assert chart("one", (whole,), 300).zoomed == ()
    assert chart("two", (whole, example_report.main_panels()[1]), 300).zoomed == ("yaxis2",)


@pytest.mark.parametrize(
    ("text", "added"),
    [("plain", ""), ("\u202ea", "\u202c"), ("\u202ea\u2067b", "\u2069\u202c"), ("\u2067\u202ea\u2069", ""), ("\u2067a\u202c", "\u2069")],
)
def test_marks_of_writing_direction_are_closed(text: str, added: str) -> None:
    assert closed(text) == text + added
    assert closed(closed(text)) == closed(text)
