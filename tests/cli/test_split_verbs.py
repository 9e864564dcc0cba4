"""What `twinsplit data duplicates` and `data split` write and refuse; a refusal writes nothing, and the data folder is only read."""

import json
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prepared import COUNT, drawn, stored
from twinsplit.cli.splits import Groups, duplicates, split
from twinsplit.data.images.folder import ImageData
from twinsplit.data.splits import duplicate_lists
from twinsplit.data.splits.manifests import load_split
from twinsplit.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    pixels, labels = drawn()
    return stored(tmp_path / "data", pixels, **labels)


def cut(folder: Path, out: Path, **options: Any) -> None:
    """Write a split; the options of its groups among the others, as on the command line."""
    groups = {name: options.pop(name) for name in ("attribute", "identities", "ladder", "seed") if name in options}
    split(folder, out=out, groups=Groups(**groups), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_duplicates_are_listed_beside_the_folder(data: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(data.folder)
    duplicates(data.folder)
    path = tmp_path / "data-duplicates.json"
    assert f"{path}: 3 of {COUNT} images correlate above 0.95 with an earlier one" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert (found["removed"], found["threshold"], found["sha256"]) == ([7, 30, 55], 0.95, data.description["sha256"])
    duplicates(data.folder, out=tmp_path / "all.json", threshold=0.0)
    assert json.loads((tmp_path / "all.json").read_text())["removed"] == list(range(1, COUNT))
    written = contents(tmp_path)
    capsys.readouterr()
    duplicates(data.folder)
    said = capsys.readouterr()
    assert "3 of 60" in said.out
    assert said.err == ""  # the list that stands is not made again
    (tmp_path / "mine.txt").write_text("mine")
    for out, threshold in ((path, 0.9), (tmp_path / "mine.txt", 0.95), (tmp_path, 0.95)):
        with pytest.raises(InputError, match="exists and holds something else; choose another --out"):
            duplicates(data.folder, out=out, threshold=threshold)
    assert contents(tmp_path) == written | {"mine.txt": b"mine"}
    assert contents(data.folder) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attribute": "Male & !Young"}, "(Male & !Young, and the others); duplicates not sought"),
        ({"identities": True, "seed": 3}, "29 and 28 images (no identity in both groups); 3 duplicates taken out"),
        ({"ladder": "3, 10"}, "10 and 10 images (first and last 3, 10); 3 duplicates taken out"),
        ({"ladder": "3", "threshold": 0.0}, "twice 3 images"),
    ],
)
def test_every_kind_of_split(
    data: ImageData, options: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = contents(data.folder), tmp_path / "split.json"
    if says.startswith("twice"):
        with pytest.raises(InputError, match=says):
            cut(data.folder, out, **options)
        assert not out.exists()
    else:
        cut(data.folder, out, **options)
        assert says in capsys.readouterr().out
        load_split(out, data)
        written = out.read_bytes()
        duplicates(data.folder, out=tmp_path / "list.json")
        cut(data.folder, tmp_path / "listed.json", duplicates=tmp_path / "list.json", **options)
        assert ((tmp_path / "listed.json").read_bytes() == written) == ("attribute" not in options)
    assert contents(data.folder) == before


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one of --attribute, --identities and --ladder"),
    ({"identities": True, "ladder": "3"}, "exactly one of"),
    ({"attribute": "Mal"}, r"did you mean Male\?"),
    ({"ladder": "3,x"}, "--ladder '3,x'"),
    ({"ladder": "3,,5"}, "--ladder '3,,5'"),
    ({"ladder": "9999999999"}, "--ladder '9999999999'"),
    ({"ladder": "5,3"}, "ascending order"),
    ({"ladder": "31"}, "twice 31 images"),
    ({"ladder": "3", "threshold": 1.0}, r"threshold 1\.0"),
    ({"ladder": "3", "device": "abacus"}, "--device abacus does not work here"),
    ({"ladder": "3", "seed": 0}, "--ladder has no --seed; leave it out"),
    ({"attribute": "Male", "threshold": 0.95}, "--threshold where no duplicates are sought; leave it out: --attribute takes no"),
    ({"attribute": "Male", "device": "cpu"}, "--device where no duplicates are sought"),
    ({"identities": True, "threshold": 0.9, "duplicates": Path("list.json")}, "leave it out: --duplicates names the list"),
    ({"ladder": "3", "device": "cpu", "duplicates": Path("list.json")}, "--device where no duplicates are sought"),
    ({"ladder": "3", "folder": Path("nowhere")}, "does not exist"),
    ({"ladder": "3", "duplicates": Path("nowhere.json")}, "does not exist"),
]


@pytest.mark.parametrize(("options", "says"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_what_cannot_be_split_is_refused(data: ImageData, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    before = contents(tmp_path)
    with pytest.raises(InputError, match=says) as refusal:
        cut(**({"folder": data.folder, "out": tmp_path / "split.json"} | options))
    assert "\n" not in str(refusal.value)
    assert contents(tmp_path) == before


def test_nothing_is_written_into_the_data_or_over_other_files(data: ImageData, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data.folder)
    for out in (data.folder / "split.json", tmp_path / "link" / "data.json", data.folder):
        with pytest.raises(InputError, match="a data folder is not altered"):
            cut(data.folder, out, ladder="3")
        with pytest.raises(InputError, match="a data folder is not altered"):
            duplicates(data.folder, out=out)
    out = tmp_path / "split.json"
    cut(data.folder, out, attribute="Male")
    cut(data.folder, tmp_path / "ladder.json", ladder="3")
    before = contents(tmp_path)
    for options in ({"attribute": "!Male"}, {"identities": True}, {"attribute": "Male", "duplicates": tmp_path / "list.json"}):
        with pytest.raises(InputError, match=r"holds something else|does not exist"):
            cut(data.folder, out, **options)
    with pytest.raises(InputError, match="holds something else"):
        cut(data.folder, tmp_path / "ladder.json", ladder="3", threshold=0.4)
    with pytest.raises(InputError, match="holds something else"):
        cut(data.folder, tmp_path, ladder="3")
    assert contents(tmp_path) == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else; choose another --out"):
        cut(data.folder, tmp_path / "mine.txt", ladder="3")
    assert contents(tmp_path) == before | {"mine.txt": b"mine"}


def test_duplicates_are_sought_on_the_accelerator_where_there_is_one(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is not given to torch here: this machine need not have it."""
    devices: list[str] = []

    def noting(*images: object, device: str, **options: object) -> np.ndarray:
        devices.append(device)
        return np.array([1])

    monkeypatch.setattr(duplicate_lists, "near_duplicates", noting)
    for there, given in ((True, None), (False, None), (True, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert duplicate_lists.find_duplicates(data, device=given).removed.tolist() == [1]
    assert devices == ["cuda", "cpu", "cpu"]
    assert signature(duplicates).parameters["device"].default is signature(split).parameters["device"].default is None
