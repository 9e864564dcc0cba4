"""Permutation of labels against enumeration by hand and SciPy's; what a test can reject, and how often it does when nothing differs."""

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from twinsplit.errors import InputError
from twinsplit.measures.permutation import (
    DRAWS,
    LIMIT,
    label_test,
    mean_difference_test,
    shuffled_orders,
    spread_ratio_interval,
    spread_test,
    swap_test,
)
from twinsplit.noise.reference import Noise

whole = st.lists(st.integers(-9, 9), min_size=1, max_size=5)
GENERATOR = np.random.default_rng(0)


def by_hand(first: list[int], second: list[int]) -> tuple[Fraction, Fraction]:
    """p-value and the smallest one, in fractions."""
    pool = first + second

    def size(chosen: tuple[int, ...]) -> Fraction:
        ours = [pool[i] for i in chosen]
        return abs(Fraction(sum(ours), len(ours)) - Fraction(sum(pool) - sum(ours), len(second)))

    sizes = [size(chosen) for chosen in combinations(range(len(pool)), len(first))]
    observed = size(tuple(range(len(first))))
    return Fraction(sum(s >= observed for s in sizes), len(sizes)), Fraction(sizes.count(max(sizes)), len(sizes))


@given(whole, whole)
def test_means_are_compared_by_enumeration(first: list[int], second: list[int]) -> None:
    """Ties included."""
    found = mean_difference_test(first, second)
    assert (found.p_value, found.smallest) == tuple(map(float, by_hand(first, second)))
    assert found.arrangements == comb(len(first) + len(second), len(first))
    assert found.value == pytest.approx(np.mean(first) - np.mean(second))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=6))
def test_swaps_are_enumerated(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    totals = [abs(sum(sign * (a - b) for sign, (a, b) in zip(signs, pairs, strict=True))) for signs in product((1, -1), repeat=len(pairs))]
    found = swap_test(first, second)
    assert found.p_value == np.mean([total >= totals[0] for total in totals])
    assert found.smallest == totals.count(max(totals)) / len(totals)


def test_scipy_agrees() -> None:
    first, second = GENERATOR.normal(size=5), GENERATOR.normal(0.8, 1, size=6)

    def size(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(abs(a.mean(axis) - b.mean(axis)))

    def spread(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(abs(np.log(a.std(axis, ddof=1) / b.std(axis, ddof=1))))

    options = {"n_resamples": np.inf, "alternative": "greater", "vectorized": True}
    assert mean_difference_test(first, second).p_value == stats.permutation_test((first, second), size, **options).pvalue
    centred = (first - first.mean(), second - second.mean())
    assert spread_test(first, second).p_value == stats.permutation_test(centred, spread, **options).pvalue
    paired = stats.permutation_test((first, second[:5]), size, permutation_type="samples", **options)
    assert swap_test(first, second[:5]).p_value == paired.pvalue


@pytest.mark.parametrize(("each", "smallest"), [(2, 2 / 6), (3, 0.1), (4, 2 / 70), (6, 2 / 924)])
def test_few_replicates_cannot_reject(each: int, smallest: float) -> None:
    """However far they are apart; different numbers can reach it."""
    first, second = np.arange(each) + 0.1 * GENERATOR.random(each), 100 + np.arange(each) + 0.1 * GENERATOR.random(each)
    found = mean_difference_test(first, second)
    assert found.p_value == found.smallest == pytest.approx(smallest)
    assert swap_test(first, second).smallest == 2 / 2**each


def test_equal_numbers_differ_in_nothing() -> None:
    for test in (mean_difference_test, spread_test, swap_test):
        found = test([2.0] * 4, [2.0] * 4)
        assert (found.value, found.p_value, found.smallest) == (0.0, 1.0, 1.0)


def test_it_rejects_as_often_as_it_says() -> None:
    """Every labelling of one set of numbers is equally likely when labels mean nothing: the p-values are then uniform, exactly."""
    pool = GENERATOR.normal(size=8)
    found = []
    for chosen in combinations(range(8), 4):
        rest = [i for i in range(8) if i not in chosen]
        found.append(mean_difference_test(pool[list(chosen)], pool[rest]).p_value)
    for level in (2 / 70, 4 / 70, 10 / 70, 34 / 70, 1.0):  # relabelling both groups gives the same p-value
        assert np.mean(np.array(found) <= level + 1e-12) == pytest.approx(level)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_the_spread_is_tested_without_the_mean(shift: float) -> None:
    """400 pairs of groups with equal spread: 4.2% are rejected in the long run, so more than 8% in 2 of 1,000 such tests."""
    generator = np.random.default_rng(1)
    rejected = [spread_test(generator.normal(size=6), shift + generator.normal(size=6)).p_value <= 0.05 for _ in range(400)]
    assert np.mean(rejected) < 0.08
    wide = [spread_test(generator.normal(size=8), shift + 20 * generator.normal(size=8)).p_value <= 0.05 for _ in range(10)]
    assert sum(wide) >= 8


@given(st.floats(-100, 100), st.floats(0.1, 10))
def test_the_spread_does_not_see_shifts(shift: float, scale: float) -> None:
    first, second = [0.0, 1.0, 4.0, 5.5], [0.3, 0.4, 0.9]
    moved = spread_test(np.array(first) * scale + shift, np.array(second) * scale - shift)
    assert moved.p_value == spread_test(first, second).p_value
    assert moved.value == pytest.approx(spread_test(first, second).value)


def test_many_arrangements_are_drawn() -> None:
    """11 against 11 and 18 pairs: more than can be counted one by one."""
    assert comb(22, 11) > LIMIT > comb(20, 10)
    first, second = GENERATOR.normal(size=11), GENERATOR.normal(0.7, 1, size=11)
    found = mean_difference_test(first, second)
    assert found == mean_difference_test(first, second)
    assert (found.arrangements, found.smallest) == (DRAWS + 1, 1 / (DRAWS + 1))
    welch = stats.ttest_ind(first, second).pvalue  # close to the permutation test's for normal numbers
    assert found.p_value == pytest.approx(welch, abs=0.02)
    assert mean_difference_test(first, second + 100).p_value == 1 / (DRAWS + 1)
    pairs = GENERATOR.normal(size=18)
    assert swap_test(pairs, pairs + 1 + 0.1 * GENERATOR.random(18)).p_value == 1 / (DRAWS + 1)
    assert swap_test(pairs, pairs[::-1]).p_value > 0.5


def test_the_ratio_of_spreads_has_the_f_interval() -> None:
    first, second = GENERATOR.normal(size=5), 2 * GENERATOR.normal(size=7)
    low, high = spread_ratio_interval(first, second, 0.9) or (0.0, 0.0)
    ratio = first.var(ddof=1) / second.var(ddof=1)
    assert stats.f.cdf([ratio / low**2, ratio / high**2], 4, 6) == pytest.approx([0.95, 0.05])
    assert spread_ratio_interval(first, [1.0, 1.0]) is None
    assert spread_ratio_interval(first, [1.0]) is None


def test_what_is_no_group_is_refused() -> None:
    for first, second in (([], [1.0]), ([1.0, float("nan")], [1.0]), ([[1.0]], [1.0])):
        with pytest.raises(InputError, match="give finite numbers"):
            mean_difference_test(first, second)
    with pytest.raises(InputError, match="have no spread"):
        spread_test([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="same replicates"):
        swap_test([1.0], [1.0, 2.0])


def test_any_statistic_can_be_tested() -> None:
    """The largest of 3 numbers: 3 above 3 others have the largest one in half of all arrangements."""
    found = label_test(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]), lambda a, b: a.max(1) - b.max(1))
    assert (found.value, found.p_value) == (3.0, 0.1)


def test_shuffled_orders_leave_nothing_in_place_and_pair_all_equally_often() -> None:
    """Each of 4 x 3 pairs is met in a third of 3,000 orders: 1,000, with a standard deviation of 26. False alarms: 12 x 6e-7."""
    orders = shuffled_orders(4, 3_000, Noise(3))
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(4), (3_000, 1)))
    met = np.array([[(orders[:, i] == j).sum() for j in range(4)] for i in range(4)])
    assert (np.diag(met) == 0).all()
    assert (np.abs(met[~np.eye(4, dtype=bool)] - 1_000) < 5 * 26).all()
    assert shuffled_orders(2, 2, Noise(0)).tolist() == [[1, 0], [1, 0]]
    assert np.array_equal(shuffled_orders(9, 3, Noise(1)), shuffled_orders(9, 5, Noise(1))[:3])
    with pytest.raises(InputError, match="1 entries"):
        shuffled_orders(1, 3, Noise(0))
