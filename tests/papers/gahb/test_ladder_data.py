"""The published layout of a ladder, on drawn faces, through the code that cuts CelebA: ends of the list, no duplicates, one test set."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prepared import stored
from twinsplit.data.images.builtin import write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import gahb
from twinsplit.data.images.preparing import prepare
from twinsplit.data.splits.duplicate_lists import find_duplicates
from twinsplit.data.splits.duplicates import THRESHOLD
from twinsplit.data.splits.manifests import load_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers.catalogue import Options, make
from twinsplit.papers.figure import run_name
from twinsplit.papers.gahb import ladder
from twinsplit.papers.gahb.ladder import LADDERS, SMOKE, Ladder
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run

HELD_OUT = 12
FACES = Ladder(replace(SMOKE, data=replace(SMOKE.data, held_out=HELD_OUT)), (4, 16), splits=2, needs_data=True, threshold=0.98)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """80 drawn faces, of which eight correlate above 0.98 with an earlier one, and one of these is among the last twelve."""
    raw = tmp_path_factory.mktemp("raw") / "faces"
    write_faces(raw, 80, FaceSet(17, 40), Inline())
    return prepare(CelebaSource(raw), replace(gahb(8), exact=SIZE), raw.parent / "prepared", Inline())


@pytest.fixture(scope="module")
def out(data: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gahb-twins on the drawn faces in the published layout."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LADDERS, "faces", FACES)  # type: ignore[arg-type]
        make("gahb-twins", Options("faces", folder, seed=3, data=data.folder), Inline())
    return folder


def recipes(data: ImageData, out: Path) -> dict[int, ImageRecipe]:
    return FACES.recipes(3, None, data.folder, out)


def rows_of(out: Path, recipe: ImageRecipe) -> dict[str, Any]:
    found: dict[str, Any] = Run.open(out / "runs" / run_name(recipe)).read_json("data.json")["rows"]
    return found


def test_the_groups_are_the_ends_of_the_list_without_duplicates(data: ImageData, out: Path) -> None:
    removed = find_duplicates(data, 0.98).removed
    assert len(removed) == 8
    assert max(removed) >= len(data) - HELD_OUT
    kept = np.delete(np.arange(len(data)), removed)
    held_out, left = kept[-HELD_OUT:], kept[:-HELD_OUT]
    for n, recipe in recipes(data, out).items():
        found = rows_of(out, recipe)
        assert found["splits"] == [left[:n].tolist(), left[::-1][:n].tolist()]
        assert found["held_out"] == held_out.tolist()


def test_one_manifest_serves_all_rungs_and_says_what_it_is(data: ImageData, out: Path) -> None:
    (path,) = {recipe.data.manifest for recipe in recipes(data, out).values()}
    split = load_split(Path(path), data)
    assert split.rule.to_json() == {"kind": "ladder", "sizes": [4, 16]}
    assert split.duplicates is not None
    assert split.duplicates.threshold == 0.98
    assert Path(path).is_relative_to(out / "splits")
    page = (out / "gahb-twins.html").read_text()
    assert "Group A is the first N images and group B the last N" in page
    assert "2 networks on every rung, judged on 12 held-out images" in page


def test_what_stands_is_kept(data: ImageData, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (out / "splits").rglob("*.json")}
    assert len(before) == 2
    monkeypatch.setattr("twinsplit.papers.gahb.ladder.find_duplicates", None)  # not sought again
    ladder.write_ladder(FACES, list(recipes(data, out).values()))
    assert {path: path.read_bytes() for path in (out / "splits").rglob("*.json")} == before


def test_too_few_images_are_refused_before_anything_is_written(data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sizes, says in (
        ((4, 38), "twice 38 images, and 68 are there"),
        ((4, 31), "twice 31 images, and 60 are there"),
    ):  # as listed; without duplicates
        monkeypatch.setitem(LADDERS, "faces", replace(FACES, sizes=sizes))  # type: ignore[arg-type]
        for name in ("gahb-psnr", "gahb-onset"):
            with pytest.raises(InputError, match=says):
                make(name, Options("faces", tmp_path / "out", data=data.folder), Inline())
    assert not (tmp_path / "out").exists()


def test_a_published_ladder_has_two_networks(data: ImageData) -> None:
    with pytest.raises(InputError, match="3 networks on two ends of one list; use --seeds 2"):
        FACES.recipes(0, 3, data.folder)


def test_the_published_ladder_is_one(tmp_path: Path) -> None:
    for recipe in LADDERS["paper"].recipes(0, None, tmp_path, tmp_path / "out").values():
        assert (recipe.data.order, recipe.data.stride, recipe.data.splits) == ("listed", 0, 2)
        assert json.loads(json.dumps(recipe.to_json()))["data"]["manifest"].startswith(str(tmp_path / "out" / "splits"))
    assert LADDERS["paper"].threshold == THRESHOLD
    assert all(not recipe.data.manifest for recipe in LADDERS["laptop"].recipes(0).values())


def test_as_many_images_are_set_aside_as_hold_enough_without_duplicates(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    pixels[[25, 28]] = pixels[[1, 2]]
    data = stored(tmp_path / "data", pixels)
    duplicates = find_duplicates(data)
    assert duplicates.removed.tolist() == [25, 28]
    assert [ladder.set_aside(count, duplicates, data) for count in (1, 2, 4, 99)] == [1, 3, 6, 30]
    assert len(load_images(data.folder)) == 30
