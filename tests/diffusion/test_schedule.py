"""Schedules against the published numbers and the bridge against Bayes' rule."""

import numpy as np
import pytest
import torch

from reference import hierarchical, shared
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule, expand_like
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle

SCHEDULE = Schedule.diffusion_lm(500)


def test_the_small_fixture_is_the_reference() -> None:
    published = shared("hierarchical.npz")
    assert all(np.array_equal(array, published[name]) for name, array in hierarchical().items())


def test_alpha_bar_equals_the_published_one() -> None:
    assert SCHEDULE.T == 500
    assert float(SCHEDULE.alpha_bar[0]) == 1
    assert np.abs(SCHEDULE.alpha_bar[1:].numpy() - hierarchical()["alpha_bar"]).max() < 1e-15


def test_the_mean_of_the_reverse_step_equals_the_published_one() -> None:
    published = hierarchical()
    x_t, t = torch.from_numpy(published["x_t"]), torch.from_numpy(published["t"])
    x_0 = TreeOracle(TreeGrammar.published(), SCHEDULE)(x_t, t).mean
    mean, _ = SCHEDULE.reverse(x_t, x_0, t, t - 1)
    assert np.abs(mean.numpy() - published["reverse_step_mean"]).max() < 1e-9


@pytest.mark.parametrize(("t", "s"), [(1, 0), (500, 499), (300, 100), (2, 1)])
def test_the_bridge_is_bayes_rule(t: int, s: int) -> None:
    """x_s ~ N(signal_s x_0, sigma_s^2), x_t | x_s ~ N(sqrt(ratio) x_s, 1 - ratio): precisions add, means are weighted by them."""
    x_t, x_0 = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[-0.7]], dtype=torch.float64)
    mean, variance = SCHEDULE.reverse(x_t, x_0, t, s)
    ab_s, ratio = SCHEDULE.alpha_bar[s], SCHEDULE.alpha_bar[t] / SCHEDULE.alpha_bar[s]
    prior = 1 / (1 - ab_s) if s else torch.tensor(torch.inf)
    if s == 0:
        assert float(variance) == 0
        torch.testing.assert_close(mean, x_0, rtol=1e-12, atol=0)
        return
    likelihood = ratio / (1 - ratio)
    expected = (prior * ab_s.sqrt() * x_0 + likelihood * x_t / ratio.sqrt()) / (prior + likelihood)
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=0)
    assert float(variance) == pytest.approx(float(1 / (prior + likelihood)), rel=1e-9)


def test_scales_and_noised_agree() -> None:
    t = torch.tensor([0, 1, 500])
    x_0, eps = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.ones(3, 4)
    signal, sigma = SCHEDULE.scales(t)
    torch.testing.assert_close(signal**2 + sigma**2, torch.ones(3, dtype=torch.float64))
    x_t = SCHEDULE.noised(x_0, t, eps)
    assert torch.equal(x_t[0], x_0[0])
    assert x_t.dtype == torch.float32
    torch.testing.assert_close(x_t[2], signal[2].float() * x_0[2] + sigma[2].float())


def test_expand_like_lines_up_with_the_batch() -> None:
    x = torch.zeros(3, 4, 5)
    assert expand_like(torch.tensor(2.0, dtype=torch.float64), x).shape == ()
    expanded = expand_like(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), x)
    assert expanded.shape == (3, 1, 1)
    assert expanded.dtype == x.dtype
    assert (x + expanded)[2, 3, 4] == 3


def test_the_second_schedule() -> None:
    schedule = Schedule.one_minus_sqrt(500)
    assert float(schedule.alpha_bar[125]) == pytest.approx(1 - (0.25 + 1e-4) ** 0.5, rel=1e-14)
    assert float(schedule.alpha_bar[-1]) > 0


def test_ddpms_schedule_is_the_same_law() -> None:
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    torch.testing.assert_close(Schedule.from_beta(beta).alpha_bar, Schedule.diffusion_lm(1000).alpha_bar, rtol=1e-12, atol=0)


@pytest.mark.parametrize("alpha_bar", [[1.0], [0.9, 0.5], [1.0, 1.0], [1.0, 0.5, 0.6], [1.0, -0.1], [1.0, float("nan")]])
def test_a_schedule_that_does_not_decrease_is_refused(alpha_bar: list[float]) -> None:
    with pytest.raises(InputError, match="decreas"):
        Schedule(torch.tensor(alpha_bar, dtype=torch.float64))


def test_too_short_a_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="T = 21"):
        Schedule.diffusion_lm(20)


@pytest.mark.parametrize("t", [-1, 501, torch.tensor([3, 501])])
def test_times_outside_are_refused(t: int | torch.Tensor) -> None:
    with pytest.raises(InputError, match="outside"):
        SCHEDULE.at(t)


def test_loss_weights_equal_the_papers() -> None:
    np.testing.assert_allclose(SCHEDULE.vlb_weight().numpy(), shared("hierarchical.npz")["vlb_weight"], rtol=1e-12)
