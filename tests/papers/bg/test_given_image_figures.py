"""Image figures from a run that is given: the same figure as from the command that trains it, and the run's networks stay as they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers.figure import Options
from twinsplit.papers.figure import make as make_figure
from twinsplit.papers.gahb.ladder import SMOKE as BLIND_SMOKE
from twinsplit.runs.store import Run

DRAWN = (".png", ".pdf", "-curves.parquet", "-marks.parquet")


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file but locks."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def draw_figure(name: str, run: Path, out: Path) -> list[Path]:
    return make_figure(name, Options(out=out, runs=(run,)), Inline())


@pytest.fixture
def given(image_run: Run[Any], tmp_path: Path) -> Path:
    """A run of one's own: trained, and measured for the onset alone."""
    path = tmp_path / "mine"
    shutil.copytree(image_run.path, path)
    for measured in ("sample_similarity", "train_noise_similarity", "level_similarity"):
        shutil.rmtree(path / "measurements" / f"{measured}.parquet", ignore_errors=True)
    return path


@pytest.mark.parametrize("name", ["fig1a", "fig2", "fig8"])
def test_it_is_the_figure_of_the_run_that_was_trained_for_it(given: Path, name: str, image_figures: Path, tmp_path: Path) -> None:
    weights = contents(given / "checkpoints")
    out = tmp_path / "figures"
    paths = draw_figure(name, given, out)
    for kind in DRAWN:
        assert (out / f"{name}{kind}").read_bytes() == (image_figures / f"{name}{kind}").read_bytes(), kind
    assert contents(given / "checkpoints") == weights
    assert list(json.loads((out / f"{name}-config.json").read_text())["runs"]) == ["../mine"]
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert draw_figure(name, given, out) == paths
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_other_weights_are_another_figure(given: Path, tmp_path: Path) -> None:
    draw_figure("fig2", given, tmp_path / "figures")
    manifest = given / "checkpoints" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    (tmp_path / "figures" / "fig2.png").write_bytes(b"old")
    draw_figure("fig2", given, tmp_path / "figures")
    assert (tmp_path / "figures" / "fig2.png").read_bytes() != b"old"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("fig7", {}, "fig7 has no --run; leave it out: it is for fig1a, fig2, fig8,"),
        ("fig2", {"seeds": 4}, "--seeds with --run"),
        ("fig2", {"data": Path("faces")}, "--data with --run"),
        ("fig2", {"runs": (Path("one"), Path("two"))}, "fig2 shows 1 run, 2 were given"),
        ("fig2", {"runs": (Path("nowhere"),)}, "is not a run folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given: Path, name: str, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    before = contents(tmp_path)
    with pytest.raises(InputError, match=says):
        make_figure(name, Options(**{"runs": (given,), "out": tmp_path / "figures"} | options), Inline())
    assert contents(tmp_path) == before


def test_blind_networks_predict_noise_at_no_time(tmp_path: Path) -> None:
    Run.create(tmp_path / "blind", BLIND_SMOKE)
    with pytest.raises(InputError, match="is a run of blind networks"):
        draw_figure("fig2", tmp_path / "blind", tmp_path / "figures")
