"""Samplers with a denoiser that is exact: what comes out must be the law of the data."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.sampler import DDIM, Ancestral, Sampler, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.uturn import overlap, uturn
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(500)
GRAMMAR = TreeGrammar.random(3, 2, 2, 1.0, 5)
ORACLE = TreeOracle(GRAMMAR, SCHEDULE)
FAST = strided_times(500, 25)


def start(n: int) -> torch.Tensor:
    return Noise(0, "x_T").normal(500, torch.arange(n), (GRAMMAR.length, GRAMMAR.vocab_size))


def test_ancestral_sampling_draws_from_the_law() -> None:
    """Chi-square of 4,000 samples of a fixed seed against the enumerated law; a right sampler fails for one seed in 1,000."""
    tokens = Ancestral(SCHEDULE)(ORACLE, start(4_000), Noise(1)).argmax(-1)
    sequences, probabilities = GRAMMAR.enumerate()
    code = np.array([27, 9, 3, 1])
    counts = np.bincount(tokens.numpy() @ code, minlength=81)[sequences.numpy() @ code]
    assert counts.sum() == 4_000
    assert chisquare(counts, 4_000 * probabilities.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    "sampler", [Ancestral(SCHEDULE, FAST), DDIM(SCHEDULE, FAST), DDIM(SCHEDULE, FAST, 0.7)], ids=["DDPM", "DDIM", "0.7"]
)
def test_a_path_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    x_T = start(12)
    whole = sampler(ORACLE, x_T, Noise(1))
    part = sampler(ORACLE, x_T[5:9], Noise(1), sample_ids=torch.arange(5, 9))
    torch.testing.assert_close(whole[5:9], part, rtol=0, atol=1e-9)
    assert torch.equal(whole, sampler(ORACLE, x_T, Noise(1)))


def test_ddim_is_deterministic_and_ancestral_is_not() -> None:
    x_T = start(6)
    assert torch.equal(DDIM(SCHEDULE, FAST)(ORACLE, x_T, Noise(1)), DDIM(SCHEDULE, FAST)(ORACLE, x_T, Noise(2)))
    assert not torch.equal(Ancestral(SCHEDULE, FAST)(ORACLE, x_T, Noise(1)), Ancestral(SCHEDULE, FAST)(ORACLE, x_T, Noise(2)))


@pytest.mark.parametrize(("t", "s"), [(500, 480), (20, 19), (1, 0)])
def test_ddim_with_eta_one_is_ancestral(t: int, s: int) -> None:
    x_t, x_0, z = (Noise(seed).normal(0, torch.arange(4), (4, 3)) for seed in range(3))
    expected = Ancestral(SCHEDULE).step(x_t, x_0, t, s, z)
    torch.testing.assert_close(DDIM(SCHEDULE, eta=1.0).step(x_t, x_0, t, s, z), expected, rtol=1e-10, atol=1e-10)


def test_the_last_step_is_the_posterior_mean() -> None:
    x_t, x_0, z = (Noise(seed).normal(0, torch.arange(4), (4, 3)) for seed in range(3))
    torch.testing.assert_close(Ancestral(SCHEDULE).step(x_t, x_0, 1, 0, z), x_0, rtol=1e-12, atol=1e-12)


def test_uturns_at_little_noise_come_home_and_at_full_noise_do_not() -> None:
    tokens = GRAMMAR.sample(200, 0).long()
    x_0 = torch.nn.functional.one_hot(tokens, 3).double()
    near = uturn(ORACLE, x_0, 5, Ancestral(SCHEDULE), Noise(0)).argmax(-1)
    far = uturn(ORACLE, x_0, 500, Ancestral(SCHEDULE, FAST), Noise(0)).argmax(-1)
    assert torch.equal(overlap(tokens, near), torch.ones(200, dtype=torch.float64))
    assert float(overlap(tokens, far).mean()) < 0.6


def test_overlap_is_the_fraction_of_equal_tokens() -> None:
    assert overlap(torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 1, 0, 0]])).tolist() == [0.5]


def test_strided_times_run_from_T_to_0() -> None:
    assert strided_times(500, 500) == tuple(range(500, -1, -1))
    assert strided_times(10, 4) == (10, 8, 5, 2, 0)


@pytest.mark.parametrize("steps", [0, 501])
def test_more_steps_than_times_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match="between 1 and 500"):
        strided_times(500, steps)
