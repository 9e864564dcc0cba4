"""What outputs of networks mean, against the formulas; and how often an image is shown."""

import pickle
from dataclasses import replace
from typing import final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import Tensor

from twinsplit.diffusion.blind import Blind
from twinsplit.diffusion.denoiser import Denoiser, Gaussian
from twinsplit.diffusion.exploding import NOISE_LAWS
from twinsplit.diffusion.schedule import Schedule, expand_like
from twinsplit.errors import InputError
from twinsplit.networks.parametrisation import Continuous, NoisePrediction, Residual, Sampling, TokenLogits
from twinsplit.networks.transformer import Transformer
from twinsplit.networks.unet import UNet
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training
from twinsplit.training.batches import batch_rows, draw_times, epoch_size, steps_per_epoch
from twinsplit.training.loss import member_losses
from twinsplit.training.rates import halving, rate_factor

SCHEDULE = Schedule.diffusion_lm(30)
CPU = torch.device("cpu")
LAWS = {"published": np.sqrt, "report": np.asarray}


def test_the_residual_is_what_was_added() -> None:
    clean, eps = torch.rand(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4)
    sigma = torch.tensor([[0.1, 0.5, 1.0], [0.0, 0.2, 0.3]])
    kind = Residual(NOISE_LAWS["published"](10))
    y = kind.noised(clean, eps, torch.ones(2, 3), sigma)
    torch.testing.assert_close(y - kind.target(clean, eps, sigma), clean)
    assert kind.state((1, 4, 4)) == (1, 4, 4)


def test_other_kinds_do_not_look_at_sigma() -> None:
    eps, tokens, sigma = torch.randn(1, 2, 1, 2, 2), torch.zeros(1, 2, 4, dtype=torch.int64), torch.rand(1, 2)
    assert NoisePrediction(SCHEDULE).target(eps, eps, sigma) is eps
    assert TokenLogits(3, SCHEDULE).target(tokens, eps, sigma) is tokens


def test_the_loss_is_the_mean_squared_error_of_the_residual() -> None:
    outputs, target, t = torch.randn(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4), torch.ones(2, 3, dtype=torch.int64)
    schedule = NOISE_LAWS["published"](10)
    found = member_losses(Training(loss="noise"), outputs, target, t, schedule)
    torch.testing.assert_close(found, ((outputs - target) ** 2).mean((1, 2, 3, 4)))
    with pytest.raises(InputError, match="adds noise only"):
        member_losses(Training(loss="noise", weighting="vlb"), outputs, target, t, schedule)


SHAPES = [(2,), (3, 5), (1, 4, 4), (1, 2, 4, 4)]
PROCESS = NOISE_LAWS["published"](10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [NoisePrediction(SCHEDULE), Residual(PROCESS)], ids=lambda kind: type(kind).__name__)
def test_samples_of_any_shape_are_noised_as_their_process_says(kind: Continuous, shape: tuple[int, ...]) -> None:
    x_0, eps, t = torch.randn(2, 3, *shape), torch.randn(2, 3, *shape), torch.tensor([[1, 5, 9], [2, 3, 10]])
    signal, sigma = (scale.float() for scale in kind.noising.scales(t))
    x_t = kind.noised(x_0, eps, signal, sigma)
    for k in range(2):
        torch.testing.assert_close(x_t[k], kind.noising.noised(x_0[k], t[k], eps[k]))
    assert kind.target(x_0, eps, sigma).shape == x_t.shape
    assert kind.state(shape) == shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_noise_and_its_loss_are_read_from_any_posterior(shape: tuple[int, ...]) -> None:
    """Of N(0, 1) data the exact posterior mean is signal x_t, so the noise is sigma x_t."""
    kind, x_0, eps, t = NoisePrediction(SCHEDULE), torch.randn(6, *shape), torch.randn(6, *shape), torch.arange(1, 7)
    _, sigma = (expand_like(scale, x_0) for scale in SCHEDULE.scales(t))
    x_t, denoiser = SCHEDULE.noised(x_0, t, eps), Exact()
    torch.testing.assert_close(kind.noise(denoiser, x_t, t), sigma * x_t, rtol=1e-4, atol=1e-5)
    found = kind.losses(denoiser, x_0, x_t, t, eps)
    torch.testing.assert_close(found, (sigma * x_t - eps).square().flatten(1).mean(1), rtol=1e-4, atol=1e-5)
    blind, y = Residual(PROCESS), PROCESS.noised(x_0, t, eps)
    mean = denoiser(y, t).mean
    error = (mean - x_0).square().flatten(1).mean(1)
    torch.testing.assert_close(blind.losses(denoiser, x_0, y, t, eps), error, rtol=1e-4, atol=1e-5)


@final
class Exact(Denoiser[Gaussian]):
    def forward(self, x_t: Tensor, t: int | Tensor) -> Gaussian:
        signal, sigma = SCHEDULE.scales(t)
        return Gaussian(expand_like(signal, x_t) * x_t, sigma**2)


def test_the_loss_of_tokens_is_minus_the_mean_log_probability() -> None:
    kind, network = TokenLogits(3, SCHEDULE), Transformer(3, 4, 8, 1, 2, 8)
    denoiser = kind.denoiser(network, {name: network.initial(name, Noise(0))[None] for name in network.shapes()})
    tokens, eps, t = torch.randint(0, 3, (5, 4)), torch.randn(5, 4, 3), torch.arange(1, 6)
    x_t = kind.noised(tokens, eps, *(scale.float() for scale in SCHEDULE.scales(t)))
    expected = -denoiser(x_t, t).log_probs.gather(-1, tokens[..., None])[..., 0].mean(1)
    torch.testing.assert_close(kind.losses(denoiser, tokens, x_t, t, eps), expected)


def test_networks_say_their_noise_themselves() -> None:
    """A U-Net's denoiser can go to diffusers' files; any other network's cannot, and both predict alike."""
    unet = UNet(1, 8, (8, 8), 1, (), 4, 0.0)
    parameters = {name: unet.initial(name, Noise(0))[None] for name in unet.shapes()}
    kind, x_t = NoisePrediction(SCHEDULE), torch.randn(2, 1, 8, 8)
    denoiser = kind.denoiser(unet, parameters)
    assert isinstance(denoiser, UNetDenoiser)
    assert torch.equal(kind.noise(denoiser, x_t, 4), denoiser.noise_prediction(x_t, 4))
    assert kind.weight(torch.arange(3)).tolist() == [1, 1, 1]
    torch.testing.assert_close(Residual(PROCESS).weight(4), PROCESS.scales(4)[1] ** 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_kind_has_a_sampler(shape: tuple[int, ...]) -> None:
    sampling, ids = Sampling(4), torch.arange(3)
    kind = NoisePrediction(SCHEDULE)
    drawn = kind.sampler(sampling)(Exact(), shape, Noise(0), ids)
    assert drawn.samples.shape == (3, *shape)
    assert drawn.finished.all()
    assert (kind.sampling_steps(99), Residual(PROCESS).sampling_steps(99)) == (30, 99)
    climbed = pickle.loads(pickle.dumps(Residual(PROCESS).sampler(replace(sampling, steps=3))))(Shrinking(), shape, Noise(0), ids)
    assert climbed.samples.shape == (3, *shape)
    assert not climbed.finished.any()
    fewer = Residual(PROCESS).sampler(replace(sampling, steps=3))(Shrinking(), shape, Noise(0), ids[1:])
    torch.testing.assert_close(fewer.samples, climbed.samples[1:])


@final
class Shrinking(Blind):
    def residual(self, y: Tensor) -> Tensor:
        return 0.9 * y


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(InputError, match="ancestral, ddim"):
        NoisePrediction(SCHEDULE).sampler(Sampling(4, "fastest"))


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
