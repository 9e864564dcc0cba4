"""Manifests give the same rows again, or refuse in one line: other data, altered files, hostile content. Runs cut splits from them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prepared import COUNT, drawn, stored
from twinsplit.data.images.builtin import write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import gahb
from twinsplit.data.images.preparing import prepare
from twinsplit.data.splits.controlled import AtRandom, ByAttribute, ByIdentity, Controlled, Ladder
from twinsplit.data.splits.disjoint import content_ids
from twinsplit.data.splits.duplicate_lists import DuplicateList, find_duplicates, read_duplicates, write_duplicates
from twinsplit.data.splits.manifests import ControlledSplit, cut, load_split, make_split, rows_sha256, write_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.recipes.images import DIGITS_SMOKE, Images
from twinsplit.worlds.images.world import ImageWorld

RULES = (ByAttribute("Male & !Young", 3), ByIdentity(2), Ladder((2, 5, 20)), AtRandom(4))


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    pixels, labels = drawn()
    return stored(tmp_path / "data", pixels, **labels)


@pytest.fixture
def duplicates(data: ImageData) -> DuplicateList:
    return find_duplicates(data)


def rows_of(split: ControlledSplit) -> list[list[int]]:
    return [rows.tolist() for rows in split.groups]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_manifest_gives_its_rows_again(data: ImageData, duplicates: DuplicateList, rule: Controlled, tmp_path: Path) -> None:
    assert duplicates.removed.tolist() == [7, 30, 55]
    for listed in (None, duplicates):
        split = make_split(data, rule, listed)
        path = tmp_path / f"{listed is None}.json"
        write_split(path, split, data)
        again = load_split(path, load_images(data.folder))
        assert again.rule == rule
        assert rows_of(again) == rows_of(split)
        together = np.concatenate(split.groups)
        assert len(set(together.tolist())) == len(together)
        assert listed is None or not set(together.tolist()) & {7, 30, 55}
        before = path.read_bytes()
        write_split(path, split, data)  # the same again changes nothing
        assert path.read_bytes() == before
        assert len(before) < 2000


def test_the_rungs_of_a_ladder_are_hashed_each(data: ImageData, duplicates: DuplicateList) -> None:
    said = make_split(data, RULES[2], duplicates).describe(data)
    kept = duplicates.kept(COUNT)
    expected = [{"images": n, "rows_sha256": [rows_sha256(kept[:n]), rows_sha256(kept[::-1][:n])]} for n in (2, 5, 20)]
    assert said["rungs"] == expected
    assert rows_sha256(kept[:5]) != rows_sha256(kept[:5][::-1])


def test_other_data_are_refused(data: ImageData, tmp_path: Path) -> None:
    """Another pixel, another label, another order: each by its own fingerprint, and an altered folder before any."""
    path = tmp_path / "split.json"
    write_split(path, make_split(data, RULES[0]), data)
    pixels, labels = drawn()
    pixel, label = pixels.copy(), labels | {"Young": -labels["Young"]}
    pixel[3, 0, 0, 0] += 1
    for number, (other, caption) in enumerate([(pixel, labels), (pixels, label), (pixels[::-1], labels), (pixels[:-1], {})]):
        found = stored(tmp_path / str(number), other, **caption)
        with pytest.raises(InputError, match=r"is of other data than .* holds"):
            load_split(path, found)
    load_split(path, stored(tmp_path / "elsewhere", pixels, **labels))  # the same data may lie anywhere
    raw = data.folder / "images.npy"
    raw.write_bytes(raw.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match="changed since it was made"):
        load_images(data.folder)


def changed(found: dict[str, Any], *keys: str | int, value: Any) -> dict[str, Any]:
    copy: Any = json.loads(json.dumps(found))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    assert copy != found
    return copy  # type: ignore[no-any-return]


HOSTILE = [
    (("kind",), "run", "no split manifest"),
    (("version",), 2, "no split manifest"),
    (("data", "sha256"), "0" * 64, "other data"),
    (("data", "images"), 61, "other data"),
    (("data",), None, "other data"),
    (("split",), [], "no kind of split"),
    (("split", "kind"), "eval", "no kind of split"),
    (("split", "kind"), ["ladder"], "no kind of split"),
    (("split", "kind"), "identity", "other parameters"),
    (("split", "sizes"), "2", "other parameters"),
    (("split", "sizes"), [2.0, 5], "other parameters"),
    (("split", "sizes"), [5, 2], "ascending"),
    (("split", "sizes"), [10**30], "twice 10"),
    (("split", "sizes"), [2, 5, 19], "hashes differ"),
    (("split", "seed"), 1, "other parameters"),
    (("duplicates",), [], "no table"),
    (("duplicates",), None, "hashes differ"),
    (("duplicates", "threshold"), float("nan"), "no threshold"),
    (("duplicates", "pool"), 0, "no pooling"),
    (("duplicates", "pool"), 2, "hashes differ"),
    (("duplicates", "removed"), [7, 30, 10**12], "ascending list of rows"),
    (("duplicates", "removed"), [-1, 7], "ascending list of rows"),
    (("duplicates", "removed"), [30, 7], "ascending list of rows"),
    (("duplicates", "removed"), [7, 7], "ascending list of rows"),
    (("duplicates", "removed"), [[7]], "ascending list of rows"),
    (("duplicates", "removed"), [True, 7], "ascending list of rows"),
    (("duplicates", "removed"), list(range(1, 60)), "twice 20 images, and 1"),
    (("duplicates", "removed"), [7, 55], "hashes differ"),
    (("groups", 0, "rows_sha256"), "0" * 64, "hashes differ"),
    (("groups", 1, "images"), 3, "hashes differ"),
    (("rungs", 0, "rows_sha256", 1), "0" * 64, "hashes differ"),
    (("rungs",), [], "hashes differ"),
    (("more",), 1, "hashes differ"),
    (("reserved",), 3, "hashes differ"),
    (("reserved",), True, "sets aside no number"),
    (("reserved",), "3", "sets aside no number"),
    (("reserved",), -1, "-1 of 60 images set aside"),
    (("reserved",), 60, "60 of 60 images set aside"),
    (("sha256",), None, "hashes differ"),
]


@pytest.mark.parametrize(("keys", "value", "says"), HOSTILE, ids=str)
def test_altered_manifests_are_refused(
    data: ImageData, duplicates: DuplicateList, keys: tuple[str | int, ...], value: Any, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "split.json"
    found = make_split(data, RULES[2], duplicates).describe(data)
    path.write_text(json.dumps(changed(found, *keys, value=value)))
    with pytest.raises(InputError, match=says) as refusal:
        load_split(path, data)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b"{}", b"1" * 5000])
def test_what_is_no_manifest_is_refused(data: ImageData, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"split\.json"):
        load_split(path, data)
    with pytest.raises(InputError):
        write_split(path, make_split(data, RULES[1]), data)
    assert path.read_bytes() == content


def test_lists_of_duplicates_are_of_their_data(data: ImageData, duplicates: DuplicateList, tmp_path: Path) -> None:
    path = tmp_path / "duplicates.json"
    write_duplicates(path, duplicates, data)
    again = read_duplicates(path, data)
    assert (again.threshold, again.pool, again.removed.tolist()) == (0.95, 1, [7, 30, 55])
    pixels, labels = drawn(1)
    with pytest.raises(InputError, match="is of other images"):
        read_duplicates(path, stored(tmp_path / "other", pixels, **labels))
    for content in ("[]", "{}", '{"kind": "split"}'):
        path.write_text(content)
        with pytest.raises(InputError, match="no list of duplicates"):
            read_duplicates(path, data)


def test_data_without_labels_have_only_a_ladder(tmp_path: Path) -> None:
    data = stored(tmp_path / "plain", drawn()[0])
    assert rows_of(make_split(data, Ladder((2,)))) == [[0, 1], [59, 58]]
    assert sorted(np.concatenate(make_split(data, AtRandom(1)).groups).tolist()) == list(range(COUNT))
    for rule in RULES[:2]:
        with pytest.raises(InputError, match="has no labels"):
            make_split(data, rule)


@pytest.mark.parametrize("rule", [ByAttribute("Male"), ByIdentity(1), Ladder((25,))], ids=lambda rule: rule.kind)
def test_what_a_run_takes_is_disjoint_by_content(data: ImageData, rule: Controlled) -> None:
    """With the duplicates in, some of which lie across the groups."""
    for size in (1, 8, 15):
        splits = cut(make_split(data, rule), data.pixels, size, 12)
        splits.check(data.pixels)
        assert splits.rows.shape == (2, size)
        taken = content_ids(data.pixels)[splits.rows]
        left = [row for row in range(COUNT) if content_ids(data.pixels)[row] not in taken]
        assert splits.held_out.tolist() == left[-12:]


@pytest.mark.parametrize("rule", [ByAttribute("Male", 1), ByIdentity(1), Ladder((8,)), AtRandom(1)], ids=lambda rule: rule.kind)
def test_images_set_aside_are_in_no_group(data: ImageData, duplicates: DuplicateList, rule: Controlled, tmp_path: Path) -> None:
    """Every kind of split is then judged on the same images, less duplicates: row 55, which repeats row 20, is one."""
    for listed in (None, duplicates):
        split = make_split(data, rule, listed, reserved=10)
        path = tmp_path / f"{listed is None}.json"
        write_split(path, split, data)
        assert json.loads(path.read_text())["reserved"] == 10
        again = load_split(path, data)
        assert (again.reserved, rows_of(again)) == (10, rows_of(split))
        assert max(map(max, rows_of(split))) < COUNT - 10
        held_out = set(cut(again, data.pixels, 8, 10).held_out.tolist())
        assert held_out >= set(range(COUNT - 10, COUNT)) - {55}


def test_held_out_images_repeat_none_of_the_others(data: ImageData, duplicates: DuplicateList) -> None:
    found = cut(make_split(data, Ladder((3,)), duplicates), data.pixels, 3, 51)
    assert not set(found.held_out.tolist()) & {7, 30, 55}
    assert len(found.held_out) == 51
    for size, held_out in ((3, 52), (4, 1)):
        with pytest.raises(InputError, match=rf"{max(size, held_out)} images are asked of"):
            cut(make_split(data, Ladder((3,)), duplicates), data.pixels, size, held_out)


def test_a_run_uses_a_manifest(data: ImageData, duplicates: DuplicateList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "split.json"
    split = make_split(data, ByIdentity(4), duplicates)
    write_split(path, split, data)
    chosen = Images(path=str(data.folder), splits=2, split_size=10, held_out=6, manifest=str(path))
    loaded: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr("twinsplit.worlds.images.pictured.load_images", lambda folder: loaded.append(folder) or load_images(folder))
        world = ImageWorld.of(replace(DIGITS_SMOKE, data=chosen))
    assert loaded == [data.folder]  # all pixels are read and hashed there
    assert world.splits.rows.tolist() == [rows[:10] for rows in rows_of(split)]
    who = data.labels()["identity"].to_numpy()
    assert set(who[world.splits.rows[0]].tolist()).isdisjoint(who[world.splits.rows[1]].tolist())
    assert world.describe()["rows"]["splits"] == world.splits.rows.tolist()
    path.write_text(path.read_text().replace('"seed": 4', '"seed": 5'))
    with pytest.raises(InputError, match="hashes differ"):
        ImageWorld.of(replace(DIGITS_SMOKE, data=chosen))
    with pytest.raises(InputError, match=r"data\.manifest without data\.path"):
        ImageWorld.of(replace(DIGITS_SMOKE, data=replace(chosen, path="")))
    for options in ({"splits": 3}, {"order": "shuffled"}):
        with pytest.raises(InputError, match="with a manifest"):
            replace(chosen, **options)


def test_drawn_faces_in_celebas_layout(tmp_path: Path) -> None:
    """The planted near-duplicates are found, and the splits hold for the tables as they are written."""
    faces = FaceSet(17, 12)
    planted = [image for image in range(36) if faces.original(image) != image]
    assert len(planted) >= 3
    write_faces(tmp_path / "raw", 36, faces, Inline())
    data = prepare(CelebaSource(tmp_path / "raw"), replace(gahb(40, "mean"), exact=SIZE), tmp_path / "faces", Inline())
    found = find_duplicates(data)
    assert set(planted) <= set(found.removed.tolist())
    assert len(found.removed) < 12
    assert found.pool == 2
    labels = data.labels()
    eyes = labels["Eyeglasses"].to_numpy() == 1
    first, second = make_split(data, ByAttribute("Eyeglasses")).groups
    assert sorted(first.tolist()) == np.flatnonzero(eyes).tolist()
    assert len(second) == len(first)
    assert not eyes[second].any()
    who = labels["identity"].to_numpy()
    first, second = make_split(data, ByIdentity(), found).groups
    assert set(who[first].tolist()).isdisjoint(who[second].tolist())
    assert sorted([*first, *second, *found.removed]) == list(range(36))
