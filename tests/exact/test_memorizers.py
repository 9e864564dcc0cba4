"""The empirical denoiser and the independent leaves against their definitions and the published numbers."""

import numpy as np
import pytest
import torch

from reference import hierarchical
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.empirical import EmpiricalDenoiser
from twinsplit.exact.independent import IndependentLeaves
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(500)
DATA = TreeGrammar.published().sample(37, 0)
ONE_HOT = torch.nn.functional.one_hot(DATA.long(), 6).double()


def states(t: int) -> torch.Tensor:
    return SCHEDULE.noised(ONE_HOT[:9], t, Noise(0).normal(t, torch.arange(9), (16, 6)))


def test_empirical_equals_the_published_posterior() -> None:
    reference = hierarchical()
    denoiser = EmpiricalDenoiser(torch.from_numpy(reference["sequences"][:16]), SCHEDULE, 6)
    mean = denoiser(torch.from_numpy(reference["x_t"]), torch.from_numpy(reference["t"])).mean
    assert np.abs(mean.numpy() - reference["empirical_posterior_mean"]).max() < 1e-9


@pytest.mark.parametrize("t", [1, 100, 250, 500])
def test_empirical_equals_the_softmax_of_squared_distances(t: int) -> None:
    x_t, alpha_bar = states(t), float(SCHEDULE.alpha_bar[t])
    distance = ((x_t[:, None] - alpha_bar**0.5 * ONE_HOT) ** 2).sum((2, 3))
    weight = torch.softmax(-distance / (2 * (1 - alpha_bar)), dim=1)
    expected = torch.einsum("nk,kli->nli", weight, ONE_HOT)
    torch.testing.assert_close(EmpiricalDenoiser(DATA, SCHEDULE, 6)(x_t, t).mean, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 5, 37])
def test_streaming_changes_nothing(chunk: int) -> None:
    x_t = states(150)
    expected = EmpiricalDenoiser(DATA, SCHEDULE, 6)(x_t, 150).mean
    torch.testing.assert_close(EmpiricalDenoiser(DATA, SCHEDULE, 6, chunk)(x_t, 150).mean, expected, rtol=0, atol=1e-13)


def test_the_order_and_repetition_of_the_data_do_not_matter() -> None:
    x_t = states(200)
    twice = torch.cat([DATA.flip(0), DATA])
    expected = EmpiricalDenoiser(DATA, SCHEDULE, 6)(x_t, 200).mean
    torch.testing.assert_close(EmpiricalDenoiser(twice, SCHEDULE, 6)(x_t, 200).mean, expected, rtol=0, atol=1e-13)


def test_at_low_noise_the_memorizer_recites() -> None:
    assert torch.equal(EmpiricalDenoiser(DATA, SCHEDULE, 6)(states(5), 5).mean.argmax(-1), DATA[:9].long())


def test_symbols_absent_from_the_data_are_impossible() -> None:
    log_probs = EmpiricalDenoiser(torch.zeros(3, 16, dtype=torch.int8), SCHEDULE, 6)(states(300), 300).log_probs
    assert bool((log_probs[..., 0] == 0).all())
    assert bool((log_probs[..., 1:] == -torch.inf).all())


def test_independent_leaves_are_bayes_rule_for_one_leaf() -> None:
    """p(x_t | b) is Gaussian around sqrt(alpha_bar) e_b; a uniform prior leaves the normalised likelihood."""
    x_t, t = states(120), 120
    signal, sigma = SCHEDULE.scales(t)
    likelihood = torch.exp(-((x_t[..., None, :] - signal * torch.eye(6, dtype=torch.float64)) ** 2).sum(-1) / (2 * sigma**2))
    torch.testing.assert_close(IndependentLeaves(SCHEDULE)(x_t, t).mean, likelihood / likelihood.sum(-1, keepdim=True), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("data", "q", "chunk"),
    [
        (torch.zeros(0, 16, dtype=torch.int8), 6, 1),
        (torch.zeros(16, dtype=torch.int8), 6, 1),
        (torch.zeros(2, 16), 6, 1),
        (DATA, 5, 1),
        (DATA - 1, 6, 1),
        (DATA, 6, 0),
    ],
)
def test_bad_data_are_refused(data: torch.Tensor, q: int, chunk: int) -> None:
    with pytest.raises(InputError):
        EmpiricalDenoiser(data, SCHEDULE, q, chunk)


def test_bad_states_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(n, 16, 6\)"):
        EmpiricalDenoiser(DATA, SCHEDULE, 6)(torch.zeros(2, 15, 6), 5)
