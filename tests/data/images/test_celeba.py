"""CelebA's tables as they are distributed, and refusals of every way they can be malformed; files and tables must agree."""

from pathlib import Path

import numpy as np
import pytest

from pictures import file_of, smooth
from twinsplit.data.images.celeba import (
    ATTRIBUTES,
    IDENTITIES,
    IMAGES,
    PARTITION,
    SIZE,
    CelebaSource,
    read_attributes,
    read_identities,
    read_partition,
)
from twinsplit.data.images.folder import ImageData
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import leave_out, prepare
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

NAMES = [f"{i:06d}.jpg" for i in range(1, 5)]
ATTRIBUTE_LINES = ["4", "Eyeglasses Male Young ", *(f"{name}  1 -1  {value}" for name, value in zip(NAMES, (1, -1, 1, 1), strict=True))]
IDENTITY_LINES = [f"{name} {number}" for name, number in zip(NAMES, (2880, 7, 2880, 10177), strict=True)]
PARTITION_LINES = [f"{name} {part}" for name, part in zip(NAMES, (0, 0, 1, 2), strict=True)]
FRAME = Frame(16, exact=SIZE)


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "celeba"
    (folder / IMAGES).mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        (folder / IMAGES / name).write_bytes(file_of(smooth(*SIZE, seed), "JPEG"))
    write(folder / ATTRIBUTES, ATTRIBUTE_LINES)
    write(folder / IDENTITIES, IDENTITY_LINES)
    write(folder / PARTITION, PARTITION_LINES)
    return folder


def ready(raw: Path, out: Path, **options: object) -> ImageData:
    return prepare(CelebaSource(raw), FRAME, out, Inline(), **options)  # type: ignore[arg-type]


def test_labels_stand_row_by_row(raw: Path, tmp_path: Path) -> None:
    data = ready(raw, tmp_path / "out")
    labels = data.labels()
    assert list(data.files()["name"]) == NAMES
    assert list(labels.columns) == ["Eyeglasses", "Male", "Young", "identity", "partition"]
    assert labels["Young"].tolist() == [1, -1, 1, 1]
    assert labels["identity"].tolist() == [2880, 7, 2880, 10177]
    assert labels["partition"].tolist() == [0, 0, 1, 2]
    assert labels.dtypes["Male"] == np.int8


def test_the_authors_folders_are_known(raw: Path, tmp_path: Path) -> None:
    expected = ready(raw, tmp_path / "flat")
    for folder, name in (("Anno", ATTRIBUTES), ("Anno", IDENTITIES), ("Eval", PARTITION), ("Img", IMAGES)):
        (raw / folder).mkdir(exist_ok=True)
        (raw / name).rename(raw / folder / name)
    assert ready(raw, tmp_path / "deep").description == expected.description


def test_without_tables_there_are_no_labels(raw: Path, tmp_path: Path) -> None:
    for name in (ATTRIBUTES, IDENTITIES, PARTITION):
        (raw / name).unlink()
    data = ready(raw, tmp_path / "out")
    assert len(data) == 4
    with pytest.raises(InputError, match="no labels"):
        data.labels()


def test_files_and_tables_must_agree(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / NAMES[1]).unlink()
    (raw / IMAGES / "000009.jpg").write_bytes(file_of(smooth(*SIZE), "JPEG"))
    (raw / IMAGES / NAMES[3]).write_bytes(file_of(smooth(*SIZE[::-1]), "JPEG"))
    with pytest.raises(InputError, match="3 files"):
        ready(raw, tmp_path / "out")
    data = ready(raw, tmp_path / "out", treatment=leave_out)
    reasons = {problem.path: problem.reason for problem in data.left_out()}
    assert "missing, though" in reasons[NAMES[1]]
    assert "not listed in" in reasons["000009.jpg"]
    assert "218 x 178 pixels where 178 x 218" in reasons[NAMES[3]]
    assert data.labels()["identity"].tolist() == [2880, 2880]


def test_a_changed_table_is_another_data_set(raw: Path, tmp_path: Path) -> None:
    ready(raw, tmp_path / "out")
    write(raw / IDENTITIES, [line.replace("2880", "3") for line in IDENTITY_LINES])
    with pytest.raises(InputError, match="changed since"):
        ready(raw, tmp_path / "out")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="img_align_celeba"):
        CelebaSource(tmp_path).listing()


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([], "does not begin"),
        (["4"], "does not begin"),
        (["four", *ATTRIBUTE_LINES[1:]], "does not begin"),
        (["5", *ATTRIBUTE_LINES[1:]], "announces 5 images and lists 4"),
        (["3", *ATTRIBUTE_LINES[1:]], "announces 3 images and lists 4"),
        (["4", " ", *ATTRIBUTE_LINES[2:]], "names no attribute"),
        (["4", "Male Male Young", *ATTRIBUTE_LINES[2:]], "names no attribute, or one twice"),
        ([*ATTRIBUTE_LINES[:3], "000002.jpg 1 -1", *ATTRIBUTE_LINES[4:]], "line 4 has 3 fields where 4"),
        ([*ATTRIBUTE_LINES[:3], "1 -1 1", *ATTRIBUTE_LINES[4:]], "line 4 has 3 fields where 4"),
        ([*ATTRIBUTE_LINES[:3], "", *ATTRIBUTE_LINES[4:]], "line 4 has 0 fields"),
        ([*ATTRIBUTE_LINES[:3], "000002.jpg 1 -1 1 1", *ATTRIBUTE_LINES[4:]], "line 4 has 5 fields"),
        ([*ATTRIBUTE_LINES[:3], "000002.jpg 1 0 1", *ATTRIBUTE_LINES[4:]], "line 4 holds values other than"),
        ([*ATTRIBUTE_LINES[:3], "000002.jpg 1 nan 1", *ATTRIBUTE_LINES[4:]], "line 4 holds values other than"),
        ([*ATTRIBUTE_LINES[:3], ATTRIBUTE_LINES[2], *ATTRIBUTE_LINES[4:]], "000001.jpg twice"),
    ],
)
def test_malformed_attributes_are_refused(tmp_path: Path, lines: list[str], word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_attributes(write(tmp_path / ATTRIBUTES, lines))


LINES = ("000002.jpg", "000002.jpg x", "000002.jpg -1", "000002.jpg 1.5", "000002.jpg 1 2", "000001.jpg 1", "", "000002.jpg ²")


@pytest.mark.parametrize("line", LINES)
def test_malformed_numbers_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=IDENTITIES):
        read_identities(write(tmp_path / IDENTITIES, [IDENTITY_LINES[0], line, *IDENTITY_LINES[2:]]))
    with pytest.raises(InputError, match=PARTITION):
        read_partition(write(tmp_path / PARTITION, [PARTITION_LINES[0], line, *PARTITION_LINES[2:]]))


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gives the identity 0"):
        read_identities(write(tmp_path / IDENTITIES, ["000001.jpg 0"]))
    with pytest.raises(InputError, match="gives the partition 3"):
        read_partition(write(tmp_path / PARTITION, ["000001.jpg 3"]))


def test_tables_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / ATTRIBUTES).write_bytes(b"4\n\xff\xfe\n")
    with pytest.raises(InputError, match="cannot read"):
        read_attributes(tmp_path / ATTRIBUTES)
