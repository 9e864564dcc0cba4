"""Synthetic image classes: regularity, five parameters and exact areas, the rates they stand for, and images keyed by (seed, number).

Statistical tests have fixed seeds; their tolerances are four standard errors of what is compared, or are derived beside it.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinsplit.data.images.builtin import SyntheticSource
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import prepare
from twinsplit.data.synthetic import MIDDLE, SPREAD, CAlphaImages, DiscImages, ImageClass, fresh
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

CLASSES = [CAlphaImages(1.0, 16), CAlphaImages(4.0, 9, seed=3), DiscImages(16), DiscImages(11, seed=-2)]
MANY = torch.arange(400)


def slope_and_error(k: np.ndarray, power: np.ndarray, freedom: np.ndarray) -> tuple[float, float]:
    """Slope of log power against log k: estimates of chi-square law with `freedom` degrees have log-variance about 2 / freedom."""
    x, w = np.log(k), freedom / 2
    centred = x - np.average(x, weights=w)
    return float((w * centred * np.log(power)).sum() / (w * centred**2).sum()), float((w * centred**2).sum() ** -0.5)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_image_is_a_function_of_seed_and_number(kind: ImageClass) -> None:
    ids = torch.tensor([5, 0, 123_456, (1 << 32) + 7])
    together = kind.images(ids)
    assert together.shape == (4, 1, kind.size, kind.size)
    assert together.min() >= 0
    assert together.max() <= 1
    for i, one in enumerate(ids):
        assert np.array_equal(kind.images(one[None])[0], together[i])
    assert len({image.tobytes() for image in together}) == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 24), st.floats(0.2, 6.0), st.integers(-(2**40), 2**40), st.integers(0, 2**33))
def test_any_size_regularity_seed_and_number(size: int, alpha: float, seed: int, number: int) -> None:
    for kind in (CAlphaImages(alpha, size, seed), DiscImages(size, seed)):
        image = kind.images(torch.tensor([number]))
        assert image.shape == (1, 1, size, size)
        assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("alpha", [1.0, 2.0, 4.0])
def test_the_contour_has_the_stated_spectrum(alpha: float) -> None:
    """Power |k|^-(2 alpha + 1): the sum of power k^(2 s) converges, and with it regularity s, exactly for s below alpha."""
    contours = CAlphaImages(alpha, 64).contours(MANY)
    waves = np.fft.rfft(contours, axis=1)[:, 1:61]
    power = (np.abs(waves) ** 2).mean(0)
    found, error = slope_and_error(np.arange(1, 61), power, np.full(60, 2.0 * len(MANY)))
    assert error < 0.01
    assert abs(found + 2 * alpha + 1) < 4 * error


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_the_fields_have_the_stated_spectrum(alpha: float) -> None:
    """Power |k|^-(2 alpha + 2) in the plane, the same in all directions."""
    size = 32
    fields = CAlphaImages(alpha, size).fields(MANY[:200], 0)
    assert np.abs(fields.mean((1, 2))).max() < 1e-12
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(0)
    k = np.fft.fftfreq(size, 1 / size)
    norm = np.hypot(*np.meshgrid(k, k))
    half = (norm > 0) & ((k[:, None] > 0) | ((k[:, None] == 0) & (k > 0))) & (np.abs(k) < size / 2) & (np.abs(k)[:, None] < size / 2)
    found, error = slope_and_error(norm[half], power[half], np.full(half.sum(), 2.0 * 200))
    assert abs(found + 2 * alpha + 2) < 4 * error
    excess = np.log(power[half] * norm[half] ** (2 * alpha + 2))
    steep = np.abs(np.meshgrid(k, k)[1][half]) > np.abs(np.meshgrid(k, k)[0][half])
    gap, spread = excess[steep].mean() - excess[~steep].mean(), excess.std() * (1 / steep.sum() + 1 / (~steep).sum()) ** 0.5
    assert abs(gap) < 4 * spread


def test_contours_have_the_stated_height_and_spread() -> None:
    contours = CAlphaImages(2.0, 32).contours(MANY)
    means = contours.mean(1)
    assert (means > MIDDLE[0]).all()
    assert (means < MIDDLE[1]).all()
    variances = contours.var(1)
    assert abs(variances.mean() - SPREAD**2) < 4 * variances.std() / len(MANY) ** 0.5
    other = CAlphaImages(2.0, 32).fields(MANY, 1)
    assert abs(np.corrcoef(CAlphaImages(2.0, 32).fields(MANY, 0).ravel(), other.ravel())[0, 1]) < 0.05  # independent regions


def test_a_larger_image_is_the_same_picture_in_finer_detail() -> None:
    """The field at twice the size, low-passed, is the field; images differ by detail and by the range they are scaled to."""
    small, large = CAlphaImages(2.0, 16).fields(MANY[:20], 0), CAlphaImages(2.0, 32).fields(MANY[:20], 0)
    waves, coarse = np.fft.fft2(large), np.fft.fft2(small)
    turn = np.exp(1j * np.pi * np.fft.fftfreq(16, 1 / 16) * (1 / 16 - 1 / 32))  # centres of small and of large pixels
    kept = np.r_[0:8, 25:32]
    assert np.allclose(waves[:, kept][:, :, kept] / 4 * np.outer(turn, turn)[np.r_[0:8, 9:16]][:, np.r_[0:8, 9:16]],
                       coarse[:, np.r_[0:8, 9:16]][:, :, np.r_[0:8, 9:16]])  # fmt: skip
    blocks = CAlphaImages(2.0, 64).images(MANY[:20]).reshape(20, 1, 32, 2, 32, 2).mean((3, 5))
    assert np.abs(blocks - CAlphaImages(2.0, 32).images(MANY[:20])).mean() < 0.01


@pytest.mark.parametrize("alpha", [1.0, 2.0, 4.0])
def test_the_field_alone_has_the_rate_of_the_class(alpha: float) -> None:
    """Wiener's exact error of power |k|^-(2 alpha + 2) in noise eps, summed over the plane, falls as eps^(2 alpha / (alpha + 1)).

    As an integral: with k = eps^(-1 / (alpha + 1)) u the noise factors out, and the rest, int u du / (1 + u^(2 alpha + 2)), is finite.
    """
    k = np.geomspace(1e-2, 1e5, 20_001)
    noises = np.array([1e-4, 1e-3])
    power = k ** -(2 * alpha + 2)
    errors = [np.trapezoid(2 * np.pi * k * power * n**2 / (power + n**2), k) for n in noises]
    assert np.diff(np.log(errors))[0] / np.log(10) == pytest.approx(2 * CAlphaImages(alpha, 8).slope, abs=0.01)


def test_regions_span_the_stated_levels_and_contours_are_mixed_by_area() -> None:
    """One region goes up to 1 and the other down to 0; far from the contour a pixel is one of the two fields, scaled."""
    kind = CAlphaImages(2.0, 32)
    images, contours = kind.images(MANY)[:, 0], kind.contours(MANY).reshape(len(MANY), 32, 4)
    bright = kind.noise.child("bright").uniform(0, MANY, (1,)).numpy()[:, 0]
    u, v = kind.noise.child("levels").uniform(0, MANY, (2,)).numpy().T
    scaled = []
    for region, (low, high) in enumerate(((u, np.ones(400)), (np.zeros(400), v))):
        field = kind.fields(MANY, region)
        field = (field - field.min((1, 2), keepdims=True)) / np.ptp(field, axis=(1, 2), keepdims=True)
        scaled.append(low[:, None, None] + (high - low)[:, None, None] * field)
    rows = np.arange(32)[:, None]
    above, below = rows + 1 <= 32 * contours.min(-1)[:, None], rows >= 32 * contours.max(-1)[:, None]
    first = (above & (bright < 0.5)[:, None, None]) | (below & (bright >= 0.5)[:, None, None])
    second = (above | below) & ~first
    assert np.allclose(images[first], scaled[0][first])
    assert np.allclose(images[second], scaled[1][second])
    assert 0.4 < (bright < 0.5).mean() < 0.6
    mixed = ~(first | second)
    low, high = np.minimum(*scaled)[mixed], np.maximum(*scaled)[mixed]
    assert ((images[mixed] >= low - 1e-12) & (images[mixed] <= high + 1e-12)).all()


def test_discs_have_five_parameters_and_their_exact_area() -> None:
    kind = DiscImages(24, seed=1)
    parameters = kind.parameters(MANY)
    row, column, radius, inside, outside = parameters.T
    assert parameters.shape == (400, 5)
    low, high = kind.radii
    assert ((radius > low) & (radius < high) & (row > radius) & (column > radius) & (row < 24 - radius) & (column < 24 - radius)).all()
    coverage = kind.coverage(parameters)
    assert np.allclose(coverage.sum((1, 2)), np.pi * radius**2, rtol=1e-12)
    places = np.arange(24) + 0.5
    assert np.allclose((coverage * places[:, None]).sum((1, 2)) / coverage.sum((1, 2)), row, atol=0.05)
    assert np.allclose((coverage * places).sum((1, 2)) / coverage.sum((1, 2)), column, atol=0.05)
    assert np.allclose(kind.images(MANY)[:, 0], outside[:, None, None] + (inside - outside)[:, None, None] * coverage)
    for u in ((radius - low) / (high - low), (row - radius) / (24 - 2 * radius), inside, outside):  # uniform: sd of the mean is 0.0144
        assert abs(u.mean() - 0.5) < 4 * (1 / 12 / 400) ** 0.5
    assert np.abs(np.corrcoef(np.stack([radius, inside, outside])) - np.eye(3)).max() < 0.2


def test_coverage_is_the_area_of_the_disc_in_each_pixel() -> None:
    """Against counting 200 x 200 places in every pixel: their boundary cells are a few in a thousand."""
    kind = DiscImages(6)
    fine = (np.arange(1200) + 0.5) / 200
    for row, column, radius in ((2.7, 3.2, 1.9), (3.0, 3.0, 2.0), (1.1, 4.5, 0.7)):
        inside = (fine[:, None] - row) ** 2 + (fine - column) ** 2 < radius**2
        counted = inside.reshape(6, 200, 6, 200).mean((1, 3))
        assert np.abs(kind.coverage(np.array([[row, column, radius]]))[0] - counted).max() < 3e-3


def test_images_vary_along_five_directions_and_no_more() -> None:
    """The derivatives by the parameters are independent: the class is a manifold of dimension five."""
    kind = DiscImages(16)
    parameters = kind.parameters(MANY[:20])
    assert np.allclose(kind.draw(parameters), kind.images(MANY[:20]))
    step = 1e-5 * np.eye(5)
    for one in parameters:
        slopes = (kind.draw(one + step) - kind.draw(one - step)).reshape(5, -1) / 2e-5
        assert np.linalg.matrix_rank(slopes, tol=1e-3 * abs(one[3] - one[4])) == 5


@pytest.mark.parametrize("kind", CLASSES)
def test_a_data_folder_holds_the_rounded_images(kind: ImageClass, tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path)) / "out"
    source = SyntheticSource(kind, 12)
    data = prepare(source, source.frame, folder, Inline())
    assert np.array_equal(data.pixels, np.rint(255 * kind.images(torch.arange(12))).astype(np.uint8))
    assert data.description["source"] == kind.describe() | {"order": "numbers of the images, from 0"}
    longer = prepare(SyntheticSource(kind, 20), source.frame, folder.parent / "longer", Inline())
    assert np.array_equal(longer.pixels[:12], data.pixels)
    assert fresh(3).tolist() == [1 << 32, (1 << 32) + 1, (1 << 32) + 2]
    with pytest.raises(InputError):
        SyntheticSource(kind, (1 << 32) + 1)


def test_what_cannot_be_is_refused() -> None:
    for wrong in (lambda: CAlphaImages(0.0, 16), lambda: CAlphaImages(float("nan"), 16), lambda: CAlphaImages(1.0, 3),
                  lambda: DiscImages(5_000), lambda: SyntheticSource(DiscImages(8), 0)):  # fmt: skip
        with pytest.raises(InputError):
            wrong()
    assert SyntheticSource(DiscImages(8), 1).frame == Frame(size=None, exact=(8, 8))
