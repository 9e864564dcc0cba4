"""Decode image files safely: few formats, bounded sizes, one frame, and a reason for every file
that is not used."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import final

from PIL import Image, ImageOps

from twinsplit.data.images.frame import Bytes, Frame, UnusableError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LARGEST_FILE = 1 << 28
LARGEST_PICTURE = 1 << 26


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not used, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        """One line, whatever characters the name holds."""
        return f"{self.path if self.path.isprintable() else ascii(self.path)}: {self.reason}"


@final
@dataclass(frozen=True, slots=True)
class Decoded:
    """pixels: (C, H, W) uint8; bytes and sha256 of the file they come from."""

    pixels: Bytes
    bytes: int
    sha256: str


def read_content(path: Path) -> bytes:
    """The bytes of a file; raises UnusableError when it is empty, too large or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise UnusableError("zero bytes")
    if len(content) > LARGEST_FILE:
        raise UnusableError(f"more than {LARGEST_FILE >> 20} MiB")
    return content


def decode(content: bytes, frame: Frame) -> Decoded:
    """The pixels of an encoded picture; whatever a decoder trips over becomes UnusableError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = frame.pixels(_open(content))
    except UnusableError:
        raise
    except Exception as error:  # decoders fail in many ways on hostile bytes, and each of them is a reason to report
        raise UnusableError(f"not a readable picture: {_first_line(error)}") from error
    return Decoded(pixels, len(content), hashlib.sha256(content).hexdigest())


def _open(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content), formats=FORMATS)
    if picture.width * picture.height > LARGEST_PICTURE:
        raise UnusableError(f"{picture.width} x {picture.height} pixels: more than {LARGEST_PICTURE >> 20} million")
    # A JPEG of a camera may hold a second picture for depth or preview (MPO); the first is the photo.
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise UnusableError("animated, or of several pages")
    picture.load()
    return ImageOps.exif_transpose(picture)


def _first_line(error: Exception) -> str:
    words = (str(error).splitlines() or [""])[0].replace("<_io.BytesIO object at ", "<")
    return f"{type(error).__name__}: {words.split(' <')[0]}" if words else type(error).__name__
