"""Natural order, and a reason for everything in a folder that is no image to be used."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictures import file_of, smooth
from twinsplit.data.images.listing import kind_of, natural_key, scan
from twinsplit.errors import InputError


def names(folder: Path) -> list[str]:
    return [entry.name for entry in scan(folder).entries]


def reasons(folder: Path) -> dict[str, str]:
    return {problem.path: problem.reason for problem in scan(folder).problems}


def fill(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_order_is_natural_and_any_suffix_case_counts(tmp_path: Path) -> None:
    fill(tmp_path, "10.jpg", "9.jpg", "1 with spaces.PNG", "b/2.JPG", "b/10.webp", "a.tif", "notes.txt", ".DS_Store")
    assert names(tmp_path) == ["1 with spaces.PNG", "9.jpg", "10.jpg", "a.tif", "b/2.JPG", "b/10.webp"]
    assert scan(tmp_path).others == (".DS_Store", "notes.txt")


@given(st.lists(st.integers(0, 10**7), unique=True, max_size=20))
def test_numbers_are_ordered_by_value(numbers: list[int]) -> None:
    listed = sorted((f"image {number}.jpg" for number in numbers), key=natural_key)
    assert [int(name[6:-4]) for name in listed] == sorted(numbers)


@given(st.lists(st.text(alphabet="aB1²/._ é", min_size=1, max_size=8), unique=True, max_size=12))
def test_any_names_have_one_order(found: list[str]) -> None:
    backwards = found[::-1]
    assert sorted(found, key=natural_key) == sorted(backwards, key=natural_key)


def test_names_that_may_be_confused_are_reported(tmp_path: Path) -> None:
    fill(tmp_path, "one.jpg", "one.png", "TWO.jpg", "two.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "x/one.jpg")
    assert len(reasons(tmp_path)) == 3
    assert all("the same name as" in reason for reason in reasons(tmp_path).values())
    assert "x/one.jpg" in names(tmp_path)
    assert len(names(tmp_path)) == 4


def test_links_and_special_files(tmp_path: Path) -> None:
    fill(tmp_path / "in", "real.jpg", "deep/two.jpg")
    fill(tmp_path / "elsewhere", "far.jpg")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "in" / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "far.jpg")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    assert names(tmp_path / "in") == ["deep/two.jpg", "link.jpg", "real.jpg"]
    found = reasons(tmp_path / "in")
    assert found.keys() == {"loop", "self.jpg", "gone.jpg", "pipe.jpg"}
    assert "link to a folder" in found["loop"]
    assert "not a plain file" in found["pipe.jpg"]


def test_a_name_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    assert names(tmp_path) == []
    assert list(reasons(tmp_path).values()) == ["a name that is not UTF-8"]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        scan(tmp_path / "nowhere")


def test_pictures_that_are_not_read_are_reported_and_other_files_only_listed(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.jfif", "c.JPE", "d.avif", "e.HEIC", "f.jp2", "notes.txt", "Thumbs.db")
    for name, (content, _) in DISGUISED.items():
        (tmp_path / name).write_bytes(content)
    assert names(tmp_path) == ["a.png", "b.jfif", "c.JPE"]
    found = reasons(tmp_path)
    assert found.keys() == {"d.avif", "e.HEIC", "f.jp2", *DISGUISED}
    assert "format that is not read (.heic)" in found["e.HEIC"]
    assert all(f"first bytes ({kind})" in found[name] for name, (_, kind) in DISGUISED.items())
    assert scan(tmp_path).others == ("Thumbs.db", "notes.txt")


DISGUISED = {
    "no suffix": (file_of(smooth(9, 9), "PNG"), "PNG"),
    "1.dat": (file_of(smooth(9, 9), "JPEG"), "JPEG"),
    "2.bin": (file_of(smooth(9, 9), "WEBP"), "WebP"),
    "3.bin": (file_of(smooth(9, 9), "BMP"), "BMP"),
    "4.bin": (file_of(smooth(9, 9), "TIFF"), "TIFF"),
    "5.bin": (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"),
    "6.bin": (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIF"),
    "7.bin": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
}


@pytest.mark.parametrize("content", [b"", b"BM is how this text begins", b"RIFF....WAVE", b"name,bytes\n", b"II", b"%PDF-1.7"])
def test_what_is_no_picture_by_its_first_bytes(content: bytes) -> None:
    assert kind_of(content) is None
