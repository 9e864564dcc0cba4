"""A place that cannot be written into is refused before the work, by every verb that has one."""

from pathlib import Path
from typing import Any

import pytest

from twinsplit.cli.figures import claims
from twinsplit.cli.options import Compute
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers.catalogue import FIGURES, Options, make
from twinsplit.runs.places import check_file, check_place


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A file where a folder is wanted."""
    path = tmp_path / "taken"
    path.write_text("mine")
    return path


def test_folders_that_are_there_or_can_be_made(tmp_path: Path) -> None:
    check_place(tmp_path)
    check_place(tmp_path / "a" / "b")
    check_file(tmp_path / "a" / "b.md")
    assert not list(tmp_path.iterdir())


def test_files_in_the_way_are_named(taken: Path) -> None:
    for place in (taken, taken / "below", taken / "far" / "below"):
        with pytest.raises(InputError, match=f"{taken} is not a folder; choose another place"):
            check_place(place)
    with pytest.raises(InputError, match="is a folder; name a file"):
        check_file(taken.parent)
    (taken.parent / "nowhere").symlink_to(taken.parent / "gone")
    with pytest.raises(InputError, match="nowhere is not a folder"):
        check_place(taken.parent / "nowhere")


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever rights the user who tests has."""
    monkeypatch.setattr("twinsplit.runs.places.os.access", lambda *_: False)
    with pytest.raises(InputError, match="make it writable"):
        check_place(tmp_path / "new")


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_looks_first(name: str, taken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: Any) -> None:
        raise AssertionError("the work began")

    for stage in ("prepare_run", "measure_run", "existing"):
        monkeypatch.setattr(f"twinsplit.papers.figure.{stage}", work)
    with pytest.raises(InputError, match="is not a folder"):
        make(name, Options("smoke", taken), Inline())


def test_claims_look_first(taken: Path, tmp_path: Path) -> None:
    for document in (taken / "claims.md", tmp_path):
        with pytest.raises(InputError, match="a folder"):
            claims(scale="smoke", out=tmp_path / "out", document=document, compute=Compute(workers=1))
    assert not (tmp_path / "out").exists()
