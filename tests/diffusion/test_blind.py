"""Miyasawa's identity, read from exact blind denoisers."""

import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.blind import Blind, residual_sigma
from twinsplit.diffusion.exploding import VarianceExploding
from twinsplit.errors import InputError
from twinsplit.exact.gaussian import BlindGaussian
from twinsplit.exact.mixture import GaussianMixture
from twinsplit.noise.reference import Noise

SHAPE = (1, 4, 4)
CENTRE = torch.linspace(0, 1, 16).double().reshape(SHAPE)
COVARIANCE = torch.exp(-(torch.arange(16)[:, None] - torch.arange(16)).double().abs() / 3) * 0.2


class Part(Blind):
    """A residual that is a fixed part of the state."""

    def residual(self, y: Tensor) -> Tensor:
        return 0.25 * y


def states(n: int = 5) -> Tensor:
    return Noise(2).normal(0, torch.arange(n), SHAPE)


def test_posterior_and_score_are_the_residual_and_t_is_ignored() -> None:
    y = states()
    sigma = (0.25 * y).flatten(1).square().mean(1).sqrt()
    posterior = Part()(y, 7)
    torch.testing.assert_close(posterior.mean, 0.75 * y)
    torch.testing.assert_close(posterior.variance, sigma**2)
    torch.testing.assert_close(Part().sigma(y), sigma)
    torch.testing.assert_close(Part().score(y), -0.25 * y / sigma[:, None, None, None] ** 2)
    torch.testing.assert_close(Part().noise_prediction(y).flatten(1).square().mean(1), torch.ones(5).double())
    assert torch.equal(posterior.mean, Part()(y).mean)
    assert torch.equal(posterior.mean, Part()(y, torch.arange(5)).mean)


def test_twins_diverge_by_means_and_widths_and_not_from_themselves() -> None:
    posterior = Part()(states(), 0)
    assert float(posterior.kl(posterior).abs().max()) == 0


def test_a_black_image_has_a_posterior() -> None:
    posterior = Part()(torch.zeros(1, *SHAPE), 0)
    assert bool((posterior.mean == 0).all())
    assert bool(posterior.log_prob(torch.zeros(1, *SHAPE)).isfinite().all())


def test_one_level_is_the_wiener_filter_and_its_residual_the_score() -> None:
    """Against the Gaussian of one component (isotropic), and against the gradient of the density (any covariance)."""
    mixture, y = GaussianMixture(torch.ones(1), CENTRE[None], 0.3), states()
    isotropic = BlindGaussian(CENTRE, 0.3 * torch.eye(16), torch.tensor([0.5]))
    torch.testing.assert_close(isotropic.log_density(y), mixture.log_joint(y, torch.ones(()), torch.tensor(0.25)).logsumexp(1))
    wiener = BlindGaussian(CENTRE, COVARIANCE, torch.tensor([0.5]))
    leaf = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(wiener.log_density(leaf).sum(), leaf)
    torch.testing.assert_close(wiener.residual(y), -(0.5**2) * gradient)


def test_a_posterior_mean_over_levels_is_the_average_of_theirs() -> None:
    levels, y = torch.tensor([0.4, 0.6, 0.9]), states()
    each = [BlindGaussian(CENTRE, COVARIANCE, level[None]) for level in levels]
    likely = torch.stack([one.log_density(y) for one in each]).softmax(0)
    expected = sum(w[:, None, None, None] * one.mean(y) for w, one in zip(likely, each, strict=True))
    torch.testing.assert_close(BlindGaussian(CENTRE, COVARIANCE, levels).mean(y), expected)


def test_the_noise_level_is_found_in_large_images() -> None:
    """A point mass: the residual is the noise itself, 576 pixels, within 5 standard errors (false alarm below 1e-6)."""
    centre = torch.zeros(1, 24, 24)
    point = BlindGaussian(centre, torch.zeros(576, 576), torch.logspace(-2, 0, 30))
    y = 0.2 * Noise(0).normal(0, torch.arange(3), (1, 24, 24))
    assert bool((point.sigma(y) / 0.2 - 1).abs().lt(5 / (2 * 576) ** 0.5).all())
    torch.testing.assert_close(point.sigma(y), residual_sigma(y))


def test_samples_have_their_covariance() -> None:
    """4,000 samples; every entry within 6 standard errors (false alarm below 1e-6 in all)."""
    x = BlindGaussian(CENTRE, COVARIANCE, torch.tensor([1.0])).sample(4_000, Noise(0)).flatten(1)
    error = ((COVARIANCE**2 + COVARIANCE.diagonal()[:, None] * COVARIANCE.diagonal()) / 4_000).sqrt()
    assert bool(((x.T.cov() - COVARIANCE).abs() < 6 * error).all())
    assert bool(((x.mean(0) - CENTRE.flatten()).abs() < 6 * (COVARIANCE.diagonal() / 4_000).sqrt()).all())


def test_blind_denoisers_answer_on_processes_that_only_add_noise() -> None:
    process = VarianceExploding.published(100)
    t = process.time_of(0.5)
    y = process.noised(CENTRE[None], t, states(1))
    wiener = BlindGaussian(CENTRE, 1e-12 * torch.eye(16), process.sigma[t][None])
    torch.testing.assert_close(process.noise_prediction(y, wiener(y, t).mean, t), states(1), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("covariance", "levels", "says"),
    [
        (torch.eye(15), torch.ones(1), "covariance of shape"),
        (torch.triu(torch.ones(16, 16)), torch.ones(1), "covariance of shape"),
        (-torch.eye(16), torch.ones(1), "negative eigenvalues"),
        (torch.eye(16), torch.zeros(1), "noise levels"),
        (torch.eye(16), torch.ones(0), "noise levels"),
        (torch.eye(16), torch.ones(1, 1), "noise levels"),
    ],
)
def test_what_is_no_gaussian_is_refused(covariance: Tensor, levels: Tensor, says: str) -> None:
    with pytest.raises(InputError, match=says):
        BlindGaussian(CENTRE, covariance, levels)
