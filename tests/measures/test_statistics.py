"""Means and their errors against closed forms and simulation; the smoother against its own definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from twinsplit.errors import InputError
from twinsplit.measures import statistics as st
from twinsplit.onset import smoothing as sm


def all_pairs(members: int) -> np.ndarray:
    return np.array(list(combinations(range(members), 2)))


def test_student_quantiles_are_the_tabulated_ones():
    assert st.student_quantile(0.95, 1) == pytest.approx(12.706, abs=1e-3)
    assert st.student_quantile(0.95, 3) == pytest.approx(3.182, abs=1e-3)
    assert st.student_quantile(0.95, np.inf) == pytest.approx(1.960, abs=1e-3)
    assert st.student_quantile(0.95, 0) == np.inf
    with pytest.raises(InputError, match="between 0 and 1"):
        st.student_quantile(95, 3)


def test_mean_over_names_its_replicates():
    m = st.mean_over([1.0, 2.0, 3.0, 4.0], "sequences")
    assert (m.value, m.over, m.count, m.degrees) == (2.5, "sequences", 4, 3)
    assert m.standard_error == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)
    low, high = m.interval()
    assert (low + high) / 2 == pytest.approx(2.5)
    alone = st.mean_over([1.0], "members")
    assert alone.standard_error is None
    assert alone.interval() is None


def test_paired_differences_cancel_what_is_shared():
    rng = np.random.default_rng(0)
    shared, small = rng.normal(0, 10, 50), rng.normal(0, 0.1, 50)
    d = st.paired_difference(shared + small + 1, shared, "sequences")
    assert d.value == pytest.approx(1 + small.mean())
    assert d.standard_error < 0.03
    with pytest.raises(InputError, match="lengths"):
        st.paired_difference([1.0, 2.0], [1.0], "sequences")


@pytest.mark.parametrize("bad", [[], [np.nan], [[1.0]]])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(InputError):
        st.mean_over(bad, "sequences")


@pytest.mark.parametrize("members", [3, 5, 8])
def test_the_error_over_pairs_is_the_members_own(members):
    """D_ij = a_i + a_j: the mean is 2 mean(a), so its variance is 4 s^2 / K exactly."""
    a = np.random.default_rng(members).normal(size=members)
    pairs = all_pairs(members)
    m = st.mean_over_pairs(a[pairs].sum(1), pairs)
    assert m.standard_error == pytest.approx(2 * a.std(ddof=1) / np.sqrt(members))
    assert (m.over, m.count, m.degrees) == ("members", members, members - 1)


def test_two_members_give_no_error_and_shared_splits_count_once():
    assert st.mean_over_pairs([0.4], [[0, 1]]).standard_error is None
    pairs = np.array([p for p in all_pairs(6) if p[0] // 2 != p[1] // 2])
    m = st.mean_over_pairs(np.random.default_rng(0).random(len(pairs)), pairs, splits=[0, 0, 1, 1, 2, 2])
    assert (m.over, m.count) == ("splits", 3)
    star = [[0, 1], [0, 2], [0, 3]]  # leaving out member 0 leaves no pair
    assert st.mean_over_pairs([1.0, 2.0, 3.0], star).standard_error is None


@settings(max_examples=25, deadline=None)
@given(hs.integers(0, 10**6), hs.integers(3, 7))
def test_the_error_does_not_depend_on_names_or_order(seed, members):
    rng = np.random.default_rng(seed)
    pairs, values = all_pairs(members), rng.random(members * (members - 1) // 2)
    order, names = rng.permutation(len(pairs)), rng.permutation(members)
    one, two = st.mean_over_pairs(values, pairs), st.mean_over_pairs(values[order], names[pairs[order]][:, ::-1])
    assert one.value == pytest.approx(two.value)
    assert one.standard_error == pytest.approx(two.standard_error)


def test_intervals_over_pairs_cover():
    rng, pairs = np.random.default_rng(1), all_pairs(4)
    hits = []
    for _ in range(400):
        values = rng.normal(size=4)[pairs].sum(1) + rng.normal(0, 0.5, 6)
        low, high = st.mean_over_pairs(values, pairs).interval()
        hits.append(low <= 0 <= high)
    assert 0.93 <= np.mean(hits) <= 1.0


def test_the_symmetric_root_squares_to_the_covariance():
    a = np.random.default_rng(0).normal(size=(3, 6))
    covariance = a.T @ a  # rank 3
    root = st.symmetric_root(covariance)
    np.testing.assert_allclose(root @ root, covariance, atol=1e-10)
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    np.testing.assert_array_equal(st.symmetric_root(np.zeros((2, 2))), np.zeros((2, 2)))


def test_intervals_keep_infinite_draws():
    draws = np.r_[np.full(10, -np.inf), np.arange(90.0)]
    low, high = st.interval(draws, 0.9)
    assert low == -np.inf
    assert high == pytest.approx(84.0, abs=1.0)


def curve(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.sort(np.random.default_rng(seed).uniform(0, 5, n))
    truth = np.sin(x) + 0.3 * x
    return x, truth, truth + noise * np.random.default_rng(seed + 1).normal(size=n)


def test_the_basis_sums_to_one_and_draws_straight_lines():
    x = np.linspace(2.0, 7.0, 33)
    B = sm.spline_basis(x, 2.0, 7.0, 10)
    np.testing.assert_allclose(B.sum(1), 1)
    line = B @ (np.arange(13) - 1) * 0.5 + 2.0
    np.testing.assert_allclose(line, x, atol=1e-12)


def test_cubics_pass_the_smoother_untouched_whatever_the_penalty():
    x = np.geomspace(1.0, 6.0, 15)
    y = 1 - 2 * x + 0.5 * x**2 - 0.05 * x**3
    for penalty in (1e-3, 1.0, 1e4):
        np.testing.assert_allclose(sm.smoother(x, x, penalty).matrix @ y, y, atol=1e-6)


def test_smoothing_reduces_noise_and_its_residual_variance_is_the_noise():
    x, truth, y = curve(80, 0, 0.1)
    s = sm.smoother(x, x, sm.penalties(x, y).best)
    assert np.abs(s.matrix @ y - truth).mean() < 0.5 * np.abs(y - truth).mean()
    assert 4 <= s.freedom <= 15
    assert np.sqrt(s.residual_variance(y)) == pytest.approx(0.1, rel=0.25)


def test_posterior_covariance_is_complete():
    """Noise through the smoother plus what smoothing removes is Wahba's s^2 B (B'B + penalty P)^-1 B'."""
    x = np.linspace(0, 5, 20)
    s = sm.smoother(x, x, 3.0)
    np.testing.assert_allclose(s.matrix @ s.matrix.T + s.rough @ s.rough.T, s.at_knots, atol=1e-8)


def test_penalties_are_probabilities_and_smooth_curves_ask_for_more():
    x, _, noisy = curve(40, 0, 0.5)
    _, _, clean = curve(40, 0, 0.01)
    p = sm.penalties(x, noisy)
    assert p.probability.sum() == pytest.approx(1)
    assert {penalty for penalty, _ in p.quantiles(10)} <= set(p.values.tolist())
    assert p.best > sm.penalties(x, clean).best


def two_seeds_each(splits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(splits), 2)
    pairs = all_pairs(2 * splits)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return labels, pairs[~same], pairs[same]


def test_data_share_recovers_the_part_of_the_data():
    rng = np.random.default_rng(0)
    labels, across, within = two_seeds_each(5)
    hits = []
    for _ in range(200):
        data, seed = rng.normal(0, 0.03, 5), rng.normal(0, 0.02, 10)
        noise = seed[across].sum(1) + data[labels[across]].sum(1)
        share = st.data_share(0.5 + noise, across, 0.3 + seed[within].sum(1), within, labels)
        hits.append(share.interval[0] <= 0.2 <= share.interval[1])
    assert 0.9 <= np.mean(hits) <= 1.0
    assert share.excess == pytest.approx(share.between - share.within)
    assert share.fraction == pytest.approx(share.excess / share.between)
    assert share.fraction_interval[0] < 0.4 < share.fraction_interval[1]
    assert share.splits == 5


def test_data_share_without_enough_splits_has_no_interval():
    labels, across, within = two_seeds_each(2)
    share = st.data_share(np.full(4, 0.5), across, np.full(2, 0.2), within, labels)
    assert share.excess == pytest.approx(0.3)
    assert share.interval is None
    assert share.fraction_interval is None


def test_data_share_refuses_pairs_of_the_wrong_kind():
    labels, across, within = two_seeds_each(3)
    with pytest.raises(InputError, match="wrong side"):
        st.data_share(np.ones(len(within)), within, np.ones(len(across)), across, labels)
    with pytest.raises(InputError, match="number"):
        st.data_share([1.0], across, np.ones(len(within)), within, labels)
    with pytest.raises(InputError, match="do not differ"):
        st.data_share(np.zeros(len(across)), across, np.ones(len(within)), within, labels)
    with pytest.raises(InputError, match="split of every member"):
        st.data_share(np.ones(len(across)), across, np.ones(len(within)), within, labels[:-1])
