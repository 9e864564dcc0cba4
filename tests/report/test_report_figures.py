"""The picture for documents."""

import sys
from dataclasses import replace
from pathlib import Path

import example_report
import pytest

from twinsplit.errors import InputError
from twinsplit.report.render_matplotlib import printed
from twinsplit.report.write import main_figure, save_figure

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")


@pytest.mark.parametrize("name", example_report.ALL)
def test_draws_every_panel(name: str) -> None:
    report = example_report.ALL[name]()
    figure = printed(main_figure(report))
    assert len(figure.axes) == len(report.main)
    assert all(axis.lines for axis in figure.axes)


def test_each_turning_point_is_named_once_over_its_own_curve() -> None:
    split, loss = printed(main_figure(example_report.biased())).axes
    assert [text.get_text() for text in split.texts] == ["onset: step 643"]
    assert [text.get_text() for text in loss.texts] == ["test-loss minimum: step 1,580"]


def test_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    first, second = (save_figure(example_report.biased(), tmp_path / name / "onset") for name in ("a", "b"))
    assert [path.name for path in first] == ["onset.png", "onset.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[1].read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["onset.pdf", "onset.png"]


def test_a_report_without_a_main_panel_is_refused(tmp_path: Path) -> None:
    empty = replace(example_report.biased(), main=())
    with pytest.raises(InputError, match="no main panel"):
        save_figure(empty, tmp_path / "figures" / "onset")
    assert not (tmp_path / "figures").exists()


def test_missing_matplotlib_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'twinsplit\[report\]'"):
        printed(main_figure(example_report.biased()))
