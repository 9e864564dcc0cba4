"""Linear twins: the closed forms against trained ones, and against gradient descent in small steps."""

import pytest
import torch

from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.twin_fits import Examination, TwinWorld, sample_split_divergence
from twinsplit.exact.linear.variance import few_samples
from twinsplit.noise.reference import Noise
from twinsplit.papers.gtv.twins import Calibration, covers, exact_curves

SETTING = Calibration(features=5, P=60)
STEPS = torch.tensor([0.0, 0.3, 2.0, 50.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def twins() -> TwinWorld:
    return SETTING.twins(Noise(0, "twins"))


@pytest.fixture(scope="module")
def examination(twins: TwinWorld) -> Examination:
    world = SETTING.world()
    x = torch.linspace(-1.2, 1.2, 9, dtype=torch.float64)[:, None]
    assert world.points.shape == (3, 1)
    return Examination(twins, x, torch.linspace(0.15, 0.9, 9, dtype=torch.float64))


def test_training_is_gradient_descent_in_small_steps(twins: TwinWorld) -> None:
    weights = twins.train(Noise(3, "t"), torch.arange(2), torch.tensor([0.0, 1.0], dtype=torch.float64))
    targets = twins.modes[1] @ twins.in_modes(twins.targets(Noise(3, "t"), torch.arange(2)))
    W, H = weights[0].clone(), twins.modes[1] @ torch.diag(twins.modes[0]) @ twins.modes[1].mT
    for _ in range(4000):
        W += (targets - H @ W) / 4000
    torch.testing.assert_close(W, weights[1], rtol=0, atol=2e-3 * float(weights[1].abs().max()))


def test_long_training_is_the_ridge_fit(twins: TwinWorld) -> None:
    """On the drawn targets, the normal equations of exact.linear with the same weights."""
    (weights,) = twins.train(Noise(3, "t"), torch.arange(1), torch.tensor([1e9], dtype=torch.float64))
    targets = twins.targets(Noise(3, "t"), torch.arange(1))[0]
    weighted = twins.phi * twins.snr / len(twins.t)
    solution = torch.linalg.solve(weighted.mT @ twins.phi + SETTING.ridge * torch.eye(25, dtype=torch.float64), weighted.mT @ targets)
    torch.testing.assert_close(weights[0], solution, rtol=1e-8, atol=1e-8)


def test_closed_curves_are_the_means_of_trained_twins(twins: TwinWorld, examination: Examination) -> None:
    """Exact at P = 60 for every step: 3,000 pairs of twins, each position, within five standard errors."""
    weights = twins.train(Noise(1, "many"), torch.arange(6000), STEPS)
    mean = torch.stack([examination.phi @ (twins.modes[1].mT @ w) for w in weights])
    gap = 0.5 * examination.weight * (mean[:, 0::2] - mean[:, 1::2]).square().sum(-1)
    loss = 0.5 * examination.weight * (mean - examination.target).square().sum(-1)
    for sampled, exact in ((gap, examination.divergence(STEPS)), (loss, examination.test_loss(STEPS))):
        error = sampled.std(1) / sampled.shape[1] ** 0.5
        assert ((sampled.mean(1) - exact).abs() < 5 * error + 1e-12).all()


def test_measured_tables_have_all_pairs(twins: TwinWorld, examination: Examination) -> None:
    weights = twins.train(Noise(1, "few"), torch.arange(4), STEPS)
    divergence, loss = examination.measured(weights)
    assert divergence.shape == (4, 6, 9)
    assert loss.shape == (4, 4, 9)
    one, two = (weights[2, k].mT @ twins.features(examination.x_t, examination.t).mT for k in (1, 3))
    torch.testing.assert_close(divergence[2, 4], 0.5 * examination.weight * (one - two).square()[0])


def test_population_curves_are_averages_over_examinations() -> None:
    from twinsplit.exact.linear.draws import draw

    setting = Calibration(features=5, P=60)
    twins = setting.twins(Noise(0, "twins"))
    exact = exact_curves(twins, STEPS[1:])
    held_out = draw(setting.world(), Noise(5, "held out"), torch.arange(20), 2000)
    parts = [Examination(twins, x, t) for x, t in zip(held_out.x_t, held_out.t, strict=True)]
    for curve, values in (
        (exact.divergence, [e.divergence(STEPS[1:]).mean(1) for e in parts]),
        (exact.test_loss, [e.test_loss(STEPS[1:]).mean(1) for e in parts]),
    ):
        sampled = torch.stack(values)
        assert ((sampled.mean(0) - curve).abs() < 5 * sampled.std(0) / 20**0.5).all()


def test_the_disagreement_falls_turns_and_rises() -> None:
    setting = Calibration()
    exact = exact_curves(setting.twins(Noise(0, "calibration")), setting.steps)
    assert setting.first < exact.onset < exact.test_minimum < setting.last


def test_divergence_against_P_comes_from_the_covariance() -> None:
    """KL between two fits on different noisy samples = sum_d tr(S Cov(W_d)): from the definition, at the nodes."""
    setting = Calibration(features=5)
    twins = setting.twins(Noise(0, "twins"))
    population = Population(twins.features, twins.world, 32, 48)
    law = few_samples(population, 0.1, 200)
    direct = population.mean(population.snr * population.quadratic(law.covariance[0, 0]))
    assert sample_split_divergence(population, law.covariance) == pytest.approx(float(direct), rel=1e-9)


@pytest.mark.parametrize(("interval", "held"), [((1.0, 3.0), True), ((2.5, None), False), ((None, 1.9), False), ((None, None), True)])
def test_open_intervals_cover_what_lies_beyond(interval: tuple[float | None, float | None], held: bool) -> None:
    assert covers(interval, 2.0) is held
