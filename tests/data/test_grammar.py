"""The tree grammar against the published numbers, against enumeration, and against its own promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from reference import BACKENDS, all_sequences, factorised_joint, hierarchical, implementation, subtree_probability
from twinsplit.data.grammar import TreeGrammar, thresholds
from twinsplit.errors import InputError

SMALL = TreeGrammar.random(3, 2, 2, 1.0, 5)


def ambiguous(seed: int = 0, depth: int = 2, q: int = 3) -> TreeGrammar:
    """Every parent may produce almost every pair, so a sequence has many derivations; no leaf pair is (2, 2)."""
    weights = np.random.default_rng(seed).exponential(size=(q, q, q))
    weights[0, 1, 2] = weights[:, 2, 2] = 0
    return TreeGrammar(weights / weights.sum((1, 2), keepdims=True), depth)


def test_published_rules_equal_the_reference_to_the_bit() -> None:
    assert np.array_equal(TreeGrammar.published().rules, hierarchical()["M"])


def test_published_is_the_random_grammar_of_its_sizes() -> None:
    assert np.array_equal(TreeGrammar.published(3).rules, TreeGrammar.random(6, 4, 4, 1.0, 3).rules)
    assert not np.array_equal(TreeGrammar.published(3).rules, TreeGrammar.published().rules)


def test_drawing_a_grammar_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()
    TreeGrammar.published()
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_root_to_level_equals_the_reference(k: int) -> None:
    assert np.abs(TreeGrammar.published().root_to_level(k) - hierarchical()[f"root_to_level_{k}"]).max() < 1e-15


def test_log_likelihood_equals_the_published_free_energy() -> None:
    energy = -TreeGrammar.published().log_likelihood(hierarchical()["sequences"]).numpy() / np.log(6)
    assert np.abs(energy - hierarchical()["free_energy_base_q"]).max() < 1e-12


@pytest.mark.parametrize("grammar", [SMALL, ambiguous()], ids=["published law", "ambiguous"])
def test_log_likelihood_equals_the_definition_on_every_sequence(grammar: TreeGrammar) -> None:
    sequences = all_sequences(3, 4)
    expected = subtree_probability(grammar.rules, sequences).mean(1)
    assert (expected == 0).any()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(grammar.log_likelihood(sequences), np.log(expected).astype(float), rtol=1e-14, atol=0)


@pytest.mark.parametrize("grammar", [SMALL, ambiguous(), TreeGrammar.published(depth=2)], ids=["small", "ambiguous", "published"])
def test_enumeration_is_the_whole_law(grammar: TreeGrammar) -> None:
    sequences, probabilities = grammar.enumerate()
    assert sequences.dtype == torch.int8
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-13)
    assert len(np.unique(sequences, axis=0)) == len(sequences)
    np.testing.assert_allclose(grammar.log_likelihood(sequences), probabilities.log().numpy(), rtol=1e-13)


def test_enumerating_a_large_grammar_is_refused() -> None:
    with pytest.raises(InputError, match="shallower"):
        TreeGrammar.published().enumerate()


@pytest.mark.parametrize("k", [0, 1, 2])
def test_samples_follow_the_law(k: int) -> None:
    """Chi-square of 20,000 samples of a fixed seed against the enumerated joint; a right sampler fails for one seed in 1,000."""
    sequences = all_sequences(3, 4)
    expected = factorised_joint(SMALL.rules, sequences, k).astype(float)
    code = SMALL.sample(20_000, seed=1, factorised=k).long() @ torch.tensor([27, 9, 3, 1])
    counts = np.bincount(code, minlength=81)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible], 20_000 * expected[possible]).pvalue > 1e-3


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 30), st.integers(0, 30), st.integers(0, 4))
def test_a_sample_depends_on_seed_and_number_alone(name: str, start: int, a: int, b: int, k: int) -> None:
    grammar, (low, high) = TreeGrammar.published(), sorted((a, b))
    with implementation(name):
        whole = grammar.sample(30, 7, start, k)
        assert torch.equal(whole[low:high], grammar.sample(high - low, 7, start + low, k))


@pytest.mark.parametrize("k", range(5))
def test_the_kernel_draws_the_samples_of_the_reference(k: int) -> None:
    with implementation("torch"):
        expected = TreeGrammar.published().sample(3_000, 2, start=2**32 - 1_500, factorised=k)
    with implementation("numba"):
        assert torch.equal(TreeGrammar.published().sample(3_000, 2, start=2**32 - 1_500, factorised=k), expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_known_samples(name: str) -> None:
    """The data of a seed are part of every result: they must never change."""
    with implementation(name):
        rows = TreeGrammar.published().sample(3, 0).tolist()
    assert ["".join(map(str, row)) for row in rows] == ["5450154413354102", "1144414150440245", "1045545122541511"]


def test_seeds_differ() -> None:
    assert not torch.equal(SMALL.sample(50, 0), SMALL.sample(50, 1))


def test_thresholds_split_the_words_in_proportion() -> None:
    assert thresholds(np.array([0.25, 0.5, 0.25])).tolist() == [2**30, 3 * 2**30]


def test_impossible_outcomes_are_never_drawn() -> None:
    """Even the largest word stops at the last possible outcome, however the sum rounds."""
    table = thresholds(np.array([[0.1] * 10 + [0.0, 0.0], [0.0, 1.0] + [0.0] * 10]))
    assert (table[0] <= 2**32 - 1).sum() == 9
    assert (table[1] <= 0).sum() == (table[1] <= 2**32 - 1).sum() == 1


def test_sizes() -> None:
    grammar = TreeGrammar.random(5, 3, 2, 0.5, 1)
    assert (grammar.vocab_size, grammar.length, grammar.rules_per_symbol) == (5, 8, 2)
    assert grammar.sample(0, 0).shape == (0, 8)
    assert grammar.log_likelihood(grammar.sample(0, 0)).shape == (0,)


def test_rules_cannot_be_changed_behind_the_tables() -> None:
    rules = SMALL.rules.copy()
    grammar = TreeGrammar(rules, 2)
    rules[:] = 0
    assert grammar.rules.sum() == pytest.approx(3)
    with pytest.raises(ValueError, match="read-only"):
        grammar.rules[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((6, 4, 0, 1.0, 0), "from 1 to 6"),
        ((6, 4, 7, 1.0, 0), "from 1 to 6"),
        ((1, 4, 1, 1.0, 0), "from 2 to 127"),
        ((128, 4, 1, 1.0, 0), "from 2 to 127"),
        ((6, 0, 4, 1.0, 0), "from 1 to 16"),
        ((6, 4, 4, -1.0, 0), "spread"),
        ((6, 4, 4, float("nan"), 0), "spread"),
        ((6, 4, 4, 1.0, -1), "from 0"),
    ],
)
def test_a_grammar_that_cannot_be_is_refused(arguments: tuple[int, int, int, float, int], remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        TreeGrammar.random(*arguments)


@pytest.mark.parametrize("rules", [np.ones((3, 3)), np.ones((3, 3, 2)), np.ones((3, 3, 3)), np.full((2, 2, 2), np.nan), -SMALL.rules])
def test_rules_that_are_no_probabilities_are_refused(rules: np.ndarray) -> None:
    with pytest.raises(InputError):
        TreeGrammar(rules, 2)


@pytest.mark.parametrize("sequences", [[[0, 1, 2]], [[0, 1, 2, 3]], [[0, 1, 2, -1]], [0, 1, 2, 0], [[0.0, 1.0, 2.0, 0.0]]])
def test_bad_sequences_are_refused(sequences: list[list[int]]) -> None:
    with pytest.raises(InputError):
        SMALL.log_likelihood(sequences)


@pytest.mark.parametrize("arguments", [(-1, 0), (1, 0, -1), (1, 0, 0, 3), (1, 0, 0, -1)])
def test_bad_requests_for_samples_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        SMALL.sample(*arguments)
