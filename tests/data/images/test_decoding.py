"""Hostile files end as a reason; good ones as pixels with the hash of the file."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pictures import file_of, hostile, smooth
from twinsplit.data.images import decoding
from twinsplit.data.images.decoding import decode, read_content
from twinsplit.data.images.frame import Frame, UnusableError

FRAME = Frame(32)


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_are_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    content, word = hostile()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableError, match=word) as refusal:
        decode(read_content(tmp_path / name), FRAME)
    assert "\n" not in str(refusal.value)
    assert "0x" not in str(refusal.value), "a reason that names a memory address differs from run to run"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF"])
def test_every_format_is_read(kind: str) -> None:
    picture = smooth(60, 50)
    content = file_of(picture, kind)
    found = decode(content, FRAME)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.bytes == len(content)
    assert np.abs(found.pixels.astype(int) - FRAME.pixels(picture)).mean() < 12


def test_orientation_is_applied() -> None:
    picture = smooth(60, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(file_of(picture, "PNG", exif=exif), Frame(32, "rgb")).pixels
    assert np.array_equal(turned, Frame(32, "rgb").pixels(picture.transpose(Image.Transpose.ROTATE_270)))


@given(st.binary(max_size=300), st.integers(0, 600), st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP"]))
def test_damaged_bytes_end_as_pixels_or_as_a_reason(noise: bytes, at: int, kind: str) -> None:
    content = file_of(smooth(40, 40), kind)
    damaged = content[:at] + noise + content[at + len(noise) :]
    try:
        found = decode(damaged, FRAME)
    except UnusableError:  # anything else would fail the test
        return
    assert found.pixels.shape == (1, 32, 32)
    assert found.sha256 == hashlib.sha256(damaged).hexdigest()


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableError, match="cannot be read"):
        read_content(tmp_path / "nowhere.jpg")
    monkeypatch.setattr(decoding, "LARGEST_FILE", 1000)
    (tmp_path / "vast.jpg").write_bytes(bytes(1001))
    with pytest.raises(UnusableError, match="more than"):
        read_content(tmp_path / "vast.jpg")
