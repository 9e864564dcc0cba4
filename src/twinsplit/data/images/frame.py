"""From a decoded picture to the pixels that are learned from: cut, scaled to the shorter side,
cropped to the middle, 8 bits."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twinsplit.errors import InputError

Colour = Literal["grey", "mean", "rgb"]
Bytes = NDArray[np.uint8]
PLAIN_MODES = {"1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr"}
LARGEST_SIDE = 4096


class UnusableError(ValueError):
    """A picture that cannot be used as asked; the message is the reason."""


@final
@dataclass(frozen=True)
class Frame:
    """How pictures become arrays of shape (C, size, size).

    size: pixels a side, or None to keep `exact`. colour: grey (luma 0.299 R + 0.587 G + 0.114 B),
    mean (of R, G and B) or rgb. margins: rows and columns cut off first (top, bottom, left, right).
    resample: antialiased kernel. exact: (width, height) every picture must have, or None.
    """

    size: int | None = 32
    colour: Colour = "grey"
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    exact: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= LARGEST_SIDE:
            raise InputError(f"images of {self.size} pixels a side", f"choose from 1 to {LARGEST_SIDE}")
        if self.size is None and self.exact is None:
            raise InputError("images of no stated size", "give the side in pixels")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every result."""
        width, height = (self.size, self.size) if self.size is not None else self.exact or (0, 0)
        return (3 if self.colour == "rgb" else 1, height, width)

    def to_json(self) -> dict[str, Any]:
        """All fields, as lists and numbers."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def pixels(self, picture: Image.Image) -> Bytes:
        """(C, H, W) uint8; raises UnusableError with the reason.

        Scales and crops as torchvision's `Resize(size)` and `CenterCrop(size)` do, in floating
        point for one channel, so that the one rounding is the last: within 0.53 levels of the
        published tensors, half a level and what torchvision rounds off its grey.
        """
        self._check_exact(picture.size)
        planes = [self._framed(plane) for plane in _planes(_opaque(picture), self.colour)]
        levels = np.stack([np.asarray(plane) for plane in planes])
        rounded: Bytes = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
        return rounded

    def _check_exact(self, size: tuple[int, int]) -> None:
        if self.exact is not None and size != self.exact:
            raise UnusableError(f"{size[0]} x {size[1]} pixels where {self.exact[0]} x {self.exact[1]} are expected")

    def _framed(self, plane: Image.Image) -> Image.Image:
        if self.size is None:
            return plane
        top, bottom, left, right = self.margins
        width, height = plane.width - left - right, plane.height - top - bottom
        if min(width, height) < self.size:
            raise UnusableError(f"{plane.width} x {plane.height} pixels are too few for {self.size} x {self.size}")
        # Cut before scaling: with `resize(box=...)` Pillow's kernel would reach over the edge of the box.
        cut = plane.crop((left, top, left + width, top + height)) if any(self.margins) else plane
        scaled = cut.resize(self._scaled(width, height), Image.Resampling[self.resample.upper()])
        x, y = (round((side - self.size) / 2) for side in scaled.size)
        return scaled.crop((x, y, x + self.size, y + self.size))

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        size, short = self.size or 0, min(width, height)
        return (size if width == short else size * width // short, size if height == short else size * height // short)


def gahb(size: int, colour: Colour = "mean") -> Frame:
    """CelebA as [GAHB] has it (PROTOCOL section 4): the middle 160 x 160, bicubic, the mean of the
    channels."""
    return Frame(size, colour, (29, 29, 9, 9), "bicubic")


def _opaque(picture: Image.Image) -> Image.Image:
    """Drop an opaque alpha channel; raise UnusableError for transparent pixels."""
    if picture.mode.startswith("I;16"):
        return picture
    if picture.mode not in PLAIN_MODES:
        raise UnusableError(f"pixels of Pillow's mode {picture.mode}, whose white is not known")
    if picture.mode not in {"RGBA", "LA", "PA"} and "transparency" not in picture.info:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    if np.asarray(layered.getchannel("A")).min() < 255:
        raise UnusableError("transparent pixels, whose colour depends on what lies below")
    return layered.convert("RGB")


def _planes(picture: Image.Image, colour: Colour) -> list[Image.Image]:
    """One picture per channel: bytes for rgb, else floating point."""
    if picture.mode.startswith("I;16"):
        level = Image.fromarray(np.asarray(picture).astype(np.float32) / 257)
        return [level] * (3 if colour == "rgb" else 1)
    if colour == "rgb":
        return list(picture.split())
    if colour == "grey":
        return [picture.convert("F")]
    return [Image.fromarray(np.asarray(picture).mean(2, dtype=np.float32))]
