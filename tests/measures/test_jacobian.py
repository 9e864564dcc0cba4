"""Jacobians: linear maps give their matrix, homogeneous networks f(y) = J y, exact denoisers their covariance; Lanczos equals the whole."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.errors import InputError
from twinsplit.exact.gaussian import BlindGaussian
from twinsplit.measures.jacobian import Map, exact_basis, jacobian, lanczos_basis, products
from twinsplit.networks.blind_denoiser import BlindDenoiser
from twinsplit.networks.blind_unet import BlindUNet
from twinsplit.noise.reference import Noise

SHAPE = (1, 4, 6)
D = 24
SPREAD = [0.5, 0.7, 1.0, 1.4, 2.0]


def matrix(seed: int = 0, size: int = D) -> Tensor:
    return Noise(seed).normal(0, torch.arange(size), (size,))


def linear(m: Tensor) -> Map:
    return lambda y: (y.flatten(1) @ m.T).view_as(y)


def image(seed: int = 3, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return Noise(seed).normal(0, torch.arange(1), shape)[0]


def network() -> BlindDenoiser:
    """Untrained, with gains of size 1, or it would hardly do anything."""
    start = BlindDenoiser.initial(BlindUNet(1, 8, 4, 2), Noise(0))
    gains = {name: value.sign() if name.endswith("gain") else value for name, value in start.parameters.items()}
    return BlindDenoiser(start.network, gains).converted(torch.float64)


def test_a_linear_denoiser_gives_its_matrix() -> None:
    torch.testing.assert_close(jacobian(linear(matrix()), image(), chunk=7), matrix())


def test_products_are_the_matrix_and_its_transpose() -> None:
    forward, back = products(linear(matrix()), image(), image(4))
    torch.testing.assert_close(forward.flatten(), matrix() @ image(4).flatten())
    torch.testing.assert_close(back.flatten(), matrix().T @ image(4).flatten())


def test_a_homogeneous_network_is_its_jacobian_times_the_image() -> None:
    denoiser, y = network(), image(5, (1, 8, 8))
    for f in (denoiser.residual, denoiser.mean):
        torch.testing.assert_close(jacobian(f, y) @ y.flatten(), f(y[None]).flatten(), rtol=1e-9, atol=1e-12)


def test_the_basis_of_an_exact_denoiser_is_that_of_the_posterior_covariance() -> None:
    covariance = matrix() @ matrix().T / D
    wiener = BlindGaussian(image(1), covariance, torch.tensor([0.7]))
    basis = exact_basis(wiener.mean, image())
    values = torch.linalg.eigvalsh(covariance).flip(0)
    torch.testing.assert_close(basis.values, values / (values + 0.49), rtol=1e-6, atol=1e-9)
    assert basis.asymmetry < 1e-12
    rows = basis.vectors.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(D).double())
    torch.testing.assert_close(rows.T @ torch.diag(basis.values) @ rows, jacobian(wiener.mean, image()))
    torch.testing.assert_close((basis.coefficients(image())[:, None] * rows).sum(0), image().flatten())


def test_an_exact_blind_denoiser_has_a_symmetric_jacobian_only_at_one_level() -> None:
    """Not told sigma, the residual is no gradient: sigma^2 differs from level to level."""
    covariance = matrix() @ matrix().T / D
    found = [exact_basis(BlindGaussian(image(1), covariance, torch.tensor(levels)).mean, image()) for levels in (SPREAD, [0.5])]
    assert found[0].asymmetry > 0.05
    assert found[1].asymmetry < 1e-12


@pytest.mark.parametrize(
    "m", [matrix(), matrix() + matrix().T, torch.eye(D).double(), matrix() - matrix().T], ids=["any", "symmetric", "1", "odd"]
)
def test_a_full_lanczos_basis_is_the_exact_one(m: Tensor) -> None:
    whole, found = exact_basis(linear(m), image()), lanczos_basis(linear(m), image(), D, Noise(1), D)
    torch.testing.assert_close(found.values, whole.values, rtol=1e-9, atol=1e-9)
    assert found.asymmetry == pytest.approx(whole.asymmetry, abs=1e-9)
    rows = found.vectors.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(D).double())
    torch.testing.assert_close(rows.T @ torch.diag(found.values) @ rows, (m + m.T) / 2, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["network", "gaussian"])
def test_the_top_of_a_lanczos_basis_agrees_with_the_exact_one(kind: str) -> None:
    smooth = torch.exp(-(torch.arange(64)[:, None] - torch.arange(64)).double().abs() / 9)
    denoisers: dict[str, Blind] = {"network": network(), "gaussian": BlindGaussian(torch.zeros(1, 8, 8), smooth, torch.tensor([0.5, 0.6]))}
    denoise, y = denoisers[kind].mean, image(6, (1, 8, 8))
    whole, found = exact_basis(denoise, y), lanczos_basis(denoise, y, 4, Noise(1), 48)
    torch.testing.assert_close(found.values, whole.values[:4], rtol=1e-6, atol=1e-6)
    overlaps = (found.vectors.flatten(1) * whole.vectors[:4].flatten(1)).sum(1).abs()
    assert float(overlaps.min()) > 0.999
    assert float(found.bounds.max()) < 1e-3


@given(st.integers(0, 10_000), st.integers(2, D))
def test_every_bound_holds(seed: int, steps: int) -> None:
    m = matrix(seed)
    k = max(1, steps // 3)
    found, values = lanczos_basis(linear(m), image(), k, Noise(seed), steps), torch.linalg.eigvalsh((m + m.T) / 2)
    nearest = (found.values[:, None] - values).abs().amin(1)
    assert bool((nearest <= found.bounds + 1e-9).all())
    assert bool((found.values <= values[-1] + 1e-9).all())


def test_asymmetry_of_an_odd_map_is_1_and_of_nothing_0() -> None:
    assert exact_basis(linear(matrix() - matrix().T), image()).asymmetry == pytest.approx(1)
    assert exact_basis(linear(torch.zeros(D, D).double()), image()).asymmetry == 0
    assert lanczos_basis(linear(torch.zeros(D, D).double()), image(), 3, Noise(0)).values.tolist() == [0, 0, 0]


def test_hostile_input_is_refused() -> None:
    wiener = BlindGaussian(image(1), torch.eye(D).double(), torch.tensor([0.7]))
    with pytest.raises(InputError, match="carries no derivative"):
        jacobian(lambda y: wiener(y).mean, image())
    with pytest.raises(InputError, match="carries no derivative"):
        lanczos_basis(lambda y: wiener(y).mean, image(), 2, Noise(0))
    with pytest.raises(InputError, match="one image"):
        jacobian(wiener.mean, image()[None])
    with pytest.raises(InputError, match="one image"):
        exact_basis(wiener.mean, torch.zeros(SHAPE, dtype=torch.int64))
    for k, steps in ((0, 5), (6, 5), (2, D + 1)):
        with pytest.raises(InputError, match="Lanczos steps"):
            lanczos_basis(wiener.mean, image(), k, Noise(0), steps)
