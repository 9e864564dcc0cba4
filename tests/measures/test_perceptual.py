"""Re-ranking nearest images by a perceptual distance."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.perceptual import (
    Lpips,
    nearest_by_correlation,
    perceptual_distances,
    reranking,
    spearman,
    ssim_distance,
)
from twinsplit.measures.similarity import correlation


def pictures(n: int, seed: int = 0, side: int = 8) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nearest_by_correlation_equals_all_pairs() -> None:
    samples, training = pictures(5), pictures(40, 1)
    values, rows = nearest_by_correlation(samples, training, 4)
    every = torch.stack([correlation(sample.expand_as(training), training) for sample in samples])
    expected = every.sort(1, descending=True)
    assert torch.equal(rows, expected.indices[:, :4])
    assert torch.allclose(values, expected.values[:, :4], atol=1e-12)


def test_brightness_and_contrast_do_not_matter_to_correlation() -> None:
    samples, training = pictures(5), pictures(40, 1)
    assert torch.equal(nearest_by_correlation(0.3 * samples + 0.2, training)[1], nearest_by_correlation(samples, training)[1])


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(InputError, match="one colour"):
        nearest_by_correlation(torch.full((1, 1, 8, 8), 0.5), pictures(20))


def test_ssim_is_zero_for_equal_images_and_grows_with_noise() -> None:
    images = pictures(6, side=16)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    none, little, much = (ssim_distance(images, (images + sd * noise).clamp(0, 1)) for sd in (0.0, 0.05, 0.5))
    assert torch.equal(none, torch.zeros(6, dtype=torch.float64))
    assert bool((little > 0).all())
    assert bool((little < much).all())


def test_ssim_against_its_formula_where_one_window_is_the_image() -> None:
    """7 x 7 images and a window of 7: SSIM is one number of means, variances and covariance (Wang et al. 2004, eq. 13; unbiased)."""
    a, b = pictures(1, 3, 7)[0, 0], pictures(1, 4, 7)[0, 0]
    c1, c2 = 0.01**2, 0.03**2
    covariance = float(((a - a.mean()) * (b - b.mean())).sum() / 48)
    top = (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
    bottom = (a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var() + b.var() + c2)
    assert float(ssim_distance(a[None, None], b[None, None])) == pytest.approx(1 - float(top / bottom), rel=1e-9)


def test_an_image_too_small_for_a_window_is_refused() -> None:
    with pytest.raises(InputError, match="3 or more a side"):
        ssim_distance(pictures(1, side=2), pictures(1, side=2))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_spearman_is_scipys(values: list[float], seed: int) -> None:
    other = np.random.default_rng(seed).integers(0, 4, len(values)).astype(float)
    found = spearman(np.array(values), other)
    constant = len(set(values)) == 1 or len(set(other)) == 1
    assert found == pytest.approx(0.0 if constant else spearmanr(values, other).statistic, abs=1e-9)
    assert spearman(other, np.array(values)) == pytest.approx(found, abs=1e-12)


def test_the_same_order_changes_nothing_and_the_reverse_everything() -> None:
    correlations = torch.linspace(0.9, 0.1, 10, dtype=torch.float64).repeat(4, 1)
    same, reverse = reranking(correlations, 1 - correlations), reranking(correlations, correlations)
    assert (same.changed, same.agreement.value) == (0, 1.0)
    assert (reverse.fraction, reverse.agreement.value) == (1.0, -1.0)
    assert same.changed_interval[0] == 0.0
    assert same.changed_interval[1] == pytest.approx(1 - 0.025 ** (1 / 4))


def test_distances_are_of_the_named_rows() -> None:
    samples, training = pictures(3), pictures(9, 1)
    rows = torch.tensor([[0, 8], [3, 3], [5, 1]])
    found = perceptual_distances(samples, training, rows, lambda a, b: (a - b).abs().flatten(1).sum(1))
    assert float(found[2, 1]) == pytest.approx(float((samples[2] - training[1]).abs().sum()))
    assert float(found[1, 0]) == float(found[1, 1])


@pytest.mark.parametrize("shape", [(3, 1), (3,), (3, 4)])
def test_orders_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="orders of shapes"):
        reranking(torch.zeros(3, 5) if shape == (3, 4) else torch.zeros(shape), torch.zeros(shape))


class Stand(torch.nn.Module):
    """What the package's class is called with, and a distance that shows what it was given."""

    def __init__(self, net: str, pretrained: bool, pnet_rand: bool, verbose: bool) -> None:
        super().__init__()
        assert (net, pretrained, pnet_rand, verbose) == ("vgg", False, True, False)
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.shape[1] == b.shape[1] == 3
        assert float(min(a.min(), b.min())) >= -1
        return self.scale * (a - b).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_is_called_as_the_package_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Stand))
    save_file({"scale": torch.tensor([3.0])}, tmp_path / "vgg.safetensors")
    a, b = pictures(4), pictures(4, 1)
    found = Lpips(tmp_path / "vgg.safetensors")(a, b)
    assert torch.allclose(found, 6 * (a - b).abs().mean((1, 2, 3)), atol=1e-6)
    with pytest.raises(InputError, match="holds no LPIPS weights"):
        Lpips(tmp_path / "nothing.safetensors")


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match="or use SSIM"):
        Lpips(tmp_path / "vgg.safetensors")
