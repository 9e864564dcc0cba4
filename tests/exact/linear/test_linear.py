"""Linear denoisers: features as published, the fit against its normal equations, batches against single models."""

import pytest
import torch
from torch import Tensor

from gtv_reference import full, small
from twinsplit.diffusion.continuous import VariancePreserving
from twinsplit.errors import InputError
from twinsplit.exact.linear import products
from twinsplit.exact.linear.draws import NoisyDraws, World, draw, redraw_targets
from twinsplit.exact.linear.features import AxisFeatures, FourierModes, GaussianBumps, ProductFeatures, same_axes
from twinsplit.exact.linear.fit import LinearDenoiser, fit, fit_dual, fit_primal
from twinsplit.exact.point_masses import PointMasses
from twinsplit.noise.reference import Noise

SPAN = (1e-2, 1.0)
PROCESS = VariancePreserving()
MODELS = torch.arange(3)


def world(D: int, kind: type[GaussianBumps] | type[FourierModes], count: int, P: int) -> tuple[ProductFeatures, NoisyDraws]:
    points = Noise(1, "points").normal(0, torch.arange(4), (D,))
    return same_axes(kind, D, count, 1.5, SPAN), draw(World(points, PROCESS, SPAN), Noise(0, "draws"), MODELS, P)


@pytest.mark.parametrize("array", [small, full])
def test_features_are_the_published_ones(array: object) -> None:
    assert callable(array)
    x = array("x")
    torch.testing.assert_close(GaussianBumps(-1.5, 1.5, 16)(x), array("gauss_features"), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(FourierModes(-1.5, 1.5, 10)(x), array("fourier_features"), rtol=1e-9, atol=1e-9)


def test_product_features_are_products_with_time_fastest() -> None:
    features = ProductFeatures((GaussianBumps(-1, 1, 3), FourierModes(-1, 1, 4)), GaussianBumps(0, 1, 2))
    x, t = torch.tensor([[0.3, -0.4]], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    u, v, w = features.axes[0](x[:, 0]), features.axes[1](x[:, 1]), features.time(t)
    assert features(x, t)[0, (2 * 4 + 1) * 2 + 1] == u[0, 2] * v[0, 1] * w[0, 1]
    assert features.count == 24


@pytest.mark.parametrize("kind", [GaussianBumps, FourierModes])
@pytest.mark.parametrize(("D", "count", "P"), [(1, 8, 40), (1, 8, 90), (2, 4, 50), (3, 3, 100)])
def test_both_solvers_satisfy_the_normal_equations(D: int, count: int, P: int, kind: type[GaussianBumps]) -> None:
    features, draws = world(D, kind, count, P)
    phi, snr = features(draws.x_t, draws.t), PROCESS.signal_to_noise(draws.t)[..., None]
    matrix = (phi * snr).mT @ phi / P + 0.1 * torch.eye(features.count, dtype=torch.float64)
    right = (phi * snr).mT @ draws.x_0 / P
    scale = matrix.abs().max()
    for solve in (fit_primal, fit_dual):
        weights = solve(features, PROCESS, draws, 0.1)
        assert (matrix @ weights - right).abs().max() < 1e-11 * scale * weights.abs().max()


def test_the_solvers_agree() -> None:
    features, draws = world(2, GaussianBumps, 5, 110)
    primal, dual = fit_primal(features, PROCESS, draws, 0.1), fit_dual(features, PROCESS, draws, 0.1)
    torch.testing.assert_close(primal, dual, rtol=1e-9, atol=1e-9)


def test_a_model_does_not_depend_on_its_company() -> None:
    features, draws = world(1, GaussianBumps, 8, 40)
    points = Noise(1, "points").normal(0, torch.arange(4), (1,))
    alone = draw(World(points, PROCESS, SPAN), Noise(0, "draws"), MODELS[1:2], 40)
    assert torch.equal(alone.x_t[0], draws.x_t[1])
    together, single = fit(features, PROCESS, draws, 0.1), fit(features, PROCESS, alone, 0.1)
    torch.testing.assert_close(together.member(1).weights, single.weights[0], rtol=1e-11, atol=1e-11)


def test_smaller_training_sets_are_the_beginnings_of_larger_ones() -> None:
    points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    large, little = (draw(World(points, PROCESS, SPAN), Noise(0, "n"), MODELS, P) for P in (64, 16))
    assert torch.equal(large.first(16).x_t, little.x_t)
    assert torch.equal(large.first(16).t, little.t)


def test_draws_have_the_laws_they_claim() -> None:
    points = torch.tensor([[-1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
    draws = draw(World(points, PROCESS, SPAN), Noise(0, "law"), torch.arange(20), 5000)
    eps = (draws.x_t - PROCESS.signal(draws.t)[..., None] * draws.x_0) / PROCESS.variance(draws.t).sqrt()[..., None]
    n = draws.t.numel()
    assert abs(eps.mean()) < 5 / n**0.5
    assert abs(eps.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((draws.x_0[..., 0] == 3).double().mean() - 0.5) < 5 * 0.5 / n**0.5
    assert abs(draws.t.mean() - 0.505) < 5 * 0.99 / (12 * n) ** 0.5


def test_redrawn_targets_follow_the_posterior() -> None:
    points = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    weights = PointMasses(points, PROCESS)(torch.tensor([[0.1], [0.4]], dtype=torch.float64), 0.2).log_weights.exp()
    targets = redraw_targets(points, weights, Noise(0, "targets"), torch.arange(40_000))
    share = torch.stack([(targets[..., 0] == p).double().mean(0) for p in (-1, 0, 1)], -1)
    assert ((share - weights).abs() < 5 * (weights * (1 - weights) / 40_000).sqrt() + 1e-12).all()


@pytest.mark.parametrize("D", [1, 2, 3])
@pytest.mark.parametrize("axis", [GaussianBumps(-1.5, 1.5, 7), FourierModes(-1.5, 1.5, 6), GaussianBumps(-1, 2, 40, 0.05)])
def test_compiled_torch_and_definition_agree(axis: AxisFeatures, D: int) -> None:
    features = ProductFeatures((axis,) * D, GaussianBumps(0.1, 1, 3))
    weights = Noise(0, "w").normal(0, torch.arange(2), (features.count if D < 3 else 3 * 40**3, D))[:, : features.count]
    x = 3 * Noise(0, "x").normal(0, torch.arange(2), (70, D))
    expected = features(x, 0.4) @ weights
    tolerance = 1e-12 * float(expected.abs().max())
    coefficients = features.at_time(weights, 0.4)
    for compute in (products.evaluate, products.evaluate_torch):
        torch.testing.assert_close(compute(features, coefficients, x), expected, rtol=1e-10, atol=tolerance)


@pytest.mark.parametrize("count", [2, 3, 16, 17, 18, 50])
@pytest.mark.parametrize("relative_width", [0.3, 0.5, 1.0, 3.0])
def test_bumps_on_a_line_as_polynomials(count: int, relative_width: float) -> None:
    """One coordinate, one output: the compiled sum stores no rows; alternating weights let an error in any bump show."""
    features = ProductFeatures((GaussianBumps(-1.5, 1.5, count, relative_width),), GaussianBumps(0.1, 1, 3))
    weights = Noise(count, "w").normal(0, torch.arange(2), (count, 1))
    x = torch.linspace(-6, 6, 4999, dtype=torch.float64)[None, :, None].expand(2, -1, -1)
    expected = products.evaluate_torch(features, weights, x)
    torch.testing.assert_close(products.evaluate(features, weights, x), expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_far_states_and_nonsense_do_no_harm() -> None:
    features = same_axes(GaussianBumps, 1, 16, 1.5, SPAN)
    model = LinearDenoiser(features, torch.ones(features.count, 1, dtype=torch.float64), PROCESS)
    x = torch.tensor([[1e3], [-1e6], [float("inf")], [float("nan")], [0.0]], dtype=torch.float64)
    value = model(x, 0.5).mean[:, 0]
    assert value[:3].abs().max() < 1e-60
    assert value[3].isnan()
    assert value[4] > 0


def test_times_may_differ_between_states() -> None:
    features, draws = world(2, FourierModes, 4, 90)
    model = fit(features, PROCESS, draws, 0.1)
    mixed = model(draws.x_t, draws.t)
    assert torch.equal(mixed.variance, 1 / PROCESS.signal_to_noise(draws.t))
    one = model.member(2)(draws.x_t[2, 7:8], float(draws.t[2, 7])).mean
    torch.testing.assert_close(mixed.mean[2, 7], one[0], rtol=1e-10, atol=1e-10)


def test_the_fit_maximises_its_own_likelihood() -> None:
    """With the posterior variance sigma^2 / alpha^2 the weighted squared error is a log-likelihood, so no other weights do better."""
    features, draws = world(1, GaussianBumps, 6, 200)
    model = fit(features, PROCESS, draws.models(slice(0, 1)), 1e-9).member(0)

    def likelihood(weights: Tensor) -> Tensor:
        return LinearDenoiser(features, weights, PROCESS)(draws.x_t[0], draws.t[0]).log_prob(draws.x_0[0]).sum()

    step = Noise(0, "step").normal(0, torch.arange(features.count), (1,))
    assert likelihood(model.weights) > likelihood(model.weights + 1e-3 * step)
    assert likelihood(model.weights) > likelihood(model.weights - 1e-3 * step)


def test_bad_requests_are_refused() -> None:
    features, draws = world(1, GaussianBumps, 6, 20)
    with pytest.raises(InputError, match="positive"):
        fit(features, PROCESS, draws, 0.0)
    with pytest.raises(InputError, match="float64"):
        LinearDenoiser(features, torch.zeros(3, 1), PROCESS)
    with pytest.raises(InputError, match="dimension 2"):
        features(torch.zeros(5, 2, dtype=torch.float64), 0.5)
    with pytest.raises(InputError, match="at least two"):
        GaussianBumps(0, 1, 1)
