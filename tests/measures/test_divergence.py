"""Divergences and the loss decomposition: conservation laws, and exact values by hand."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinsplit.diffusion.denoiser import Categorical, Gaussian
from twinsplit.measures.decomposition import decompose, token_loss
from twinsplit.measures.divergence import oracle_divergence, ordered_pairs, sample_split_divergence
from twinsplit.noise.reference import Noise


def posterior(seed: int, n: int = 6, length: int = 3, q: int = 4) -> Categorical:
    return Categorical.from_logits(2 * Noise(seed, "posterior").normal(0, torch.arange(n), (length, q)))


seeds = st.integers(0, 2**20)


@given(seeds, seeds)
def test_swapped_twins_give_the_mirrored_result(a: int, b: int) -> None:
    forward, backward = sample_split_divergence(posterior(a), posterior(b)), sample_split_divergence(posterior(b), posterior(a))
    assert torch.equal(forward, backward.flip(-1))


@given(seeds)
def test_identical_twins_have_divergence_zero(a: int) -> None:
    assert not sample_split_divergence(posterior(a), posterior(a)).any()


@given(seeds, st.permutations(range(6)))
def test_permuting_the_held_out_set_permutes_the_replicates(a: int, order: list[int]) -> None:
    p, q = posterior(a), posterior(a + 1)
    whole = sample_split_divergence(p, q)
    permuted = sample_split_divergence(Categorical(p.log_probs[order]), Categorical(q.log_probs[order]))
    assert torch.equal(whole[order], permuted)


@given(seeds, st.integers(1, 5))
def test_batches_change_nothing(a: int, cut: int) -> None:
    p, q = posterior(a), posterior(a + 1)
    parts = [oracle_divergence(Categorical(p.log_probs[s]), Categorical(q.log_probs[s])) for s in (slice(0, cut), slice(cut, None))]
    assert torch.equal(torch.cat(parts), oracle_divergence(p, q))


@given(seeds, seeds)
def test_divergence_is_never_negative_and_sums_over_leaves(a: int, b: int) -> None:
    p, q = posterior(a), posterior(b)
    kl = p.kl(q)
    assert bool((kl > -1e-12).all())
    leaves = sum(Categorical(p.log_probs[:, [i]]).kl(Categorical(q.log_probs[:, [i]])) for i in range(3))
    torch.testing.assert_close(kl, leaves)


def test_a_divergence_by_hand() -> None:
    p, q = Categorical(torch.tensor([[[0.5, 0.5]]]).log()), Categorical(torch.tensor([[[0.25, 0.75]]]).log())
    torch.testing.assert_close(p.kl(q), torch.tensor([0.5 * math.log(2) + 0.5 * math.log(2 / 3)]))


def test_certainty_costs_nothing_where_it_is_right() -> None:
    certain = Categorical(torch.tensor([[[0.0, -torch.inf]]]))
    even = Categorical.from_logits(torch.zeros(1, 1, 2))
    assert float(certain.kl(even)) == math.log(2) or abs(float(certain.kl(even)) - math.log(2)) < 1e-7
    assert float(even.kl(certain)) == math.inf
    assert float(certain.kl(certain)) == 0


@given(seeds)
def test_the_parts_sum_to_the_loss(a: int) -> None:
    model, oracle = posterior(a), posterior(a + 1)
    tokens = (Noise(a, "tokens").uniform(0, torch.arange(6), (3,)) * 4).to(torch.int8)
    parts = decompose(model, oracle, tokens)
    torch.testing.assert_close(parts.oracle_term + parts.excess_term, token_loss(model, tokens))


@settings(max_examples=5)
@given(st.integers(0, 100))
def test_the_excess_is_zero_in_expectation_on_fresh_data(seed: int) -> None:
    """Tokens drawn from the oracle itself; |z| < 4.5 is exceeded by chance once in 150,000 runs."""
    n = 20_000
    model, oracle = posterior(seed, n), posterior(seed + 1, n)
    u = Noise(seed, "draw").uniform(0, torch.arange(n), (3,))
    tokens = (oracle.mean.cumsum(-1) < u[..., None]).sum(-1).clamp(max=3)
    excess = decompose(model, oracle, tokens).excess_term
    assert abs(float(excess.mean() / excess.std())) * math.sqrt(n) < 4.5


def test_gaussian_divergence_by_hand() -> None:
    p = Gaussian(torch.zeros(1, 2), torch.tensor(1.0))
    q = Gaussian(torch.ones(1, 2), torch.tensor(2.0))
    torch.testing.assert_close(p.kl(q), torch.tensor([2 * 0.5 * (0.5 - 1 + math.log(2) + 0.5)]))
    torch.testing.assert_close(p.log_prob(torch.zeros(1, 2)), torch.tensor([-math.log(2 * math.pi)]))


def test_ordered_pairs() -> None:
    assert set(ordered_pairs(3)) == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
