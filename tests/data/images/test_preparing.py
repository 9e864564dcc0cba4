"""A data folder holds what was asked for, or nothing: refusals, omissions on request, interruptions, other hands, damage."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from pictures import file_of, hostile, smooth
from twinsplit.data.images import preparing
from twinsplit.data.images.decoding import Decoded
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.listing import Entry, Listing
from twinsplit.data.images.preparing import leave_out, prepare, refuse
from twinsplit.data.images.sources import FolderSource, Source
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline, open_executor
from twinsplit.runs.files import hold

FRAME = Frame(16)
COUNT = 11


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "CHUNK_IMAGES", 4)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "more").mkdir(parents=True)
    for i in range(COUNT):
        name = f"more/{i}.png" if i % 3 == 0 else f"{i} picture.JPG"
        (folder / name).write_bytes(file_of(smooth(30 + i, 24, i), "PNG" if i % 3 == 0 else "JPEG"))
    return folder


def ready(raw: Path, out: Path, **options: object) -> ImageData:
    return prepare(FolderSource(raw), FRAME, out, Inline(), **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_rows_are_the_files_in_the_recorded_order(raw: Path, tmp_path: Path) -> None:
    data = ready(raw, tmp_path / "out")
    files = data.files()
    assert len(data) == len(files) == COUNT
    assert list(files["name"])[:3] == ["1 picture.JPG", "2 picture.JPG", "4 picture.JPG"]
    for row, name in enumerate(files["name"]):
        found = FolderSource(raw).decode(Entry(name), FRAME)
        assert np.array_equal(data.pixels[row], found.pixels)
        assert (files["sha256"][row], files["bytes"][row]) == (found.sha256, (raw / name).stat().st_size)
    assert isinstance(data.pixels, np.memmap)
    assert not (tmp_path / "out" / ".cache").exists()
    assert data.left_out() == []


def test_tensors_are_floats_from_0_to_1(raw: Path, tmp_path: Path) -> None:
    data = ready(raw, tmp_path / "out")
    rows = np.array([7, 2])
    found = data.tensor(rows)
    assert found.dtype == torch.float32
    assert found.shape == (2, 1, 16, 16)
    assert torch.equal((found * 255).round().to(torch.uint8), torch.from_numpy(np.array(data.pixels[rows])))
    assert data.tensor().shape == (COUNT, 1, 16, 16)


def test_any_number_of_hands_writes_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "one")
    with open_executor(2) as executor:
        prepare(FolderSource(raw), FRAME, tmp_path / "two", executor)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@dataclass(frozen=True)
class Interrupted(Source):
    """A folder whose reader is stopped after some images, and counts them."""

    inner: FolderSource
    after: int
    seen: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, object]:
        return self.inner.describe()

    def listing(self) -> Listing:
        return self.inner.listing()

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        if len(self.seen) == self.after:
            raise KeyboardInterrupt
        self.seen.append(entry.name)
        return self.inner.decode(entry, frame)


@pytest.mark.parametrize("after", [0, 3, 4, 9, 10])
def test_an_interrupted_command_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path, after: int) -> None:
    ready(raw, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare(Interrupted(FolderSource(raw), after), FRAME, tmp_path / "out", Inline())
    assert not (tmp_path / "out" / "data.json").exists()
    rest = Interrupted(FolderSource(raw), COUNT)
    prepare(rest, FRAME, tmp_path / "out", Inline())
    assert len(rest.seen) == COUNT - after // 4 * 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_stopped_while_writing_or_with_a_damaged_chunk(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(raw, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "store_images", _stop)
        with pytest.raises(KeyboardInterrupt):
            ready(raw, tmp_path / "out")
    first = sorted((tmp_path / "out" / ".cache").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-5])
    (tmp_path / "out" / ".images.npy.x.part").write_bytes(b"half")
    ready(raw, tmp_path / "out")
    (tmp_path / "out" / ".images.npy.x.part").unlink()
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_unusable_files_are_refused_with_a_list(raw: Path, tmp_path: Path) -> None:
    for name, (content, _) in hostile().items():
        (raw / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{len(hostile())} files cannot be used") as refusal:
        ready(raw, tmp_path / "out")
    assert "--leave-out" in refusal.value.remedy
    listed = json.loads((tmp_path / "out" / "problems.json").read_text())["problems"]
    assert {found["path"] for found in listed} == set(hostile())
    for found in listed:
        assert hostile()[found["path"]][1] in found["reason"]
    assert not (tmp_path / "out" / "data.json").exists()


def test_a_name_of_several_lines_stays_in_one(raw: Path, tmp_path: Path) -> None:
    (raw / "a\n\x1b[31mb.jpg").write_bytes(b"?")
    with pytest.raises(InputError) as refusal:
        ready(raw, tmp_path / "out")
    assert str(refusal.value).isprintable()
    assert ready(raw, tmp_path / "out", treatment=leave_out).left_out()[0].path == "a\n\x1b[31mb.jpg"


def test_leaving_out_is_recorded_and_mending_goes_on(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "clean")
    (raw / "broken.jpg").write_bytes(b"?")
    (raw / "read me.txt").write_text("no image")
    data = ready(raw, tmp_path / "out", treatment=leave_out)
    assert data.description["left_out"] == 1
    assert [problem.path for problem in data.left_out()] == ["broken.jpg"]
    assert json.loads((tmp_path / "out" / "problems.json").read_text())["not_images"] == ["read me.txt"]
    assert (tmp_path / "out" / "images.npy").read_bytes() == (tmp_path / "clean" / "images.npy").read_bytes()
    with pytest.raises(InputError, match="1 file cannot be used"):
        ready(raw, tmp_path / "out", treatment=refuse)
    with pytest.raises(InputError, match="1 file cannot be used"):
        ready(raw, tmp_path / "mended")
    (raw / "broken.jpg").write_bytes(file_of(smooth(40, 40), "JPEG"))
    assert len(ready(raw, tmp_path / "mended")) == COUNT + 1


def test_what_stands_is_opened_and_nothing_else_is(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "out")
    before = (tmp_path / "out" / "images.npy").stat().st_mtime_ns
    (tmp_path / "out" / ".cache").mkdir()  # stopped between the last file and tidying up
    ready(raw, tmp_path / "out")
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns == before
    assert not (tmp_path / "out" / ".cache").exists()
    with pytest.raises(InputError, match="other images"):
        prepare(FolderSource(raw), Frame(8), tmp_path / "out", Inline())
    (raw / "new.png").write_bytes(file_of(smooth(30, 30), "PNG"))
    with pytest.raises(InputError, match="have changed since"):
        ready(raw, tmp_path / "out")


@pytest.mark.parametrize("kind", ["BMP", "PPM", "TIFF"])
def test_pixels_rewritten_in_place_are_seen_although_the_size_is_the_same(raw: Path, tmp_path: Path, kind: str) -> None:
    picture = raw / f"plain.{kind.lower()}"
    picture.write_bytes(file_of(smooth(20, 20, 1), kind))
    ready(raw, tmp_path / "out")
    size = picture.stat().st_size
    picture.write_bytes(file_of(smooth(20, 20, 2), kind))
    os.utime(picture, ns=(0, 1))  # a clock that is coarse, or was set back, is no excuse
    assert picture.stat().st_size == size
    with pytest.raises(InputError, match=rf"they have changed since \(first: plain.{kind.lower()}: rewritten\)"):
        ready(raw, tmp_path / "out")
    picture.write_bytes(file_of(smooth(20, 20, 1), kind))
    assert len(ready(raw, tmp_path / "out")) == COUNT + 1


def test_files_that_were_only_touched_are_hashed_once(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (raw / "broken.jpg").write_bytes(b"?")
    ready(raw, tmp_path / "out", treatment=leave_out)
    before = contents(tmp_path / "out")
    for name in ("2 picture.JPG", "broken.jpg"):
        os.utime(raw / name, ns=(0, 5))
    read: list[Path] = []
    monkeypatch.setattr(preparing, "read_content", lambda path: read.append(path) or path.read_bytes())
    for _ in range(2):
        ready(raw, tmp_path / "out", treatment=leave_out)
        assert read == [raw / "2 picture.JPG"]
    changed = {name for name, content in contents(tmp_path / "out").items() if before[name] != content}
    assert changed == {"modified.json"}


def test_a_file_that_was_left_out_and_is_mended_in_place_is_seen(raw: Path, tmp_path: Path) -> None:
    whole = file_of(smooth(30, 30), "BMP")
    (raw / "broken.bmp").write_bytes(b"?" * len(whole))
    ready(raw, tmp_path / "out", treatment=leave_out)
    (raw / "broken.bmp").write_bytes(whole)
    os.utime(raw / "broken.bmp", ns=(0, 5))
    with pytest.raises(InputError, match="changed since"):
        ready(raw, tmp_path / "out", treatment=leave_out)


def test_a_folder_that_does_not_know_when_files_were_written_has_them_read(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "out")
    noted = (tmp_path / "out" / "modified.json").read_bytes()
    (tmp_path / "out" / "modified.json").unlink()
    ready(raw, tmp_path / "out")
    assert (tmp_path / "out" / "modified.json").read_bytes() == noted


@pytest.mark.parametrize("name", ["images.npy", "files.parquet", "data.json"])
def test_altered_folders_are_refused(raw: Path, tmp_path: Path, name: str) -> None:
    files = ready(raw, tmp_path / "out").files()
    path = tmp_path / "out" / name
    if name == "files.parquet":
        files.loc[::-1].to_parquet(path)
    elif name == "images.npy":
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    else:
        path.write_text(path.read_text().replace(f"{COUNT},", "2,"))
    with pytest.raises(InputError, match="changed since it was made"):
        load_images(tmp_path / "out")


def test_what_is_no_data_folder_is_refused(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "out")
    (tmp_path / "out" / "images.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="not a readable data folder"):
        load_images(tmp_path / "out")
    for text, says in (("{}", "holds no images"), ("[]", "data.json holds not what twinsplit writes there")):
        (tmp_path / "out" / "data.json").write_text(text)
        with pytest.raises(InputError, match=says):
            load_images(tmp_path / "out")


def test_places_that_cannot_be_are_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies in the folder"):
        ready(raw, raw / "prepared")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="something else"):
        ready(raw, tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable image"):
        ready(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "held").mkdir()
    with hold(tmp_path / "held"), pytest.raises(InputError, match="another process"):
        ready(raw, tmp_path / "held")
    with pytest.raises(InputError, match="does not exist"):
        load_images(tmp_path / "empty")


def test_repeated_files_are_counted(raw: Path, tmp_path: Path) -> None:
    (raw / "again.JPG").write_bytes((raw / "1 picture.JPG").read_bytes())
    assert ready(raw, tmp_path / "out").description["repeated_files"] == 1
