"""Message passing against the exponentially large joint, against the published posteriors, and kernel against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import BACKENDS, enumerated_log_marginals, hierarchical, implementation
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle, leaf_log_likelihood
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(500)
PUBLISHED = TreeGrammar.published()
SMALL = TreeGrammar.random(3, 3, 2, 1.0, 0)


def ambiguous() -> TreeGrammar:
    weights = np.random.default_rng(1).exponential(size=(3, 3, 3))
    weights[0, 1, 2] = weights[1, 0, 0] = weights[:, 2, 2] = 0
    return TreeGrammar(weights / weights.sum((1, 2), keepdims=True), 3)


def noised(tokens: torch.Tensor, q: int, t: int, seed: int = 0) -> torch.Tensor:
    x_0 = torch.nn.functional.one_hot(tokens.long(), q).double()
    return SCHEDULE.noised(x_0, t, Noise(seed, "test").normal(t, torch.arange(len(x_0)), tuple(x_0.shape[1:])))


def states(grammar: TreeGrammar, t: int) -> torch.Tensor:
    """Noised samples, noised uniform sequences (some forbidden), and one sequence the grammar forbids for certain; then pure noise."""
    q, length = grammar.vocab_size, grammar.length
    uniform = torch.from_numpy(np.random.default_rng(0).integers(0, q, (40, length)))
    forbidden = uniform[grammar.log_likelihood(uniform).isinf()][:6]
    assert len(forbidden) == 6
    random = Noise(1, "states").normal(t, torch.arange(4), (length, q))
    return torch.cat([noised(torch.cat([grammar.sample(6, 0).long(), forbidden]), q, t), random])


def assert_same(log_probs: torch.Tensor, expected: np.ndarray) -> None:
    """Probabilities to 1e-12, and logarithms too, relative to their size."""
    actual = log_probs.numpy()
    np.testing.assert_allclose(np.exp(actual), np.exp(expected).astype(float), rtol=0, atol=1e-12)
    np.testing.assert_allclose(actual, expected.astype(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("t", [1, 20, 150, 500])
@pytest.mark.parametrize("grammar", [SMALL, ambiguous()], ids=["published law", "ambiguous"])
def test_posterior_equals_enumeration(grammar: TreeGrammar, t: int, k: int, name: str) -> None:
    x_t = states(grammar, t)
    expected = enumerated_log_marginals(grammar.rules, leaf_log_likelihood(x_t, t, SCHEDULE).numpy(), k)
    with implementation(name):
        assert_same(TreeOracle(grammar, SCHEDULE, k)(x_t, t).log_probs, expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_published_grammar_equals_enumeration(name: str) -> None:
    grammar = TreeGrammar.published(depth=2)
    x_t = states(grammar, 3)
    expected = enumerated_log_marginals(grammar.rules, leaf_log_likelihood(x_t, 3, SCHEDULE).numpy(), 0)
    with implementation(name):
        assert_same(TreeOracle(grammar, SCHEDULE)(x_t, 3).log_probs, expected)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("k", range(5))
def test_posterior_mean_equals_the_published_one(k: int, name: str) -> None:
    reference = hierarchical()
    with implementation(name):
        posterior = TreeOracle(PUBLISHED, SCHEDULE, k)(torch.from_numpy(reference["x_t"]), torch.from_numpy(reference["t"]))
    assert np.abs(posterior.mean.numpy() - reference["posterior_mean"][k]).max() < 1e-12


@pytest.mark.parametrize("name", BACKENDS)
def test_masked_marginals_equal_the_published_ones(name: str) -> None:
    reference = hierarchical()
    with implementation(name):
        marginals = TreeOracle(PUBLISHED, SCHEDULE).masked_marginals(reference["sequences"], torch.from_numpy(reference["mask"]))
    assert np.abs(marginals.numpy() - reference["masked_marginals"]).max() < 1e-12


def test_small_constants_instead_of_zero_rules_are_wrong_where_this_oracle_is_right() -> None:
    """The published code adds 1e-16 to every rule. On a noised forbidden sequence that buys an explanation the grammar does not have."""
    x_t = states(SMALL, 25)
    h = leaf_log_likelihood(x_t, 25, SCHEDULE).numpy()
    patched = np.exp(enumerated_log_marginals(SMALL.rules + 1e-16, h, 0)).astype(float)
    right = TreeOracle(SMALL, SCHEDULE)(x_t, 25).mean.numpy()
    error = np.abs(patched - right).max((1, 2))
    assert error[6:12].max() > 0.5
    assert error[:6].max() < 1e-6


@pytest.mark.parametrize("name", BACKENDS)
def test_masking_everything_and_nothing(name: str) -> None:
    sequences = SMALL.sample(5, 0)
    nothing = torch.zeros(5, 8)
    with implementation(name):
        oracle = TreeOracle(SMALL, SCHEDULE)
        assert torch.equal(oracle.masked_marginals(sequences, nothing), torch.nn.functional.one_hot(sequences.long(), 3).double())
        prior = oracle.masked_marginals(sequences, nothing + 1)
    expected = SMALL.root_to_level(3).mean(0).T
    np.testing.assert_allclose(prior, np.broadcast_to(expected, prior.shape), atol=1e-14)


@pytest.mark.parametrize("name", BACKENDS)
def test_forbidden_evidence_is_refused(name: str) -> None:
    forbidden = states_forbidden()
    with implementation(name), pytest.raises(InputError, match="explains"):
        TreeOracle(SMALL, SCHEDULE).masked_marginals(forbidden, torch.zeros(forbidden.shape))


def states_forbidden() -> torch.Tensor:
    uniform = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (40, 8)))
    return uniform[SMALL.log_likelihood(uniform).isinf()]


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(0, 4), st.floats(0, 5))
def test_marginals_are_probabilities_and_ignore_constants(name: str, seed: int, k: int, log_scale: float) -> None:
    h = 10**log_scale * Noise(seed, "h").normal(0, torch.arange(3), (16, 6))
    shift = 100 * Noise(seed, "shift").normal(0, torch.arange(3), (16, 1))
    with implementation(name):
        oracle = TreeOracle(PUBLISHED, SCHEDULE, k)
        mean = oracle.marginals(h).exp()
        shifted = oracle.marginals(h + shift).exp()
    assert float((mean.sum(-1) - 1).abs().max()) < 1e-13
    # Adding the constant itself rounds h, by up to one unit in the last place of each of 16 leaves.
    assert float((mean - shifted).abs().max()) < 16 * 2.0**-52 * float(h.abs().max() + shift.abs().max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(0, 4), st.integers(1, 500))
def test_kernel_equals_torch(seed: int, k: int, t: int) -> None:
    x_t = Noise(seed, "x").normal(t, torch.arange(5), (16, 6)) + noised(PUBLISHED.sample(5, seed), 6, t, seed)
    oracle = TreeOracle(PUBLISHED, SCHEDULE, k)
    with implementation("torch"):
        expected = oracle(x_t, t).log_probs.numpy()
    with implementation("numba"):
        assert_same(oracle(x_t, t).log_probs, expected)


@pytest.mark.parametrize("n", [1, 7, 97, 250])
def test_a_batch_is_its_rows(n: int) -> None:
    x_t = noised(PUBLISHED.sample(250, 0), 6, 60)
    oracle = TreeOracle(PUBLISHED, SCHEDULE)
    with implementation("numba"):
        assert torch.equal(oracle(x_t, 60).log_probs[250 - n :], oracle(x_t[250 - n :], 60).log_probs)


def test_chunks_of_the_reference_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x_t = noised(PUBLISHED.sample(50, 0), 6, 60)
    with implementation("torch"):
        expected = TreeOracle(PUBLISHED, SCHEDULE, 2)(x_t, 60).log_probs
        monkeypatch.setattr("twinsplit.exact.tree.CHUNK_TERMS", 4_000)
        chunked = TreeOracle(PUBLISHED, SCHEDULE, 2)(x_t, 60).log_probs
    torch.testing.assert_close(chunked, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", BACKENDS)
def test_relabelling_the_symbols_relabels_the_posterior(name: str) -> None:
    order = np.array([2, 0, 1])
    relabelled = TreeGrammar(SMALL.rules[np.ix_(order, order, order)], 3)
    x_t = states(SMALL, 80)
    with implementation(name):
        expected = TreeOracle(SMALL, SCHEDULE)(x_t, 80).mean[..., order]
        torch.testing.assert_close(TreeOracle(relabelled, SCHEDULE)(x_t[..., order], 80).mean, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_deep_tree_does_not_underflow(name: str) -> None:
    """256 leaves at t = 1 have likelihood ratios near e^(-10^6); a clean sequence is still recovered."""
    grammar = TreeGrammar.published(depth=8)
    tokens = grammar.sample(3, 0)
    with implementation(name):
        mean = TreeOracle(grammar, SCHEDULE)(noised(tokens, 6, 1), 1).mean
    assert torch.equal(mean.argmax(-1), tokens.long())
    assert float((mean.sum(-1) - 1).abs().max()) < 1e-13


def test_the_posterior_can_be_differentiated() -> None:
    """The Jacobian of a posterior mean is signal / sigma^2 times a covariance ([GAHB]): its diagonal is a variance."""
    x_t, t = states(SMALL, 150)[:1], 150
    jacobian = torch.autograd.functional.jacobian(lambda x: TreeOracle(SMALL, SCHEDULE)(x, t).mean, x_t)
    mean = TreeOracle(SMALL, SCHEDULE)(x_t, t).mean
    signal, sigma = SCHEDULE.scales(t)
    diagonal = torch.diagonal(jacobian.reshape(24, 24)).reshape(8, 3)
    torch.testing.assert_close(diagonal, (signal / sigma**2 * mean * (1 - mean))[0], rtol=0, atol=1e-12)


def test_an_empty_batch_is_no_accident() -> None:
    assert TreeOracle(SMALL, SCHEDULE)(torch.empty(0, 8, 3), 5).mean.shape == (0, 8, 3)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_broken_states_are_refused(bad: float, name: str) -> None:
    x_t = torch.zeros(2, 8, 3)
    x_t[1, 4, 1] = bad
    with implementation(name), pytest.raises(InputError, match="NaN"):
        TreeOracle(SMALL, SCHEDULE)(x_t, 5)


@pytest.mark.parametrize(("shape", "t"), [((2, 7, 3), 5), ((2, 8, 4), 5), ((8, 3), 5), ((2, 8, 3), 0), ((2, 8, 3), 501)])
def test_bad_shapes_and_times_are_refused(shape: tuple[int, ...], t: int) -> None:
    with pytest.raises(InputError):
        TreeOracle(SMALL, SCHEDULE)(torch.zeros(shape), t)


@pytest.mark.parametrize("k", [-1, 4])
def test_bad_truncations_are_refused(k: int) -> None:
    with pytest.raises(InputError, match="from 0 to 3"):
        TreeOracle(SMALL, SCHEDULE, k)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="one shape"):
        TreeOracle(SMALL, SCHEDULE).masked_marginals(SMALL.sample(2, 0), torch.zeros(2, 7))
