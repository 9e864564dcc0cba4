"""Processes that only add noise: their laws, their bridge, and the formulas they share with `Schedule`."""

import pytest
import torch

from twinsplit.diffusion.exploding import NOISE_LAWS, VarianceExploding
from twinsplit.diffusion.schedule import Noising, Schedule
from twinsplit.errors import InputError


def test_the_two_laws() -> None:
    published, report = NOISE_LAWS["published"](100), NOISE_LAWS["report"](100, 2.0)
    torch.testing.assert_close(published.scales(torch.tensor([0, 50, 100]))[1], torch.tensor([0, 0.25, 1]).double())
    torch.testing.assert_close(report.scales(torch.tensor([0, 50, 100]))[1], torch.tensor([0, 1.0, 2.0]).double())
    assert published.T == report.T == 100
    assert (published.time_of(0.25), published.time_of(1e-9), report.time_of(2.0)) == (50, 1, 100)


@pytest.mark.parametrize("process", [VarianceExploding.published(50), Schedule.diffusion_lm(50)], ids=["exploding", "preserving"])
def test_noise_and_score_are_read_back(process: Noising) -> None:
    x_0, eps, t = torch.randn(3, 1, 2, 2).double(), torch.randn(3, 1, 2, 2).double(), torch.tensor([1, 20, 50])
    x_t = process.noised(x_0, t, eps)
    torch.testing.assert_close(process.noise_prediction(x_t, x_0, t), eps, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(process.score(x_t, x_0, t) * process.scales(t)[1][:, None, None, None], -eps, atol=1e-6, rtol=1e-6)


def test_the_bridge_is_that_of_gaussian_increments() -> None:
    """x_s given x_t for x_s = x_0 + sqrt(v_s) z and an independent increment to x_t: conditional mean and variance of a pair of normals."""
    process = VarianceExploding.report(10)
    x_0, x_t = torch.zeros(1, 1, 1, 1).double() + 2, torch.zeros(1, 1, 1, 1).double() + 5
    v_s, v_t = 0.3**2, 0.7**2
    mean, variance = process.reverse(x_t, x_0, 7, 3)
    assert float(mean) == pytest.approx(2 + v_s / v_t * 3)
    assert float(variance) == pytest.approx(v_s - v_s**2 / v_t)
    mean, variance = process.reverse(x_t, x_0, 7, 0)
    assert (float(mean), float(variance)) == (2, 0)


@pytest.mark.parametrize("sigma", [[0.0], [0.1, 0.2], [0.0, 0.2, 0.2], [0.0, 0.3, 0.2], [0.0, float("inf")], [0.0, float("nan")]])
def test_levels_that_do_not_rise_from_0_are_refused(sigma: list[float]) -> None:
    with pytest.raises(InputError, match="does not increase from 0"):
        VarianceExploding(torch.tensor(sigma))


def test_what_lies_outside_is_refused() -> None:
    process = VarianceExploding.published(10)
    with pytest.raises(InputError, match=r"outside 0\.\.10"):
        process.scales(11)
    with pytest.raises(InputError, match="outside"):
        process.time_of(1.5)
    with pytest.raises(InputError, match="T = 0"):
        VarianceExploding.report(0)
