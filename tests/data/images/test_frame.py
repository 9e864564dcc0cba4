"""Framing equals torchvision's float pipeline to half a level, for every mode a picture can have."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pictures import smooth, with_alpha
from twinsplit.data.images.frame import Frame, UnusableError, gahb
from twinsplit.errors import InputError

LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)


def levels(picture: Image.Image) -> torch.Tensor:
    """(3, H, W) float64, 0..255."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).double()


def published(planes: torch.Tensor, size: int, mode: str = "bilinear") -> torch.Tensor:
    """Resize of the shorter side and CenterCrop as torchvision computes their sizes and offsets, on float tensors."""
    height, width = planes.shape[1:]
    short = min(height, width)
    shape = [int(size * height / short), int(size * width / short)]
    scaled = torch.nn.functional.interpolate(planes[None], shape, mode=mode, antialias=True, align_corners=False)[0]
    top, left = (round((side - size) / 2.0) for side in shape)
    return scaled[:, top : top + size, left : left + size]


@pytest.mark.parametrize(("width", "height", "size"), [(178, 218, 32), (218, 178, 32), (178, 218, 64), (40, 40, 40), (101, 57, 16)])
def test_grey_is_within_half_a_level_of_the_published_floats(width: int, height: int, size: int) -> None:
    picture = smooth(width, height)
    expected = published((LUMA @ levels(picture).flatten(1)).reshape(1, height, width), size)
    found = torch.from_numpy(Frame(size).pixels(picture)).double()
    assert found.shape == (1, size, size)
    assert (found - expected).abs().max() <= 0.5 + 1e-3


def test_colour_is_within_the_rounding_of_two_passes() -> None:
    picture = smooth(178, 218)
    found = torch.from_numpy(Frame(32, "rgb").pixels(picture)).double()
    assert (found - published(levels(picture), 32)).abs().max() <= 1.01


@pytest.mark.parametrize("size", [20, 40, 80])
def test_gahb_cuts_to_160_and_averages_the_channels(size: int) -> None:
    picture = smooth(178, 218)
    cut = levels(picture).mean(0, keepdim=True)[:, 29:-29, 9:-9]
    assert cut.shape == (1, 160, 160)
    expected = published(cut, size, "bicubic").clamp(0, 255)
    assert (torch.from_numpy(gahb(size).pixels(picture)).double() - expected).abs().max() <= 0.5 + 1e-2


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 8), st.sampled_from(["grey", "mean", "rgb"]))
def test_any_picture_becomes_the_shape(width: int, height: int, size: int, colour: str) -> None:
    frame = Frame(size, colour)  # type: ignore[arg-type]
    found = frame.pixels(smooth(width, height))
    assert found.shape == frame.shape
    assert found.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_mode_is_the_grey_of_its_colours(mode: str) -> None:
    picture = smooth(40, 40).convert(mode)
    found = Frame(40).pixels(picture).astype(int)
    assert np.abs(found - np.asarray(picture.convert("RGB").convert("L"), dtype=int)).max() <= 1


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 1600).round().astype(np.uint16).reshape(40, 40)
    for colour in ("grey", "mean", "rgb"):
        found = Frame(40, colour).pixels(Image.fromarray(ramp))  # type: ignore[arg-type]
        assert np.abs(found - ramp / 257).max() <= 0.5 + 1e-3


def test_alpha_that_says_nothing_is_dropped_and_other_alpha_refused() -> None:
    assert np.array_equal(Frame(40).pixels(with_alpha(255)), Frame(40).pixels(smooth(40, 40)))
    with pytest.raises(UnusableError, match="transparent"):
        Frame(40).pixels(with_alpha(254))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnusableError, match="178 x 218 are expected"):
        Frame(32, exact=(178, 218)).pixels(smooth(218, 178))
    with pytest.raises(UnusableError, match="too few"):
        Frame(32).pixels(smooth(31, 90))
    with pytest.raises(UnusableError, match="too few"):
        gahb(40).pixels(smooth(57, 90))
    for size in (0, -3, 5000):
        with pytest.raises(InputError):
            Frame(size)
    with pytest.raises(InputError):
        Frame(None)
