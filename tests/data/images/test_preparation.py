"""The command that a data folder was made by, read off data.json, makes the same folder again; what is altered has none."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinsplit.cli import entry as cli
from twinsplit.data.images.builtin import write_faces
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.folder import load_images
from twinsplit.data.images.preparation import preparation
from twinsplit.data.splits.controlled import AtRandom
from twinsplit.data.splits.manifests import load_split, make_split, write_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

COMMANDS = (
    "celeba faces --size 16 --colour mean --framing gahb",
    "celeba faces --size 20 --colour rgb",
    "folder faces/img_align_celeba --size 12",
    "arrays pixels.npy",
    "arrays several.npz --key a --size 4 --colour grey",
    "digits",
    "calpha --alpha 1.5 --size 12 --make 5 --seed 2",
    "discs --size 12 --make 5 --seed 3",
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_faces(folder / "faces", 8, FaceSet(0, 4), Inline())
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    np.save(folder / "pixels.npy", pixels)
    np.savez(folder / "several.npz", a=pixels, b=pixels[:2])
    return folder


def run(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(words))
    cli.main()


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "data.json").read_text())
    return found


def command_of(about: dict[str, Any]) -> str:
    return preparation(about["shape"][0], about["source"], about["frame"])


@pytest.mark.parametrize("words", COMMANDS)
def test_the_command_makes_the_folder_again(words: str, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(raw)
    run(f"twinsplit data {words} --out {tmp_path / 'first'}", monkeypatch)
    command = command_of(described(tmp_path / "first"))
    assert command.startswith(f"twinsplit data {words.split(maxsplit=1)[0]} ")
    place = {"DIR": "faces", "img_align_celeba": "faces/img_align_celeba", "FOLDER": str(tmp_path / "again")}
    run(shlex.join(place.get(word, word) for word in shlex.split(command)), monkeypatch)
    assert described(tmp_path / "again") == described(tmp_path / "first")


FRAME = {"size": 32, "colour": "grey", "margins": [0, 0, 0, 0], "resample": "bilinear", "exact": None}
FOLDER = {"kind": "folder", "name": "raw"}


def test_names_are_quoted_for_the_shell() -> None:
    assert preparation(3, FOLDER, FRAME) == "twinsplit data folder raw --size 32 --colour grey --out FOLDER"
    assert preparation(3, FOLDER | {"name": "my; rm *"}, FRAME) == "twinsplit data folder 'my; rm *' --size 32 --colour grey --out FOLDER"
    hub = {"kind": "hub", "name": "faces", "split": "train", "column": "image"}
    assert preparation(3, hub, FRAME) == "twinsplit data hub faces --split train --column image --size 32 --colour grey --out FOLDER"


@pytest.mark.parametrize(
    ("source", "frame"),
    [
        (None, None),
        ([], FRAME),
        ({"kind": ["folder"]}, FRAME),
        ({"kind": "telescope"}, FRAME),
        (FOLDER | {"name": 3}, FRAME),
        (FOLDER | {"name": "two\nlines"}, FRAME),
        (FOLDER, None),
        (FOLDER, FRAME | {"size": "large"}),
        (FOLDER, FRAME | {"size": 10**9}),
        (FOLDER, FRAME | {"margins": [1, 1, 1, 1]}),
        ({"kind": "celeba"}, FRAME | {"resample": "bicubic"}),
        ({"kind": "calpha", "alpha": "x", "size": 8, "seed": 0}, FRAME),
    ],
    ids=str,
)
def test_what_no_command_makes_has_none(source: Any, frame: Any) -> None:
    assert preparation(3, source, frame) == ""


def test_a_manifest_says_how_its_folder_is_prepared(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the raw folder alone: refused elsewhere with the command, which makes the folder that it is of."""
    monkeypatch.chdir(raw)
    for name, options in (("mine", "--size 16 --colour mean --framing gahb"), ("other", "--size 16")):
        run(f"twinsplit data celeba faces {options} --out {tmp_path / name}", monkeypatch)
    mine, other, path = load_images(tmp_path / "mine"), load_images(tmp_path / "other"), tmp_path / "split.json"
    write_split(path, make_split(mine, AtRandom(1)), mine)
    said = json.loads(path.read_text())["data"]
    assert (said["source"], said["frame"]) == (mine.description["source"], mine.description["frame"])
    with pytest.raises(InputError) as refusal:
        load_split(path, other)
    assert "`twinsplit data celeba DIR --size 16 --colour mean --framing gahb --out FOLDER`" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    command = str(refusal.value).split("`")[1].replace("DIR", "faces").replace("FOLDER", str(tmp_path / "again"))
    run(command, monkeypatch)
    assert len(load_split(path, load_images(tmp_path / "again")).groups[0]) == 4


def test_the_same_pixels_prepared_otherwise_are_refused(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(raw)
    run(f"twinsplit data arrays pixels.npy --out {tmp_path / 'mine'}", monkeypatch)
    data, path = load_images(tmp_path / "mine"), tmp_path / "split.json"
    split = make_split(data, AtRandom(1))
    write_split(path, split, data)
    about = described(data.folder)
    for changed, refused in (
        ({"source": {"kind": "folder"}}, True),
        ({"frame": None}, True),
        ({"source": about["source"] | {"name": "b"}}, False),
    ):
        (data.folder / "data.json").write_text(json.dumps(about | changed))
        if refused:
            with pytest.raises(InputError, match=r"prepared otherwise .*twinsplit data arrays pixels\.npy --colour grey --out FOLDER"):
                load_split(path, load_images(data.folder))
        else:
            load_split(path, load_images(data.folder))


def test_manifests_of_before_still_load_and_are_completed(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(raw)
    run(f"twinsplit data arrays pixels.npy --out {tmp_path / 'mine'}", monkeypatch)
    data, path = load_images(tmp_path / "mine"), tmp_path / "split.json"
    split = make_split(data, AtRandom(1))
    before = {name: value for name, value in split.describe(data)["data"].items() if name not in ("source", "frame")}
    path.write_text(json.dumps(split.describe(data, before)))
    assert [rows.tolist() for rows in load_split(path, data).groups] == [rows.tolist() for rows in split.groups]
    with pytest.raises(InputError, match="holds something else"):
        write_split(path, make_split(data, AtRandom(2)), data)
    write_split(path, split, data)
    assert json.loads(path.read_text()) == split.describe(data)
    assert "source" in json.loads(path.read_text())["data"]
