"""Continuous-time processes and their flow: published arrays, derivatives, a solvable flow, and orders of convergence."""

import pytest
import torch

from gtv_reference import full, small
from twinsplit.diffusion.continuous import Process, VarianceClock, VarianceExploding, VariancePreserving
from twinsplit.diffusion.flow import Euler
from twinsplit.errors import InputError
from twinsplit.exact.point_masses import PointMasses

PROCESSES = [VariancePreserving(), VarianceExploding(), VarianceClock()]
TWO = torch.tensor([[-1.0, 0.5], [1.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("array", [small, full])
def test_the_published_process(array: object) -> None:
    assert callable(array)
    process, t = VariancePreserving(), array("time_grid")
    torch.testing.assert_close(process.times(0.01, 1.0, 30), t, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(process.signal(t), array("alpha"), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(process.variance(t), array("sigma2"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES)
def test_rates_are_derivatives(process: Process) -> None:
    t = torch.tensor([0.07, 0.3, 0.8], dtype=torch.float64, requires_grad=True)
    (drift,) = torch.autograd.grad((process.signal(t).log() + 0 * t).sum(), t)
    (rate,) = torch.autograd.grad(process.variance(t).sum(), t)
    torch.testing.assert_close(process.drift(t).detach(), drift)
    torch.testing.assert_close(process.variance_rate(t).detach(), rate)
    assert (process.diffusion(t) > 0).all()


def test_edm_times_are_karras() -> None:
    t = VarianceExploding().times(0.002, 80.0, 17)
    i = torch.arange(18, dtype=torch.float64)
    torch.testing.assert_close(t, (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_flow_of_one_point_is_solved_to_first_order(process: Process) -> None:
    """For one point p the flow keeps eps: x_s = alpha_s p + sigma_s (x_t - alpha_t p) / sigma_t."""
    world = PointMasses(TWO[:1], process)
    x = torch.tensor([[0.4, -0.3], [1.0, 2.0]], dtype=torch.float64)
    start, end = 0.9, 0.3
    (a, s), (b, r) = process.scales(start), process.scales(end)
    exact = b * TWO[:1] + r * (x - a * TWO[:1]) / s
    grids = [tuple(torch.linspace(start, end, n + 1, dtype=torch.float64).tolist()) for n in (40, 80)]
    errors = [(Euler(process, grid)(world, x) - exact).abs().max().item() for grid in grids]
    if process == VarianceExploding():  # a straight line in t: a step is exact
        assert max(errors) < 1e-12
    else:
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_the_path_ends_where_the_sampler_does() -> None:
    process = VariancePreserving()
    flow = Euler(process, tuple(process.times(1e-2, 1.0, 7).tolist()))
    x = torch.tensor([[0.4, -0.3]], dtype=torch.float64)
    world = PointMasses(TWO, process)
    path = flow.path(world, x)
    assert len(path) == 8
    assert torch.equal(path[-1], flow(world, x))
    assert torch.equal(path[0], x)


def test_one_euler_step_written_out() -> None:
    """The published update, x - (beta x + beta (alpha m - x) / sigma^2) dt, with dt < 0 (section 5)."""
    process = VariancePreserving()
    world = PointMasses(TWO, process)
    x, t, s = torch.tensor([[0.4, -0.3]], dtype=torch.float64), 0.5, 0.45
    beta, alpha = 0.1 + 19.9 * t, process.signal(t)
    published = x - (beta * x + beta * (alpha * world(x, t).mean - x) / (1 - alpha**2)) * (s - t)
    torch.testing.assert_close(Euler(process, (t, s)).step(world, x, t, s), published)


def test_bad_times_are_refused() -> None:
    with pytest.raises(InputError, match="decrease"):
        Euler(VariancePreserving(), (0.1, 0.5))
    with pytest.raises(InputError, match="0 < end < start"):
        VariancePreserving().times(0.0, 1.0, 10)
