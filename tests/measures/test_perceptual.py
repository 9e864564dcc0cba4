"""Re-ranking nearest images by a perceptual distance."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file, save_model
from scipy.stats import spearmanr
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.measures.perceptual import (
    Lpips,
    constant,
    enlarged,
    enlargement,
    nearest_by_correlation,
    perceptual_distances,
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
    images = torch.cat([pictures(2), torch.full((1, 1, 8, 8), 1 / 3), torch.zeros(1, 1, 8, 8)])
    assert constant(images).tolist() == [False, False, True, True]
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


def test_distances_are_of_the_named_rows() -> None:
    samples, training = pictures(3), pictures(9, 1)
    rows = torch.tensor([[0, 8], [3, 3], [5, 1]])
    found = perceptual_distances(samples, training, rows, lambda a, b: (a - b).abs().flatten(1).sum(1))
    assert float(found[2, 1]) == pytest.approx(float((samples[2] - training[1]).abs().sum()))
    assert float(found[1, 0]) == float(found[1, 1])


SLICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # of torchvision's VGG16: the convolutions of each slice


class Linear(torch.nn.Module):
    """The package's NetLinLayer: dropout, and one number per place."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Conv2d(2, 1, 1, bias=False))


class Backbone(torch.nn.Module):
    """The package's vgg16, two channels wide: a halving before every slice but the first."""

    def __init__(self) -> None:
        super().__init__()
        for i, layers in enumerate(SLICES):
            made = torch.nn.Sequential()
            if i:
                made.add_module(str(layers[0] - 1), torch.nn.MaxPool2d(2, 2))
            for layer in layers:
                made.add_module(str(layer), torch.nn.Conv2d(2 if layer else 3, 2, 3, padding=1))
                made.add_module(str(layer + 1), torch.nn.ReLU())
            setattr(self, f"slice{i + 1}", made)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for i in range(5):
            found.append(getattr(self, f"slice{i + 1}")(found[-1]))
        return found[1:]


class Scaling(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])


class Stand(torch.nn.Module):
    """lpips 0.1.4's LPIPS(net="vgg") with its names, each linear layer under two of them, and narrow layers; no torchvision is needed."""

    def __init__(self, net: str = "vgg", pretrained: bool = False, pnet_rand: bool = True, verbose: bool = False) -> None:
        super().__init__()
        assert (net, pretrained, pnet_rand, verbose) == ("vgg", False, True, False)
        self.scaling_layer = Scaling()
        self.net = Backbone()
        for i in range(5):
            setattr(self, f"lin{i}", Linear())
        self.lins = torch.nn.ModuleList([getattr(self, f"lin{i}") for i in range(5)])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.shape[1] == b.shape[1] == 3
        assert float(min(a.min(), b.min())) >= -1
        pairs = zip(self.net(a), self.net(b), self.lins, strict=True)
        terms = [lin.model((x - y).square()).mean((2, 3), keepdim=True) for x, y, lin in pairs]  # type: ignore[operator]
        return torch.stack(terms).sum(0)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stand, Path]:
    """A network with weights that nothing else has, in a file as the remedy makes it."""
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Stand))
    torch.manual_seed(7)
    network = Stand().eval()
    save_model(network, str(tmp_path / "vgg.safetensors"))
    return network, tmp_path / "vgg.safetensors"


def test_lpips_is_the_network_of_the_file(saved: tuple[Stand, Path]) -> None:
    network, path = saved
    assert {"lin0.model.1.weight", "lins.0.model.1.weight", "net.slice5.28.bias"} <= set(network.state_dict())
    with pytest.raises(RuntimeError, match="share memory"):
        save_file(network.state_dict(), path.with_name("twice.safetensors"))  # why the remedy is another function
    a, b = pictures(4, side=16), pictures(4, 1, side=16)
    expected = network(*(2 * images.float().expand(-1, 3, -1, -1) - 1 for images in (a, b))).flatten().detach()
    assert float(expected.abs().min()) > 0
    torch.testing.assert_close(Lpips(path)(a, b), expected.double())


def test_small_images_are_enlarged_for_the_backbone(saved: tuple[Stand, Path]) -> None:
    _, path = saved
    a, b = pictures(4), pictures(4, 1)
    torch.testing.assert_close(Lpips(path)(a, b), Lpips(path)(enlarged(a), enlarged(b)), rtol=1e-4, atol=0.0)  # enlarged in float64
    assert enlarged(a).shape == (4, 1, 16, 16)
    assert [enlargement(side) for side in (3, 8, 15, 16, 40)] == [6, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("lin3.model.1.weight"), r"first: lin3\.model"),
        (lambda state: state.pop("net.slice2.5.bias"), r"first: net\.slice2"),
        (lambda state: state.update(more=torch.zeros(1)), "first: more"),
        (lambda state: state.update({"net.slice1.0.bias": torch.zeros(3)}), "another network"),
    ],
)
def test_weights_of_another_network_are_refused(
    saved: tuple[Stand, Path], change: Callable[[dict[str, Tensor]], object], says: str
) -> None:
    _, path = saved
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(InputError, match=says) as refusal:
        Lpips(path)
    assert "save_model(network, FILE)" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_holds_no_weights_is_refused(saved: tuple[Stand, Path]) -> None:
    _, path = saved
    path.write_bytes(b"x" * 100)
    for file in (path, path.with_name("nothing.safetensors")):
        with pytest.raises(InputError, match="holds no LPIPS weights"):
            Lpips(file)


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match="or use SSIM"):
        Lpips(tmp_path / "vgg.safetensors")
