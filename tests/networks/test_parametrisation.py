"""What networks are asked, against the formulas; and how often an image is shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from twinsplit.diffusion.exploding import NOISE_LAWS
from twinsplit.errors import InputError
from twinsplit.networks.parametrisation import NoisePrediction, ResidualPrediction, Tokens
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training
from twinsplit.training.batches import batch_rows, draw_times, epoch_size, steps_per_epoch
from twinsplit.training.loss import member_losses
from twinsplit.training.rates import halving, rate_factor

CPU = torch.device("cpu")
LAWS = {"published": np.sqrt, "report": np.asarray}


def test_the_residual_is_what_was_added() -> None:
    clean, eps = torch.rand(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4)
    sigma = torch.tensor([[0.1, 0.5, 1.0], [0.0, 0.2, 0.3]])
    goal = ResidualPrediction()
    y = goal.noised(clean, eps, torch.ones(2, 3), sigma)
    torch.testing.assert_close(y - goal.target(clean, eps, sigma), clean)
    assert goal.state((1, 4, 4)) == (1, 4, 4)


def test_other_goals_do_not_look_at_sigma() -> None:
    eps, tokens, sigma = torch.randn(1, 2, 1, 2, 2), torch.zeros(1, 2, 4, dtype=torch.int64), torch.rand(1, 2)
    assert NoisePrediction().target(eps, eps, sigma) is eps
    assert Tokens(3).target(tokens, eps, sigma) is tokens


def test_the_loss_is_the_mean_squared_error_of_the_residual() -> None:
    outputs, target, t = torch.randn(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4), torch.ones(2, 3, dtype=torch.int64)
    schedule = NOISE_LAWS["published"](10)
    found = member_losses(Training(loss="noise"), outputs, target, t, schedule)
    torch.testing.assert_close(found, ((outputs - target) ** 2).mean((1, 2, 3, 4)))
    with pytest.raises(InputError, match="adds noise only"):
        member_losses(Training(loss="noise", weighting="vlb"), outputs, target, t, schedule)


@pytest.mark.parametrize("law", NOISE_LAWS)
def test_drawn_noise_follows_its_law(law: str) -> None:
    """Kolmogorov-Smirnov on 4,000 levels of T = 100,000; a right sampler fails for one seed in 1,000."""
    schedule = NOISE_LAWS[law](100_000)
    sigma = schedule.scales(draw_times(Noise(0), 1, 4_000, schedule, CPU))[1]
    assert kstest(LAWS[law](sigma.numpy()), "uniform").pvalue > 1e-3
    assert kstest(LAWS["report" if law == "published" else "published"](sigma.numpy()), "uniform").pvalue < 1e-12


def test_rates_are_halved_every_100_epochs() -> None:
    rates = [halving(step, 3_000, 3) for step in range(1, 3_001)]
    assert rates == [0.5 ** (epoch // 100) for epoch in range(1_000) for _ in range(3)]
    assert rate_factor("halving", 196 * 100, 196_000, 100_000, 512) == 1
    assert rate_factor("halving", 196 * 100 + 1, 196_000, 100_000, 512) == 0.5
    assert rate_factor("halving", 196_000, 196_000, 100_000, 512) == 2**-9


def shown(n: int, batch: int, size: int, epoch: int, seed: int = 0) -> torch.Tensor:
    """(n,) how often each position comes in an epoch."""
    per_epoch = steps_per_epoch(size, batch)
    steps = range(1 + epoch * per_epoch, 1 + (epoch + 1) * per_epoch)
    rows = torch.cat([batch_rows(Noise(seed), step, n, batch, CPU, size) for step in steps])
    assert len(rows) == size
    return torch.bincount(rows, minlength=n)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 200), st.integers(0, 3))
def test_repeated_splits_are_shown_evenly(n: int, batch: int, size: int, epoch: int) -> None:
    counts = shown(n, batch, size, epoch)
    assert int(counts.sum()) == size
    assert int(counts.max() - counts.min()) <= 1


def test_what_is_left_over_changes_with_the_epoch() -> None:
    extra = [tuple((shown(7, 5, 10, epoch) == 2).nonzero()[:, 0].tolist()) for epoch in range(20)]
    assert all(len(rows) == 3 for rows in extra)
    assert len(set(extra)) > 10


def test_exposure_is_equal_whatever_the_size() -> None:
    training = Training(epoch_samples=100_000)
    assert {steps_per_epoch(epoch_size(training, n), 512) for n in (10, 100, 1_000, 10_000, 98_117)} == {196}
    assert epoch_size(Training(), 98_117) == 98_117
    assert int(shown(10, 512, 1_000, 0).min()) == 100


def test_an_epoch_of_the_split_itself_is_the_default() -> None:
    assert torch.equal(batch_rows(Noise(0), 5, 10, 4, CPU, 10), batch_rows(Noise(0), 5, 10, 4, CPU))


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(InputError, match="epoch_samples = -1"):
        Training(epoch_samples=-1)
