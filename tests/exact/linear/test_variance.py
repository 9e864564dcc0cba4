"""The theory, step by step, against averages over samples and over fitted models."""

import pytest
import torch

from twinsplit.diffusion.continuous import VariancePreserving
from twinsplit.errors import InputError
from twinsplit.exact.linear.draws import World, draw
from twinsplit.exact.linear.features import FourierModes, GaussianBumps, same_axes
from twinsplit.exact.linear.fit import fit
from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.variance import (
    WeightLaw,
    effective_models,
    few_samples,
    leverage,
    many_samples,
    settled,
    target_noise_only,
    target_variance,
    v_kernel,
)
from twinsplit.noise.reference import Noise

RIDGE = 0.1
LINE = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
PLANE = torch.tensor([[-1.0, 0.2], [0.5, 0.9], [0.7, -0.6]], dtype=torch.float64)


def population(D: int, kind: type[GaussianBumps] | type[FourierModes] = GaussianBumps, count: int = 6) -> Population:
    world = World(LINE if D == 1 else PLANE, VariancePreserving(), (0.05, 1.0))
    return Population(same_axes(kind, D, count, 1.5, world.span), world, 48, 64 if D == 1 else 48)


def fits(p: Population, P: int, models: int) -> torch.Tensor:
    """(models, F, D) weights of independent fits."""
    parts = []
    for names in torch.arange(models).split(50):
        parts.append(fit(p.features, p.world.process, draw(p.world, Noise(0, "fits"), names, P), RIDGE).weights)
    return torch.cat(parts)


def covariance(weights: torch.Tensor) -> torch.Tensor:
    """(D, D, F, F) sample covariance of weights (K, F, D)."""
    centred = weights - weights.mean(0)
    return torch.einsum("kfd,kge->defg", centred, centred) / (len(weights) - 1)


@pytest.mark.parametrize("kind", [GaussianBumps, FourierModes])
@pytest.mark.parametrize("D", [1, 2])
def test_population_averages_are_averages_over_samples(D: int, kind: type[GaussianBumps]) -> None:
    p = population(D, kind, 4)
    groups = draw(p.world, Noise(0, "mc"), torch.arange(25), 4000)
    phi, snr = p.features(groups.x_t, groups.t), p.world.process.signal_to_noise(groups.t)[..., None]
    for exact, sampled in (
        (p.gram(p.snr), (phi * snr).mT @ phi / 4000),
        (p.vector(p.snr * p.over_points(p.world.points[:, 0])), (phi * snr * groups.x_0[..., :1]).mean(1)),
    ):
        error = sampled.std(0) / 5  # standard error over 25 groups
        assert ((sampled.mean(0) - exact).abs() < 5 * error + 1e-9 * exact.abs().max()).all()


@pytest.mark.parametrize("D", [1, 2])
def test_forms_at_the_nodes_are_their_definitions(D: int) -> None:
    p = population(D, GaussianBumps, 4)
    w = Noise(0, "form").normal(0, torch.arange(p.features.count), ())
    matrix = torch.outer(w, w) + torch.diag(w**2)
    x = p.positions[3, 1].reshape(-1, D)
    phi = p.features(x, float(p.clock[0][3]))
    torch.testing.assert_close(p.linear(w)[3, 1].flatten(), phi @ w)
    torch.testing.assert_close(p.quadratic(matrix)[3, 1].flatten(), ((phi @ matrix) * phi).sum(-1))
    torch.testing.assert_close(p.mean(p.quadratic(matrix)), (matrix * p.gram(torch.ones_like(p.snr))).sum())


def test_the_nodes_are_fine_enough() -> None:
    coarse = population(1, GaussianBumps, 8)
    fine = Population(coarse.features, coarse.world, 200, 200)
    torch.testing.assert_close(
        coarse.gram(coarse.snr**2), fine.gram(fine.snr**2), rtol=1e-5, atol=1e-5 * float(fine.gram(fine.snr**2).max())
    )


def test_noise_of_the_target_splits_from_misfit() -> None:
    """Step 3: E[snr^2 phi phi^T r^2] = E[snr^2 phi phi^T Var(x_0 | x_t)] + E[snr^2 phi phi^T (E[x_0 | x_t] - W^T phi)^2]."""
    p = population(1)
    mean = many_samples(p, RIDGE, 100).mean[:, 0]
    t = p.over_time(p.clock[0]).expand(p.positions.shape[:-1])
    exact = p.world.oracle(p.positions, t).mean[..., 0]
    whole = p.gram(p.snr**2 * (p.over_points(LINE[:, 0]) - p.linear(mean)) ** 2)
    parts = p.gram(p.snr**2 * target_variance(p)[..., 0, 0]) + p.gram(p.snr**2 * (exact - p.linear(mean)) ** 2)
    torch.testing.assert_close(whole, parts, rtol=1e-6, atol=1e-6 * float(whole.max()))


@pytest.mark.parametrize("D", [1, 2])
def test_many_samples_is_the_limit_of_fits(D: int) -> None:
    """At large P the covariance of 300 fits agrees with the sandwich, read along directions that matter: its own leading ones."""
    p, P = population(D, GaussianBumps, 6 if D == 1 else 4), 6_000
    law = many_samples(p, RIDGE, P)
    weights = fits(p, P, 300)
    values, directions = torch.linalg.eigh(law.joint)
    projected = torch.einsum("kfd,dfm->km", weights, directions[:, -12:].reshape(D, -1, 12))
    ratio = projected.var(0) / values[-12:]
    assert ((ratio - 1).abs() < 5 * (2 / 299) ** 0.5 + 0.1).all()  # sampling of a variance, and a 10% allowance for 1/P^2
    mean = torch.einsum("fd,dfm->m", law.mean, directions[:, -12:].reshape(D, -1, 12))
    assert ((projected.mean(0) - mean).abs() < 5 * (values[-12:] / 300).sqrt() + 0.3 * values[-12:].sqrt()).all()


def test_cavity_becomes_the_sandwich_when_samples_abound() -> None:
    p = population(1)
    few, many = few_samples(p, RIDGE, 10**7), many_samples(p, RIDGE, 10**7)
    torch.testing.assert_close(few.mean, many.mean, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(few.covariance, many.covariance, rtol=0, atol=2e-3 * float(many.covariance.max()))


@pytest.mark.parametrize(("P", "sandwich_is_worse"), [(40, False), (100, True), (300, True)])
def test_cavity_knows_the_divergence_of_twins(P: int, sandwich_is_worse: bool) -> None:
    """Around P = F = 100, the twins' KL of 600 fits: the cavity within 40%. The sandwich does worse, but for a crossing below P = F."""
    p = population(1, GaussianBumps, 10)
    S = p.gram(p.snr)
    measured = float((S * covariance(fits(p, P, 600))[0, 0]).sum())
    cavity, sandwich = (float((S * law.covariance[0, 0]).sum()) for law in (few_samples(p, RIDGE, P), many_samples(p, RIDGE, P)))
    assert abs(cavity / measured - 1) < 0.4
    assert (abs(cavity / measured - 1) < abs(sandwich / measured - 1)) is sandwich_is_worse


def test_leverage_solves_its_equation() -> None:
    p, P = population(1), 60
    h = leverage(p, RIDGE, P)
    H = p.gram(p.snr / (1 + h)) + RIDGE * torch.eye(p.features.count, dtype=torch.float64)
    torch.testing.assert_close(h, p.snr * p.quadratic(torch.linalg.inv(H)) / P, rtol=1e-2, atol=1e-3)
    # The trace of the self-consistent hat matrix counts the weights that P samples can fix: fewer than F and than P.
    fixed = P * float(p.mean(h / (1 + h)))
    assert 0 < fixed < min(P, p.features.count)


def test_the_flow_of_many_models_has_the_v_kernel() -> None:
    """The velocity at (x, t) and at (x', t'), over 1,000 fits: its covariance is the V-kernel."""
    p, P = population(1), 2000
    process, models = p.world.process, 1000
    weights = fits(p, P, models)
    one = (torch.tensor([[0.4], [0.0], [-0.6]], dtype=torch.float64), 0.2)
    other = (torch.tensor([[0.5], [0.1], [-0.5]], dtype=torch.float64), 0.25)
    b = [process.flow_coefficients(t)[1] for _, t in (one, other)]
    first, second = (b[i] * (p.features(x, t) @ weights)[..., 0] for i, (x, t) in enumerate((one, other)))
    kernel = v_kernel(many_samples(p, RIDGE, P), p.features, process, one, other)[:, 0, 0]
    own = [v_kernel(many_samples(p, RIDGE, P), p.features, process, at, at)[:, 0, 0] for at in (one, other)]
    sampled = ((first - first.mean(0)) * (second - second.mean(0))).mean(0)
    error = ((own[0] * own[1] + kernel**2) / models).sqrt()
    assert ((sampled - kernel).abs() < 5 * error + 0.1 * (own[0] * own[1]).sqrt()).all()
    assert (kernel > 3 * error).any()  # the drift is correlated in time: a quenched field, not white noise


def test_effective_models_carry_the_kernel() -> None:
    p = population(2, GaussianBumps, 4)
    law = few_samples(p, RIDGE, 300)
    drawn = covariance(effective_models(law, p, Noise(0, "e"), torch.arange(4000)).weights)
    scale = law.covariance.diagonal(dim1=-2, dim2=-1)[[0, 1], [0, 1]].sqrt()
    error = torch.einsum("df,eg->defg", scale, scale) * (2 / 4000) ** 0.5
    assert ((drawn - law.covariance).abs() < 6 * error + 1e-9 * law.covariance.abs().max()).all()


def test_noise_of_the_target_alone_is_less() -> None:
    p = population(1)
    part, whole = target_noise_only(p, RIDGE, 500), many_samples(p, RIDGE, 500)
    assert 0 < float(part.covariance[0, 0].trace()) < float(whole.covariance[0, 0].trace())
    assert torch.equal(part.mean, whole.mean)


def test_laws_without_variance_are_their_mean() -> None:
    law = WeightLaw(torch.ones(3, 1, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[None, None])
    torch.testing.assert_close(law.without_variance().draw(Noise(0), torch.arange(2)), torch.ones(2, 3, 1, dtype=torch.float64))


def test_equations_that_do_not_settle_say_so() -> None:
    with pytest.raises(InputError, match="did not settle"):
        settled(lambda v: -2 * v, torch.ones(3), steps=30)
    torch.testing.assert_close(settled(lambda v: 1 + 0.8 * v, torch.zeros(3), 1e-9), torch.full((3,), 5.0))
