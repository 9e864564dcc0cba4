"""The exact denoiser of point masses: against the published arrays, against sums written out, against derivatives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gtv_reference import full, small
from twinsplit.diffusion.continuous import VarianceClock, VarianceExploding, VariancePreserving
from twinsplit.errors import InputError
from twinsplit.exact.point_masses import PointMasses, PointPosterior

PUBLISHED_FLOOR = 1e-8
Array = Callable[[str], Tensor]
pytestmark = pytest.mark.parametrize("array", [small, full], ids=["small", "full"])
ONE = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)


def line_world(array: Array) -> tuple[PointMasses, Tensor, Tensor]:
    """The 1-D world of figure 2, its states (200, T, 1) and times (200, T), as many times as the stored arrays have."""
    x, t = array("x"), array("time_grid")
    t = t[:: 6 if array("mu_bayes").shape[1] != len(t) else 1]
    return PointMasses(ONE, VariancePreserving()), x[:, None, None].expand(-1, len(t), 1), t.expand(len(x), -1)


def floored(world: PointMasses, x: Tensor, t: Tensor) -> Tensor:
    """(200, T, 3) posterior as published: densities over (their sum + 1e-8), which is no longer normalised where the sum is small."""
    density = world.log_likelihoods(x, t).exp()
    total = density.sum(-1, keepdim=True)
    return world(x, t).log_weights.exp() * total / (total + PUBLISHED_FLOOR)


@pytest.mark.parametrize("name", ["polygon", "line", "blend", "random"])
def test_variance_fraction_is_the_published_one(array: Array, name: str) -> None:
    expected, t = array(f"{name}_fraction"), array("t")
    side = torch.linspace(-2, 2, 100, dtype=torch.float64)[:: 100 // len(expected) + (len(expected) == 12)]
    x = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)[:, :, None].expand(-1, -1, len(t), -1)
    world = PointMasses(array(f"{name}_points"), VarianceClock())
    fraction = world.variance_fraction(x, t.expand(x.shape[:-1]))
    # The file holds float32: at most half a unit in its last place, 6e-8 relative, separates it from float64.
    torch.testing.assert_close(fraction, expected, rtol=6.1e-8, atol=1e-9)


def test_posterior_mean_is_the_published_one(array: Array) -> None:
    world, x, t = line_world(array)
    torch.testing.assert_close(floored(world, x, t) @ ONE[:, 0], array("mu_bayes"), rtol=1e-9, atol=1e-9)


def test_score_is_the_published_one(array: Array) -> None:
    world, x, t = line_world(array)
    mean = (floored(world, x, t) @ ONE)[..., 0]
    torch.testing.assert_close(world.process.score(x, mean[..., None], t)[..., 0], array("score"), rtol=1e-9, atol=1e-9)


def test_proxy_score_variance_is_the_published_one(array: Array) -> None:
    world, x, t = line_world(array)
    weights = floored(world, x, t)
    spread = ((ONE[:, 0] - (weights @ ONE)) ** 2 * weights).sum(-1)
    gain = world.process.signal(t) ** 2 / world.process.variance(t) ** 2
    torch.testing.assert_close(gain * spread, array("proxy_score_variance"), rtol=1e-9, atol=1e-9)


def test_density_is_the_published_one(array: Array) -> None:
    world, x, t = line_world(array)
    torch.testing.assert_close(world.log_density(x, t).exp(), array("density"), rtol=1e-9, atol=1e-9)


def test_without_the_floor_the_tails_are_right(array: Array) -> None:
    """Far out at low noise the nearest point is certain; the published floor pulls its mean to 0 instead."""
    world, x, t = line_world(array)
    exact, published = world(x, t).mean[0, -1, 0], array("mu_bayes")[0, -1]
    assert exact == pytest.approx(-1, abs=1e-12)
    assert abs(float(published)) < 1e-3


def test_covariance_is_the_second_moment_about_the_mean(array: Array) -> None:
    points = array("random_points")
    world = PointMasses(points, VarianceClock())
    x = torch.linspace(-1, 1, 14, dtype=torch.float64).reshape(7, 2)
    weights = world(x, 0.4).log_weights.exp()
    mean = weights @ points
    second = torch.einsum("nm,md,me->nde", weights, points, points) - mean[:, :, None] * mean[:, None, :]
    torch.testing.assert_close(world(x, 0.4).covariance, second, rtol=0, atol=1e-13)


@pytest.mark.parametrize("process", [VariancePreserving(), VarianceExploding(), VarianceClock()])
def test_score_and_covariance_are_derivatives_of_the_density(array: Array, process: VariancePreserving) -> None:
    """score = grad log p, and by Hatsell and Nolte's identity D score = -1 / sigma^2 + (alpha / sigma^2)^2 Cov."""
    world, t = PointMasses(array("blend_points"), process), 0.3
    x = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(world.log_density(x, t), x)
    torch.testing.assert_close(gradient, world.score(x, t).detach(), rtol=1e-10, atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda y: world.score(y, t), x.detach())
    expected = world.proxy_score_covariance(x.detach(), t) - torch.eye(2, dtype=torch.float64) / process.variance(t)
    torch.testing.assert_close(jacobian, expected, rtol=1e-10, atol=1e-10)


def test_posteriors_compare(array: Array) -> None:
    points = array("line_points")
    world = PointMasses(points, VarianceClock())
    first, second = world(torch.zeros(1, 2, dtype=torch.float64), 0.5), world(torch.ones(1, 2, dtype=torch.float64), 0.5)
    p, q = first.log_weights.exp(), second.log_weights.exp()
    torch.testing.assert_close(first.kl(second), (p * (p / q).log()).sum(-1))
    torch.testing.assert_close(first.log_prob(points[2:3]), first.log_weights[:, 2])
    assert first.log_prob(torch.full((1, 2), 9.0, dtype=torch.float64)).item() == -torch.inf
    assert isinstance(first, PointPosterior)


def test_bad_points_are_refused(array: Array) -> None:
    with pytest.raises(InputError, match="float64"):
        PointMasses(array("line_points").float(), VarianceClock())
