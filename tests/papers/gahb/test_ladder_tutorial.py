"""The tutorial of the ladder runs at smoke scale, on the runs of gahb-onset, and its numbers are those of the figure."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="pip install 'twinsplit[report]'")
pytest.importorskip("plotly", reason="pip install 'twinsplit[report]'")
TUTORIAL = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "tutorials" / "ladder.py"))
TITLES = ("1. One ladder", "2. Add data", "3. Hold the data", "4. Together", "5. The figure")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture(scope="module")
def seen(out: Path) -> list[Any]:
    found: list[Any] = TUTORIAL["main"](["--scale", "smoke", "--workers", "1", "--out", str(out)])
    return found


def test_its_numbers_are_those_of_the_figure(out: Path, seen: list[Any]) -> None:
    table = json.loads((out / "gahb-onset-curves.json").read_text())
    rows = zip(table["line"], table["x"], table["y"], table["low"], table["high"], strict=True)
    lines = list(rows)
    drawn = {x: (y, low, high) for line, x, y, low, high in lines if line == "at the end"}
    null = {x: y for line, x, y, _, _ in lines if line == "shuffled pairs, at the end"}
    for one in seen:
        assert (one.alike.value, *one.alike.interval(0.95)) == pytest.approx(drawn[one.n], rel=1e-9)
        assert one.shuffled == pytest.approx(null[one.n], rel=1e-9)
        assert abs(one.shuffled) < one.alike.value
    assert [one.onset.verdict for one in seen] == json.loads((out / "gahb-onset-onsets.json").read_text())["verdict"]


def test_it_tells_every_chapter_and_trains_nothing_twice(out: Path, seen: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    again = TUTORIAL["main"](["--scale", "smoke", "--workers", "1", "--out", str(out)])
    said = capsys.readouterr().out
    assert all(title in said for title in TITLES)
    assert "train:" not in said
    assert [one.alike for one in again] == [one.alike for one in seen]
    for one in again:
        assert f"N = {one.n:5,}" in said


def test_what_is_gone_at_the_end_is_of_the_same_pairs(seen: list[Any]) -> None:
    for one in seen:
        assert (one.before is None) == (one.onset.onset.step is None)
        if one.before is not None:
            assert one.lost.value == pytest.approx(one.before.value - one.alike.value)


def test_what_is_not_reached_is_said() -> None:
    assert TUTORIAL["place"](None) == "at no step of these"
    assert TUTORIAL["place"](1234.4) == "at step 1,234"
    assert "unknown" in TUTORIAL["caption"](None)
