"""`twinsplit data`: every kind end to end, refusals in one line with exit status 2, and a killed command that goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from commands import refusal, twinsplit

COUNT = 40


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "raw"
    twinsplit("data", "faces", "--make", str(COUNT), "--out", folder, "--workers", "1")
    return folder


def test_faces_are_prepared_as_celeba(raw: Path, tmp_path: Path) -> None:
    said = twinsplit("data", "celeba", raw, "--out", tmp_path / "out", "--workers", "2").stdout
    assert f"{COUNT} images of 1 x 32 x 32" in said
    assert "intact" in twinsplit("data", "check", tmp_path / "out").stdout
    twinsplit("data", "celeba", raw, "--out", tmp_path / "gahb", "--framing", "gahb", "--colour", "mean", "--size", "40", "--workers", "1")
    assert np.load(tmp_path / "gahb" / "images.npy").shape == (COUNT, 1, 40, 40)
    assert "other images" in refusal("data", "celeba", raw, "--out", tmp_path / "out", "--size", "16")
    pixels = tmp_path / "out" / "images.npy"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"\7")
    assert "changed since it was made" in refusal("data", "check", tmp_path / "out")


def test_files_that_are_no_pictures_are_counted_and_pictures_that_are_not_read_are_refusal(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path, name in zip(sorted((raw / "img_align_celeba").iterdir()), ("1.jpg", "2.jfif", "3.jpe"), strict=False):
        (folder / name).write_bytes(path.read_bytes())
    (folder / "table.csv").write_text("a,b")
    (folder / "notes.txt").write_text("words")
    options = ["data", "folder", folder, "--out", tmp_path / "out", "--workers", "1"]
    for _ in ("made", "standing"):
        said = twinsplit(*options).stdout
        assert "no pictures: 2 other files" in said
        assert "3 images of 1 x 32 x 32" in said
    (folder / "4.avif").write_bytes(b"\0\0\0 ftypavif")
    options[4] = tmp_path / "again"
    line = refusal(*options)
    assert "1 file cannot be used (first: 4.avif: a picture in a format that is not read (.avif)" in line
    said = twinsplit(*options, "--leave-out").stdout
    assert "no pictures: 2 other files" in said
    assert "1 left out" in said


def test_a_broken_file_is_refused_or_left_out_on_request(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted((raw / "img_align_celeba").iterdir())[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.jpg").write_text("no picture")
    options = ["data", "folder", folder, "--out", tmp_path / "out", "--colour", "rgb", "--size", "24", "--workers", "1"]
    line = refusal(*options)
    assert "1 file cannot be used (first: bad.jpg: not a readable picture" in line
    assert "--leave-out" in line
    assert json.loads((tmp_path / "out" / "problems.json").read_text())["problems"][0]["path"] == "bad.jpg"
    said = twinsplit(*options, "--leave-out").stdout
    assert "not used: bad.jpg" in said
    assert "5 images of 3 x 24 x 24" in said
    assert "1 left out" in said


def test_arrays_and_digits(tmp_path: Path) -> None:
    twinsplit("data", "digits", "--out", tmp_path / "digits")
    assert "1797 images of 1 x 8 x 8" in twinsplit("data", "check", tmp_path / "digits").stdout
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 6, 6), np.uint8), y=np.ones(3))
    assert "--key" in refusal("data", "arrays", tmp_path / "a.npz", "--out", tmp_path / "out")
    assert "3 images of 1 x 6 x 6" in twinsplit("data", "arrays", tmp_path / "a.npz", "--key", "x", "--out", tmp_path / "out").stdout


def test_synthetic_classes(tmp_path: Path) -> None:
    options = ["data", "calpha", "--alpha", "1", "--size", "8", "--make", "12", "--workers", "1", "--out", tmp_path / "calpha"]
    assert "12 images of 1 x 8 x 8" in twinsplit(*options).stdout
    twinsplit("data", "discs", "--size", "9", "--make", "1030", "--seed", "3", "--workers", "2", "--out", tmp_path / "discs")
    assert "1030 images of 1 x 9 x 9" in twinsplit("data", "check", tmp_path / "discs").stdout
    source = json.loads((tmp_path / "calpha" / "data.json").read_text())["source"]
    assert (source["kind"], source["alpha"], source["seed"]) == ("calpha", 1.0, 0)
    assert "other images" in refusal(*options, "--seed", "1")
    assert "regularity -1.0" in refusal("data", "calpha", "--alpha", "-1", "--out", tmp_path / "out")
    assert "0 images" in refusal("data", "discs", "--make", "0", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_refusal(tmp_path: Path) -> None:
    assert "is not a folder" in refusal("data", "folder", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert "img_align_celeba" in refusal("data", "celeba", tmp_path, "--out", tmp_path / "out")
    assert "does not exist" in refusal("data", "check", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_killed_command_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    """SIGKILL at several moments, from start-up to the last write; whatever it leaves, the same command ends with the same bytes."""
    twinsplit("data", "celeba", raw, "--out", tmp_path / "whole", "--workers", "1")
    command = [sys.executable, "-m", "twinsplit.cli", "data", "celeba", str(raw), "--out", str(tmp_path / "out"), "--workers", "2"]
    for wait in (0.6, 1.2, 1.8):
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(wait)
        running.send_signal(signal.SIGKILL)
        running.wait()
    twinsplit(*command[3:])
    found = {name: content for name, content in contents(tmp_path / "out").items() if not name.endswith(".part")}
    assert found == contents(tmp_path / "whole")


def test_duplicates_and_splits_leave_the_folder_as_it_is(raw: Path, tmp_path: Path) -> None:
    """What else they do and refuse is tested without a process for each, in test_split_verbs.py."""
    folder = tmp_path / "faces"
    twinsplit("data", "celeba", raw, "--out", folder, "--workers", "1", "--framing", "gahb", "--colour", "mean", "--size", "40")
    before = contents(folder)
    assert f"of {COUNT} images correlate above 0.9" in twinsplit("data", "duplicates", folder, "--threshold", "0.9").stdout
    listed = ["--duplicates", tmp_path / "faces-duplicates.json"]
    said = twinsplit("data", "split", folder, "--attribute", "Male & !Eyeglasses", *listed, "--out", tmp_path / "split.json").stdout
    assert "Male & !Eyeglasses, and the others" in said
    line = refusal("data", "split", folder, "--attribute", "Eyeglases", "--out", tmp_path / "other.json")
    assert "did you mean Eyeglasses?" in line
    assert contents(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "faces-duplicates.json", "split.json"}


@pytest.mark.parametrize("kind", ["celeba", "folder", "arrays", "hub", "digits", "faces", "duplicates", "split"])
def test_every_kind_explains_itself(kind: str) -> None:
    assert "usage: twinsplit data" in twinsplit("data", kind, "--help").stdout
