"""Stochastic ascent with exact blind denoisers: points are found, Gaussians have their predicted moments, constraints are met."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.ascent import Ascent
from twinsplit.diffusion.blind import Blind
from twinsplit.diffusion.measurement import FREE, BlockMeans, Constraint, Inpainting, Measured
from twinsplit.errors import InputError
from twinsplit.exact.gaussian import BlindGaussian
from twinsplit.noise.reference import Noise

SHAPE, D = (1, 8, 8), 64
CENTRE = torch.linspace(0, 1, D).double().reshape(SHAPE)
LEVELS = torch.logspace(-2.2, 0.4, 60).double()
VARIANCES = torch.tensor([1.0, 0.5, 0.25]).double()
AXES = torch.linalg.qr(Noise(5).normal(0, torch.arange(D), (3,)))[0]
GAUSSIAN = BlindGaussian(CENTRE, (AXES * VARIANCES) @ AXES.T, LEVELS)


class Shrunk(Blind):
    """A residual towards a point, of which a different part is seen in each sample; row by row, so that batches cannot matter."""

    def residual(self, y: Tensor) -> Tensor:
        return (y - 0.5) * (0.5 + 0.5 * torch.sigmoid(y.flatten(1)[:, :1, None, None]))


class Stuck(Blind):
    """Always as noisy as before."""

    def residual(self, y: Tensor) -> Tensor:
        return torch.ones_like(y)


def test_step_sizes_and_defaults_are_the_published_ones() -> None:
    ascent = Ascent()
    assert (ascent.h0, ascent.beta, ascent.sigma_end) == (0.01, 0.1, 0.1)
    assert ascent.step_size(1) == 0.01
    assert ascent.step_size(100) == pytest.approx(1 / 1.99)
    assert ascent.step_size(10**9) == pytest.approx(1)


def plain(denoiser: Blind, y: Tensor, ascent: Ascent, noise: Noise, name: int) -> tuple[Tensor, int]:
    """One sample (C, H, W), step by step as in the paper's algorithm 1, and its number of steps."""
    t, sigma = 0, float("inf")
    while sigma > ascent.sigma_end:
        t += 1
        h = ascent.h0 * t / (1 + ascent.h0 * (t - 1))
        d = denoiser.residual(y[None])[0]
        sigma = float(d.norm()) / y.numel() ** 0.5
        gamma = sigma * ((1 - ascent.beta * h) ** 2 - (1 - h) ** 2) ** 0.5
        y = y - h * d + gamma * noise.child("step").normal(t, torch.tensor([name]), SHAPE)[0]
    return y - denoiser.residual(y[None])[0], t


def test_a_batch_is_its_samples_one_by_one() -> None:
    ascent, ids = Ascent(sigma_end=0.05), torch.tensor([4, 9, 2, 7])
    y_0 = ascent.start(CENTRE, Noise(0), ids) * torch.tensor([1.0, 0.2, 3.0, 0.01])[:, None, None, None]
    found = ascent.ascend(Shrunk(), y_0, Noise(0), ids)
    for row, name in enumerate(ids.tolist()):
        expected, steps = plain(Shrunk(), y_0[row], ascent, Noise(0), name)
        torch.testing.assert_close(found.samples[row], expected)
        assert int(found.steps[row]) == steps
    assert len(set(found.steps.tolist())) > 1
    assert bool((found.sigma <= 0.05).all())


def test_a_sample_does_not_depend_on_its_batch_and_twins_meet_the_same_noise() -> None:
    ascent, ids = Ascent(), torch.arange(6)
    whole = ascent(Shrunk(), CENTRE, Noise(0), ids)
    assert torch.equal(ascent(Shrunk(), CENTRE, Noise(0), ids[[4, 1]]), whole[[4, 1]])
    assert torch.equal(ascent(Shrunk(), CENTRE, Noise(0), ids), whole)
    assert not torch.allclose(ascent(Shrunk(), CENTRE, Noise(1), ids), whole)
    assert ascent(Shrunk(), CENTRE, Noise(0), ids[:0]).shape == (0, *SHAPE)


def test_a_point_is_found_exactly() -> None:
    point = BlindGaussian(CENTRE, torch.zeros(D, D), LEVELS)
    samples = Ascent()(point, torch.zeros(SHAPE).double(), Noise(0), torch.arange(4))
    torch.testing.assert_close(samples, CENTRE.expand(4, *SHAPE))


def test_noise_falls_by_the_factor_that_defines_gamma() -> None:
    """Of a point, sigma^2 falls by (1 - beta h)^2 a step on average: 4,096 pixels, 20 steps, sums of logs within 6 standard errors."""
    shape = (1, 64, 64)

    class Whole(Blind):
        def residual(self, y: Tensor) -> Tensor:
            return y

    ascent = Ascent(sigma_end=1e-9, max_steps=20)
    found = ascent.ascend(Whole(), ascent.start(torch.zeros(shape).double(), Noise(0), torch.arange(8)), Noise(0), torch.arange(8))
    expected = sum(torch.tensor(1 - 0.1 * ascent.step_size(t)).log() for t in range(1, 20))
    error = (20 / (2 * 4096)) ** 0.5
    assert bool(((found.sigma.log() - expected).abs() < 6 * error).all())


def predicted_variances(ascent: Ascent) -> Tensor:
    """(3,) variances of the samples along the axes, by the recursion of expected squares; the other 61 directions carry noise alone.

    Given the noise level s, a step takes h s^2 / (v + s^2) off a coordinate of variance v; s^2 is the mean square of the other directions.
    """
    variance, noise = torch.ones(3).double(), torch.tensor(1.0).double()
    for t in range(1, ascent.max_steps + 1):
        h = ascent.step_size(t)
        share = noise / (VARIANCES + noise)
        square = ((share**2 * variance).sum() + (D - 3) * noise) / D
        added = square * ((1 - ascent.beta * h) ** 2 - (1 - h) ** 2)
        variance, noise = (1 - h * share) ** 2 * variance + added, (1 - h) ** 2 * noise + added
        if square.sqrt() <= ascent.sigma_end:
            break
    return (VARIANCES / (VARIANCES + noise)) ** 2 * variance


@pytest.mark.parametrize("h0", [0.01, 0.002])
def test_gaussian_samples_have_the_predicted_moments(h0: float) -> None:
    """2,000 samples: means within 5 standard errors, variances within 5 and 3% for the spread of noise levels about their mean (1e-6)."""
    ascent, n = Ascent(h0=h0, sigma_end=0.05), 2_000
    x = (ascent(GAUSSIAN, CENTRE, Noise(1), torch.arange(n)) - CENTRE).flatten(1)
    parts, expected = x @ AXES, predicted_variances(ascent)
    assert bool((parts.mean(0).abs() < 5 * (expected / n).sqrt()).all())
    assert bool(((parts.var(0) / expected - 1).abs() < 5 * (2 / n) ** 0.5 + 0.03).all())
    assert float((x - parts @ AXES.T).abs().max()) < 1e-9


def test_small_steps_sample_the_gaussian_itself() -> None:
    """The steps' own error falls with h0; what is left is the variance of x that the residual does not show, 3 of 64 directions."""
    short = [(predicted_variances(Ascent(h0=h0, sigma_end=0.01, max_steps=10**6)) / VARIANCES - 1).abs().max() for h0 in (1e-2, 1e-3, 1e-4)]
    assert float(short[0]) > float(short[1]) > float(short[2])
    assert float(short[2]) < 3 / 64 + 0.03


def wanted(kind: str, n: int) -> Measured:
    kinds = {"inpainting": Inpainting.hidden_square(SHAPE, 4), "super-resolution": BlockMeans(2)}
    return Measured.on(kinds[kind], GAUSSIAN.sample(1, Noise(8)).expand(n, *SHAPE))


@pytest.mark.parametrize("kind", ["inpainting", "super-resolution"])
def test_what_was_measured_is_met_and_a_determined_rest_is_found(kind: str) -> None:
    """Images in a plane of 3 directions are determined by more than 3 measurements: the whole image comes back, to the last noise."""
    options = wanted(kind, 5)
    samples = Ascent(sigma_end=0.01)(GAUSSIAN, CENTRE, Noise(3), torch.arange(5), options)
    assert float(options.violation(samples).max()) < 1e-12
    assert float((samples - GAUSSIAN.sample(1, Noise(8))).abs().max()) < 0.05
    assert not torch.equal(samples[0], samples[1])


def test_conditional_samples_do_not_depend_on_their_batch() -> None:
    options = wanted("inpainting", 4)
    whole = Ascent()(GAUSSIAN, CENTRE, Noise(3), torch.arange(4), options)
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(Ascent()(GAUSSIAN, CENTRE, Noise(3), chosen, options.of(chosen)), whole[chosen])


@pytest.mark.parametrize("options", [FREE, wanted("inpainting", 2)], ids=["free", "measured"])
def test_what_does_not_finish_is_said(options: Constraint) -> None:
    ascent, ids = Ascent(max_steps=7), torch.arange(2)
    with pytest.raises(InputError, match=r"2 of 2 samples did not reach sigma = 0\.1 in 7 steps"):
        ascent(Stuck(), CENTRE, Noise(0), ids, options)
    found = ascent.ascend(Stuck(), ascent.start(CENTRE, Noise(0), ids, options), Noise(0), ids, options)
    assert found.finished.tolist() == [False, False]
    assert found.steps.tolist() == [7, 7]


class Wild(Blind):
    """The residual of a black image; where the first pixel is above 1, it points the wrong way."""

    def residual(self, y: Tensor) -> Tensor:
        return torch.where(y.flatten(1)[:, :1, None, None] > 1, -y, y)


def test_a_sample_that_runs_away_is_given_up_alone() -> None:
    y_0 = 0.5 * Noise(0).normal(0, torch.arange(3), SHAPE)
    y_0[:, 0, 0, 0] = torch.tensor([-1.0, 9.0, -1.0])
    ascent = Ascent(h0=0.1, beta=1.0)
    found = ascent.ascend(Wild(), y_0, Noise(0), torch.arange(3))
    assert found.finished.tolist() == [True, False, True]
    assert int(found.steps[1]) < 100
    assert 10 < float(found.sigma[1]) < 20
    alone = ascent.ascend(Wild(), y_0[2:], Noise(0), torch.tensor([2]))
    torch.testing.assert_close(alone.samples, found.samples[2:])


def test_numbers_that_are_not_finite_never_count_as_finished() -> None:
    y_0 = CENTRE.expand(2, *SHAPE).clone()
    y_0[1, 0, 0, 0] = float("nan")
    found = Ascent().ascend(Shrunk(), y_0, Noise(0), torch.arange(2))
    assert found.finished.tolist() == [True, False]
    with pytest.raises(InputError, match="1 of 2"):
        Ascent()(Shrunk(), y_0, Noise(0), torch.arange(2))


@pytest.mark.parametrize(
    "changes", [{"h0": 0.0}, {"h0": 1.5}, {"beta": 0.0}, {"beta": 2.0}, {"sigma_end": 0.0}, {"max_steps": 0}, {"sigma_start": 10.0}]
)
def test_settings_that_cannot_end_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="an ascent"):
        replace(Ascent(), **changes)
