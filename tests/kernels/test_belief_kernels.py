"""Plain and wide belief propagation give the same numbers wherever the plain one may serve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.tree import TreeOracle

pytest.importorskip("numba", reason="needs numba: pip install 'twinsplit[fast]'")

from twinsplit.kernels import belief
from twinsplit.kernels.belief_plain import DEEPEST, margin, plain_marginals
from twinsplit.kernels.belief_wide import wide_marginals

GRAMMAR = TreeGrammar.published()
RULES = (GRAMMAR.by_parent, GRAMMAR.by_left, GRAMMAR.by_right)
TABLES = tuple((rule.first, rule.second, rule.weight, rule.count) for rule in RULES)


def transition(k: int) -> np.ndarray:
    return TreeOracle(GRAMMAR, Schedule.diffusion_lm(), k).transition.numpy()


def evidence(seed: int, share: float, k: int, n: int = 5) -> np.ndarray:
    """(n, 16, 6) of which every sequence spans this share of the margin."""
    h = np.random.default_rng(seed).normal(size=(n, 16, 6))
    span = (h.max(-1) - h.min(-1)).sum(-1)
    return h * (share * margin(RULES, transition(k), 16) / span)[:, None, None]


def served(h: np.ndarray) -> np.ndarray:
    return belief.marginals(h, RULES, transition(0), belief.even_rows(h, RULES, transition(0)))


def both(h: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return belief._run(plain_marginals, h, TABLES, transition(k)), belief._run(wide_marginals, h, TABLES, transition(k))


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 0.9999), k=st.integers(0, 4))
@settings(max_examples=60)
def test_they_agree_up_to_the_margin(seed: int, share: float, k: int) -> None:
    """Down to the last positive number: an underflow would give -inf where the wide kernel has a finite logarithm."""
    plain, wide = both(evidence(seed, share, k), k)
    assert plain.max() <= 0.0
    np.testing.assert_array_equal(np.isfinite(plain), np.isfinite(wide))
    np.testing.assert_allclose(plain, wide, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10_000), k=st.integers(0, 4))
@settings(max_examples=30)
def test_one_leaf_may_hold_the_whole_span(seed: int, k: int) -> None:
    """The worst case of the bound: all but one leaf say nothing, one rules out all symbols but one as far as it may."""
    h = np.zeros((1, 16, 6))
    leaf, symbol = np.random.default_rng(seed).integers([16, 6])
    h[0, leaf] = -0.9999 * margin(RULES, transition(k), 16)
    h[0, leaf, symbol] = 0.0
    plain, wide = both(h, k)
    np.testing.assert_array_equal(np.isfinite(plain), np.isfinite(wide))
    np.testing.assert_allclose(plain, wide, rtol=1e-12, atol=1e-12)


def test_the_margin_leaves_room_to_the_smallest_float() -> None:
    assert np.exp(-DEEPEST) > 1e20 * np.finfo(float).tiny
    assert 300 < margin(RULES, transition(0), 16) < DEEPEST


def test_each_sequence_is_served_by_itself() -> None:
    """Mixed batches give, to the bit, what each sequence gives alone; beyond the margin, and with -inf, the wide kernel serves."""
    h = np.concatenate([evidence(0, share, 0, 3) for share in (0.5, 40.0, 0.9)])
    h[1, 3, 2] = -np.inf
    whole = served(h)
    alone = np.concatenate([served(row[None]) for row in h])
    np.testing.assert_array_equal(whole, alone)
    wide = belief._run(wide_marginals, h, TABLES, transition(0))
    served_wide = [1, 3, 4, 5]
    np.testing.assert_array_equal(whole[served_wide], wide[served_wide])
    np.testing.assert_allclose(whole, wide, rtol=1e-12, atol=1e-12)


@given(bad=st.sampled_from([np.nan, np.inf, -np.inf]), leaf=st.integers(0, 15), symbol=st.integers(0, 5))
def test_no_infinite_or_broken_evidence_passes_for_even(bad: float, leaf: int, symbol: int) -> None:
    h = evidence(1, 0.5, 0)
    h[2, leaf, symbol] = bad
    np.testing.assert_array_equal(belief.even_rows(h, RULES, transition(0)), [True, True, False, True, True])


def test_impossible_evidence_is_still_nan() -> None:
    h = np.zeros((2, 16, 6))
    h[1, 4] = -np.inf
    found = served(h)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
