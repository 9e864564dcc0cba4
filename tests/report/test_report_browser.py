"""The page as a reader meets it: in headless Chromium, from a file, wide and narrow, light and dark, with and without scripts."""

import csv
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import example_report
import numpy as np
import pytest

from twinsplit.report.page import render

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'twinsplit[test]'")
pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver: apt-get install chromium chromium-driver"
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
WIDTHS = (1280, 400)
CHARTS = 1 + 3 + 2


class Browser:
    """Chromium with what these tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.js = driver.execute_script

    def command(self, name: str, **values: Any) -> None:
        self.driver.execute_cdp_cmd(name, values)

    def resize(self, width: int) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def scheme(self, name: str) -> None:
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, page: Path) -> None:
        self.driver.get_log("browser")
        self.driver.get(page.as_uri())

    def console(self) -> list[Any]:
        return list(self.driver.get_log("browser"))


def wait_for(found: Any, seconds: float = 8.0) -> Any:
    """The first true answer, or the last one."""
    end = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(autouse=True)
def _fresh(browser: Browser) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    browser.resize(1280)
    browser.scheme("light")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {name: folder / f"{name}.html" for name in example_report.ALL}
    for name, path in written.items():
        path.write_text(render(example_report.ALL[name]()), encoding="utf-8")
    return written


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", example_report.ALL)
def test_draws_quietly_and_fits(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.resize(width)
    browser.open(pages[name])
    report = example_report.ALL[name]()
    drawn = "return [...document.querySelectorAll('.chart')].map((c) => c.querySelectorAll('svg.main-svg .trace').length)"
    traces = browser.js(drawn)
    assert len(traces) == 1 + len(report.details) + len(report.distances)
    assert all(traces)
    assert browser.js("return document.querySelector('#verdict h2').getBoundingClientRect().height > 20")
    browser.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js("return performance.getEntriesByType('resource').length") == 0
    assert browser.console() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_text_stays_text(browser: Browser, pages: dict[str, Path], width: int) -> None:
    browser.resize(width)
    browser.open(pages["hostile"])
    assert browser.js("return window.broken === undefined")
    assert browser.js("return document.querySelectorAll('b:not(svg b), iframe, object').length") == 0
    assert browser.js("return [...document.images].map((image) => image.src.slice(0, 15))") == ["data:image/png;"]
    assert browser.js("return document.querySelector('h1').textContent") == example_report.HOSTILE
    assert browser.js("return document.title") == example_report.HOSTILE
    assert browser.js("return document.getElementById('command-text').textContent") == example_report.HOSTILE


def test_marks_of_writing_direction_in_names_turn_nothing_else_around(browser: Browser, pages: dict[str, Path]) -> None:
    """A name that ends in the middle of reversed writing leaves the words after it where they are: the full stop stands at its right."""
    browser.open(pages["hostile"])
    assert browser.js("return document.querySelectorAll('.keys bdi').length") > 4
    script = """const name = document.querySelector('figcaption strong bdi'), range = document.createRange();
    range.setStart(name.nextSibling, 0); range.setEnd(name.nextSibling, 1);
    const stop = range.getBoundingClientRect();
    const beside = [...name.getClientRects()].filter((box) => Math.abs(box.top - stop.top) < 8);
    return [stop.left, Math.max(0, ...beside.map((box) => box.right)), range.toString()]"""
    stop, end, text = browser.js(script)
    assert text == "."
    assert stop >= end - 1


def test_the_policy_of_the_page_forbids_network_and_foreign_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["biased"])
    attempt = "const s = document.createElement('script'); s.textContent = 'window.broken = 3'; document.head.append(s);"
    assert browser.js(attempt + "return window.broken === undefined")
    browser.js("window.refused = null; fetch('https://example.org/').catch((error) => { window.refused = String(error); })")
    assert wait_for(lambda: browser.js("return window.refused"))
    assert all("Content Security Policy" in entry["message"] for entry in browser.console())


OVERLAPS = """
const boxes = [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect()).filter((b) => b.width > 0);
const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
return boxes.flatMap((a, i) => boxes.slice(i + 1).map((b) => apart(a, b))).filter((fine) => !fine).length;
"""


@pytest.mark.parametrize("width", [*WIDTHS, 640])
@pytest.mark.parametrize("name", ["biased", "unbiased"])
def test_labels_do_not_overlap(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.resize(width)
    browser.open(pages[name])
    assert browser.js("return document.querySelectorAll('#chart-main .annotation').length") == 4
    assert browser.js(OVERLAPS, "#chart-main .annotation text, #chart-main .xtick text") == 0
    assert browser.js(OVERLAPS, ".keys li") == 0
    outside = "const c = document.getElementById('chart-main').getBoundingClientRect();"
    outside += "return [...document.querySelectorAll('#chart-main text')].map((e) => e.getBoundingClientRect())"
    outside += ".filter((b) => b.width && (b.left < c.left - 1 || b.right > c.right + 1)).length"
    assert browser.js(outside) == 0


def test_ticks_follow_the_width_of_the_window(browser: Browser, tmp_path: Path) -> None:
    """Three decades and a third have 1, 2, 5 on a wide screen, and powers of ten on a narrow one, apart from each other on both."""
    steps = np.geomspace(12, 25_000, 20)
    line = example_report.line("a", "a", "blue", np.arange(20.0), 0.1, steps)
    main = tuple(replace(axes, lines=(line,), y_range=None) for axes in example_report.main_panels())
    (tmp_path / "long.html").write_text(render(replace(example_report.biased(), main=main, details=main)), encoding="utf-8")
    ticks = "return document.querySelectorAll('#chart-main .xtick').length"
    texts = "return [...document.querySelectorAll('#chart-main .xtick text')].map((t) => t.textContent)"
    browser.open(tmp_path / "long.html")
    wide = browser.js(ticks)
    assert "20,000" in browser.js(texts)
    assert browser.js(OVERLAPS, "#chart-main .xtick text") == browser.js(OVERLAPS, "#chart-0 .xtick text") == 0
    browser.resize(400)
    assert wait_for(lambda: browser.js(ticks) < wide)
    assert browser.js(texts) == ["100", "1,000", "10,000"]


def test_legend_hides_and_shows(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["biased"])
    count = "return document.querySelectorAll('#chart-main .scatterlayer .trace').length"
    press = "document.querySelector('[data-chart=chart-main] [data-traces]').click()"
    before = browser.js(count)
    browser.js(press)
    assert wait_for(lambda: browser.js(count) == before - 2)
    assert browser.js("return document.querySelector('[data-chart=chart-main] [data-traces]').ariaPressed") == "false"
    browser.js(press)
    assert wait_for(lambda: browser.js(count) == before)


def test_full_range_shows_what_the_zoom_cut_off(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["biased"])
    top = "return document.getElementById('chart-main')._fullLayout.yaxis.range[1]"
    zoomed = browser.js(top)
    browser.js("document.querySelector('.full').click()")
    assert wait_for(lambda: browser.js(top) > 1.5 * zoomed)
    browser.js("document.querySelector('.full').click()")
    assert wait_for(lambda: browser.js(top) == zoomed)


def test_hover_reads_all_curves_at_one_step(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["biased"])
    plot = browser.driver.find_element("css selector", "#chart-main .nsewdrag")
    webdriver.ActionChains(browser.driver).move_to_element_with_offset(plot, 200, 20).perform()
    shown = "return [...document.querySelectorAll('#chart-main .hoverlayer text')].map((t) => t.textContent).join()"
    texts = wait_for(lambda: browser.js(shown))
    assert "step " in texts
    assert "twins on disjoint data" in texts
    assert "test loss" in texts


def test_dark_scheme_recolours_page_and_charts(browser: Browser, pages: dict[str, Path]) -> None:
    stroke = "return getComputedStyle(document.querySelector('#chart-main .js-line[style*=\"stroke-width: 2\"]')).stroke"
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.open(pages["biased"])
    assert (browser.js(stroke), browser.js(ground)) == ("rgb(0, 114, 178)", "rgb(246, 247, 249)")
    browser.scheme("dark")
    assert wait_for(lambda: browser.js(stroke) == "rgb(86, 180, 233)")
    assert browser.js(ground) == "rgb(14, 18, 22)"


def test_reads_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pages["biased"])
    text = browser.driver.find_element("css selector", "main").text
    assert "You should have stopped at about step 643" in text
    assert text.count("The chart needs JavaScript") == CHARTS
    assert "How each number is defined" in text
    rows = browser.driver.find_elements("css selector", "details tbody tr")
    assert len(rows) > 5 * len(example_report.STEPS)
    assert not browser.driver.find_element("id", "copy").is_displayed()
    assert not browser.driver.find_element("id", "chart-main").is_displayed()


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_gives_the_plotted_numbers(browser: Browser, pages: dict[str, Path], tmp_path: Path, kind: str) -> None:
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.open(pages["biased"])
    browser.js(f"document.getElementById('download-{kind}').click()")
    path = tmp_path / f"twinsplit-report.{kind}"
    assert wait_for(path.exists)
    line = example_report.biased().main[0].lines[0]
    content = path.read_text(encoding="utf-8")
    if kind == "json":
        found = json.loads(content)["series"][0]["mean"]
    else:
        found = [float(row["mean"]) for row in csv.DictReader(content.splitlines()) if row["series"] == line.name]
    assert found == line.y.tolist()
    assert browser.console() == []


def test_copies_the_command(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["biased"])
    browser.driver.find_element("id", "copy").click()
    assert wait_for(lambda: browser.js("return document.getElementById('copied').textContent"))
