"""Intervals that stay in their range: closed forms, invariants, and how often they cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinsplit.errors import InputError
from twinsplit.measures.bounded import fraction_interval, mean_interval
from twinsplit.measures.memorization import clopper_pearson
from twinsplit.measures.statistics import Mean, mean_over, student_quantile

counts = st.integers(2, 6).flatmap(lambda k: st.lists(st.tuples(st.integers(0, 20), st.integers(20, 40)), min_size=k, max_size=k))


@given(counts)
def test_a_fractions_interval_holds_it_and_stays_within_0_and_1(found: list[tuple[int, int]]) -> None:
    changed, samples = zip(*found, strict=True)
    low, high = fraction_interval(changed, samples)
    assert 0 <= low <= sum(changed) / sum(samples) <= high <= 1
    assert low < high


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_a_means_interval_holds_it_and_stays_within_its_range(values: list[float]) -> None:
    mean = mean_over(values, "members")
    low, high = mean_interval(mean) or (2.0, -2.0)
    assert -1 <= low <= mean.value + 1e-9
    assert mean.value - 1e-9 <= high <= 1


def test_networks_that_agree_count_for_all_their_samples_less_what_student_takes() -> None:
    worth = 80 * (student_quantile(0.95, 79) / student_quantile(0.95, 3)) ** 2
    assert fraction_interval([0] * 4, [20] * 4) == pytest.approx((0.0, 1 - 0.025 ** (1 / worth)))
    assert fraction_interval([5] * 4, [20] * 4) == pytest.approx(clopper_pearson(worth / 4, worth))


def test_networks_that_differ_make_it_wider() -> None:
    """p (1 - p) / variance: of 0.1 and 0.9 by turns it is 0.25 / (0.16 * 4/3 / 4) = 4.7 samples instead of 80."""
    low, high = fraction_interval([2, 18, 2, 18], [20] * 4)
    worth = 0.25 / (0.16 / 3) * (student_quantile(0.95, 79) / student_quantile(0.95, 3)) ** 2
    assert (low, high) == pytest.approx(clopper_pearson(worth / 2, worth))
    alike = fraction_interval([10] * 4, [20] * 4)
    assert low < alike[0] < alike[1] < high


def test_a_mean_far_from_its_ends_has_students_interval() -> None:
    mean = Mean(0.1, 1e-4, "members", 4, 3)
    assert mean_interval(mean) == pytest.approx(mean.interval(0.95), abs=1e-6)
    assert mean_interval(mean_over([1.0, 1.0, 1.0], "members")) == (1.0, 1.0)
    half = student_quantile(0.95, 2) * 0.05 / np.sqrt(1 - 0.99**2)
    assert mean_interval(Mean(0.99, 0.05, "members", 3, 2)) == pytest.approx((np.sin(np.arcsin(0.99) - half), 1.0))
    assert mean_interval(Mean(0.5, None, "members", 1, 0)) is None


def test_they_cover_at_least_as_often_as_they_say() -> None:
    """4 networks with fractions from Beta(2, 3), mean 0.4, of 48 samples each. 2,000 experiments: 0.925 is 5 standard errors below 0.95."""
    rng = np.random.default_rng(0)
    samples = np.full(4, 48)
    found = [fraction_interval(rng.binomial(48, rng.beta(2, 3, 4)), samples) for _ in range(2_000)]
    assert np.mean([low <= 0.4 <= high for low, high in found]) > 0.925
    means = [mean_interval(mean_over(2 * rng.beta(8, 2, 4) - 1, "members")) or (2.0, -2.0) for _ in range(2_000)]
    assert np.mean([low <= 0.6 <= high for low, high in means]) > 0.925


@pytest.mark.parametrize(("changed", "samples"), [([3], [2]), ([1, 2], [2]), ([1, 3], [2, 2]), ([1, -1], [2, 2]), ([0, 0], [2, 0])])
def test_counts_that_are_none_are_refused(changed: list[int], samples: list[int]) -> None:
    with pytest.raises(InputError, match="networks"):
        fraction_interval(changed, samples)


def test_a_mean_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"a mean of 1\.5"):
        mean_interval(Mean(1.5, 0.1, "members", 3, 2))
