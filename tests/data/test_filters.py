"""Filters agree with the published numbers, and are the linear projections they are meant to be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference import images_small, shared
from twinsplit.data import filters
from twinsplit.errors import InputError

TOLERANCE = 2e-6  # float32, a few hundred additions


def pictures() -> torch.Tensor:
    return torch.from_numpy(images_small()["images"])


@pytest.mark.parametrize("finest", [1, 2, 3])
def test_zeroed_scales_equal_the_published(finest: int) -> None:
    found = filters.haar(pictures(), zero_finest=finest)
    np.testing.assert_allclose(found[images_small()["rows"]], images_small()[f"haar_zero_finest_{finest}"], rtol=0, atol=TOLERANCE)


def test_gains_equal_the_published() -> None:
    found = filters.haar(pictures(), gains=(0.45, 0.15, 0.05))
    np.testing.assert_allclose(found[images_small()["rows"]], images_small()["haar_gains_045_015_005"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("components", [4, 16])
def test_pca_equals_the_published(components: int) -> None:
    found = filters.pca(pictures(), components, fit_on=pictures()[:32])
    np.testing.assert_allclose(found[images_small()["rows"]], images_small()[f"pca_{components}"], rtol=0, atol=TOLERANCE)
    assert torch.equal(found, filters.pca(pictures(), components, fit_on=torch.arange(32)))


def test_pca_beyond_the_rank_equals_the_published_where_it_is_defined() -> None:
    """32 images span 31 directions. The published 32nd is rounding error: it shows on images it was not fitted on, along itself alone."""
    rows, published = images_small()["rows"], torch.from_numpy(images_small()["pca_32"]).flatten(1).double()
    found = filters.pca(pictures(), 32, fit_on=pictures()[:32])[rows].flatten(1).double()
    fitted = torch.from_numpy(rows < 32)
    torch.testing.assert_close(found[fitted], published[fitted], rtol=0, atol=TOLERANCE)
    spread = torch.linalg.svdvals((published - found)[~fitted])
    assert spread[1] < 1e-4 * spread[0]


def test_every_row_equals_the_reference_folder() -> None:
    file = shared("images.npz")
    images = torch.from_numpy(file["images"])
    for components in (4, 16):
        np.testing.assert_allclose(filters.pca(images, components, images[:32]), file[f"pca_{components}"], rtol=0, atol=TOLERANCE)
    for finest in (1, 2, 3):
        np.testing.assert_allclose(filters.haar(images, zero_finest=finest), file[f"haar_zero_finest_{finest}"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(filters.haar(images, gains=(0.45, 0.15, 0.05)), file["haar_gains_045_015_005"], rtol=0, atol=TOLERANCE)


def block_means(images: torch.Tensor, side: int) -> torch.Tensor:
    """Every pixel replaced by the mean of its block: what Haar is without its finest log2(side) scales."""
    return torch.nn.functional.avg_pool2d(images, side).repeat_interleave(side, -1).repeat_interleave(side, -2)


@given(st.integers(0, 3), st.sampled_from([(8, 8), (16, 24), (32, 32)]), st.sampled_from([1, 3]), st.integers(0, 99))
def test_zeroing_scales_is_averaging_blocks(finest: int, shape: tuple[int, int], channels: int, seed: int) -> None:
    images = torch.rand((2, channels, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(filters.haar(images, zero_finest=finest), block_means(images, 1 << finest), rtol=0, atol=1e-12)


@given(st.tuples(*[st.floats(-2, 2)] * 3), st.integers(0, 99))
def test_gains_weigh_differences_of_block_means(gains: tuple[float, float, float], seed: int) -> None:
    images = torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    means = [block_means(images, side) for side in (8, 4, 2, 1)]
    expected = means[0] + sum(gain * (fine - coarse) for gain, coarse, fine in zip(gains, means, means[1:], strict=False))
    torch.testing.assert_close(filters.haar(images, gains=gains), expected, rtol=0, atol=1e-12)


def test_nothing_asked_changes_nothing_at_any_size() -> None:
    images = torch.rand(2, 3, 13, 21, dtype=torch.float64)
    torch.testing.assert_close(filters.haar(images), images, rtol=0, atol=1e-12)


@given(st.integers(1, 9), st.integers(0, 99))
def test_pca_is_the_projection_nearest_to_what_it_was_fitted_on(components: int, seed: int) -> None:
    """Idempotent, and its squared error on the fit is the sum of the covariance's smallest eigenvalues."""
    images = torch.rand((12, 1, 3, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    once = filters.pca(images, components, images)
    torch.testing.assert_close(filters.pca(once, components, images), once, rtol=0, atol=1e-9)
    centred = (images - images.mean(0)).flatten(1)
    lost = torch.linalg.eigvalsh(centred.T @ centred)[: 9 - components].sum()
    torch.testing.assert_close((once - images).square().sum(), lost, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: filters.haar(x, zero_finest=4),
        lambda x: filters.haar(x, gains=(1.0, float("nan"), 1.0)),
        lambda x: filters.haar(x[..., :7]),
        lambda x: filters.haar((255 * x).to(torch.uint8)),
        lambda x: filters.pca(x, 0, x),
        lambda x: filters.pca(x, 11, x[:10]),
        lambda x: filters.pca(x, 1, x[:0]),
        lambda x: filters.pca(x, 1, x[..., :8]),
    ],
)
def test_what_cannot_be_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        call(pictures())
