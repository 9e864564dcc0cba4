"""Minima of curves drawn together: known places, gaps, slopes; coverage, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from twinsplit.errors import InputError
from twinsplit.onset.minima import LeftOut, Trend, find_minima
from twinsplit.onset.smoothing import DIFFERENCES, SEGMENTS, smoother, spline_basis

STEPS = np.geomspace(20.0, 5_000.0, 24)
X = np.log(STEPS)
UNITS = 8
SPLITS = np.arange(UNITS)


def parabolas(turns: np.ndarray, curvature: float = 0.4) -> np.ndarray:
    """(S, U) one parabola in log step per unit, lowest at the log steps `turns`: their mean is lowest at the mean of the turns."""
    return curvature * (X[:, None] - turns) ** 2


def curve(name: str, turns: np.ndarray, noise: float = 0.0, seed: int = 0) -> LeftOut:
    values = parabolas(turns) + noise * np.random.default_rng(seed).standard_normal((len(X), len(turns)))
    return LeftOut.of_members(name, STEPS, values, np.arange(len(turns)))


def turns(middle: float, spread: float, seed: int) -> np.ndarray:
    return np.log(middle) + spread * np.random.default_rng(seed).standard_normal(UNITS)


def test_a_parabola_turns_where_its_units_do_on_average() -> None:
    """The penalty leaves cubics alone, so only the grid limits the place."""
    own = turns(400.0, 0.2, 0)
    minima = find_minima([curve("a", own)])
    turn = minima.turn("a")
    cell = (X[-1] - X[0]) / 399
    assert turn.step is not None
    assert abs(np.log(turn.step) - own.mean()) <= cell
    assert turn.reached
    assert minima.units == UNITS


def test_the_interval_of_a_mean_of_turns_is_students() -> None:
    """Without noise the draws move the minimum by exactly the jackknife deviation of the mean turn: +-t s / sqrt(U)."""
    own = turns(400.0, 0.1, 1)
    low, high = find_minima([curve("a", own)], draws=4_000).turn("a").interval
    half = 2.3646 * own.std(ddof=1) / np.sqrt(UNITS)  # Student's t, 7 degrees
    assert low is not None
    assert high is not None
    # the quantiles are those of 4,000 draws: their own error is about 2% of the half-width each, allow 8%
    assert np.log(high / low) == pytest.approx(2 * half, rel=0.08)


def test_a_gap_cancels_what_the_curves_share() -> None:
    """The units' turns spread by a factor of 1.5, but the second curve turns 1.8 times later for every one of them."""
    own = turns(300.0, 0.4, 2)
    minima = find_minima([curve("first", own), curve("second", own + np.log(1.8))])
    gap = minima.gap("first", "second")
    cell = (X[-1] - X[0]) / 399
    low, high = gap.log_interval
    assert gap.log == pytest.approx(np.log(1.8), abs=2 * cell)
    assert low is not None
    assert high is not None
    assert high - low < 0.1 * np.log(minima.turn("first").interval[1] / minima.turn("first").interval[0])
    assert gap.steps == pytest.approx(np.exp(own.mean()) * 0.8, rel=0.03)


def test_a_gap_of_a_curve_with_itself_is_nothing() -> None:
    minima = find_minima([curve("a", turns(300.0, 0.4, 3), noise=0.05)])
    gap = minima.gap("a", "a")
    assert (gap.log, gap.log_interval, gap.steps, gap.steps_interval) == (0.0, (0.0, 0.0), 0.0, (0.0, 0.0))


def test_gaps_turn_round() -> None:
    minima = find_minima([curve("a", turns(200.0, 0.2, 4), 0.02), curve("b", turns(600.0, 0.2, 5), 0.02)])
    there, back = minima.gap("a", "b"), minima.gap("b", "a")
    assert there.log == pytest.approx(-back.log)
    for one, other in (there.log_interval, back.log_interval[::-1]), (there.steps_interval, back.steps_interval[::-1]):
        np.testing.assert_allclose(np.array(one), -np.array(other), rtol=0.05)


def test_a_minimum_that_is_not_reached_leaves_the_late_side_open() -> None:
    falling = LeftOut.of_members("falls", STEPS, -X[:, None] + 0.01 * turns(1.0, 1.0, 6), SPLITS)
    minima = find_minima([curve("turns", turns(200.0, 0.1, 7)), falling])
    turn = minima.turn("falls")
    assert (turn.step, turn.reached, turn.interval[1]) == (None, False, None)
    gap = minima.gap("turns", "falls")
    assert (gap.log, gap.steps, gap.log_interval[1], gap.steps_interval[1]) == (None, None, None, None)
    assert gap.log_interval[0] is not None
    assert np.exp(gap.log_interval[0]) > 10  # it comes at the last checkpoint, 25 times later, or after it
    back = minima.gap("falls", "turns")
    assert back.log_interval[0] is None
    assert back.log_interval[1] < -np.log(10)


def test_a_minimum_before_the_first_checkpoint_leaves_the_early_side_open() -> None:
    rising = LeftOut.of_members("rises", STEPS, X[:, None] + 0.01 * turns(1.0, 1.0, 6), SPLITS)
    turn = find_minima([rising]).turn("rises")
    assert (turn.step, turn.reached, turn.interval[0]) == (None, False, None)


def covered(seed: int) -> tuple[bool, bool]:
    """Does the 95% interval of a minimum hold the population's, and that of a gap of partly shared turns the population's gap?"""
    rng = np.random.default_rng(seed)
    shared, own = rng.standard_normal((2, UNITS))
    first = np.log(250.0) + 0.15 * shared
    second = np.log(900.0) + 0.15 * shared + 0.15 * own
    minima = find_minima([curve("a", first, 0.05, seed), curve("b", second, 0.05, seed + 10_000)], draws=400, seed=seed)
    low, high = minima.turn("a").interval
    below, above = minima.gap("a", "b").log_interval
    truth = np.log(900.0 / 250.0)
    return (low or 0.0) <= 250.0 <= (high or np.inf), (-np.inf if below is None else below) <= truth <= (np.inf if above is None else above)


def test_intervals_hold_the_truth_at_their_level() -> None:
    """80 simulated experiments of 8 units. If the level is 95%, fewer are held than the bound with probability below 0.1%, for each."""
    runs = 80
    held = np.array([covered(seed) for seed in range(runs)]).sum(0)
    assert (held >= binom.ppf(0.001, runs, 0.95)).all(), held


def test_the_coverage_test_can_fail() -> None:
    """Intervals of half the nominal level are told apart by the same bound."""
    runs = 80
    assert binom.cdf(binom.ppf(0.001, runs, 0.95) - 1, runs, 0.80) > 0.5


def test_a_curve_does_not_depend_on_its_company() -> None:
    a, b, c = (curve(name, turns(300.0, 0.2, i), 0.05, i) for i, name in enumerate("abc"))
    alone, together = find_minima([a]), find_minima([c, a, b])
    np.testing.assert_array_equal(alone.places["a"].near, together.places["a"].near)
    assert alone.turn("a") == together.turn("a")
    assert find_minima([b, a]).gap("a", "b") == together.gap("a", "b")


def test_another_seed_draws_otherwise() -> None:
    a = curve("a", turns(300.0, 0.2, 0), 0.05)
    assert (find_minima([a]).places["a"].near != find_minima([a], seed=1).places["a"].near).any()


@settings(max_examples=15)
@given(st.permutations(range(UNITS)))
def test_the_order_of_units_does_not_matter_for_the_point(order: list[int]) -> None:
    own = turns(300.0, 0.3, 8)
    at = find_minima([curve("a", own)], draws=50).places["a"].at
    assert find_minima([curve("a", own[order])], draws=50).places["a"].at == at


@settings(max_examples=15)
@given(st.floats(0.1, 50.0))
def test_counting_in_other_units_of_step_shifts_the_minimum(factor: float) -> None:
    values = parabolas(turns(300.0, 0.3, 9))
    one, other = (find_minima([LeftOut.of_members("a", STEPS * f, values, SPLITS)], draws=200) for f in (1.0, factor))
    first, second = one.turn("a"), other.turn("a")
    assert second.step == pytest.approx(factor * first.step, rel=1e-6)
    np.testing.assert_allclose(np.array(second.interval), factor * np.array(first.interval), rtol=1e-6)


def test_members_of_one_split_are_one_unit() -> None:
    """Twice the same networks are no more evidence."""
    values = parabolas(turns(300.0, 0.3, 10))
    doubled = LeftOut.of_members("a", STEPS, np.repeat(values, 2, axis=1), np.repeat(SPLITS, 2))
    once = LeftOut.of_members("a", STEPS, values, SPLITS)
    np.testing.assert_allclose(doubled.left_out, once.left_out)


def test_leaving_one_out_is_the_mean_of_the_rest() -> None:
    values = np.random.default_rng(0).random((6, 5)) + 0.5
    found = LeftOut.of_members("a", STEPS[:6], values, np.array([0, 0, 1, 2, 2]), np.log)
    for unit, kept in enumerate(([2, 3, 4], [0, 1, 3, 4], [0, 1, 2])):
        np.testing.assert_allclose(found.left_out[unit], np.log([row[kept].mean() for row in values]))
    pairs = np.array([[0, 2], [0, 3], [2, 3], [1, 4]])
    of_pairs = LeftOut.of_pairs("p", STEPS[:6], values[:, :4], pairs, np.array([0, 0, 1, 2, 2]))
    for unit, kept in enumerate(([2], [1, 3], [0])):
        np.testing.assert_allclose(of_pairs.left_out[unit], np.log(values[:, kept].mean(1)))


def test_a_transient_is_no_minimum() -> None:
    """Lowest at the first checkpoint, but that does not count."""
    values = parabolas(turns(300.0, 0.1, 11)) + 1.0
    values[:4] = 0.01
    found = LeftOut("a", STEPS, values.mean(1), LeftOut.of_members("a", STEPS, values, SPLITS).left_out, first=4)
    assert 200 < find_minima([found]).turn("a").step < 450


def test_slopes_are_least_squares_over_the_minima() -> None:
    shared = turns(1.0, 0.2, 12)
    minima = find_minima([curve(f"k{k}", np.log(1_500.0) - 0.4 * k + shared) for k in range(4)])
    trend = minima.slope([f"k{k}" for k in range(4)], [0, 1, 2, 3])
    places = [minima.places[f"k{k}"].at for k in range(4)]
    assert trend.value == pytest.approx(np.polyfit(range(4), places, 1)[0])
    assert trend.interval[0] < -0.4 < trend.interval[1]
    assert trend.interval[1] < -0.3
    assert trend.units == UNITS


def test_minima_beyond_the_checkpoints_open_the_slope() -> None:
    """On the side where they may lie: late fine curves may make it steeper, late coarse ones less steep; all late: nothing is known."""
    shared = turns(1.0, 0.05, 12)

    def trend(*middles: float) -> Trend:
        minima = find_minima([curve(f"k{k}", np.log(middle) + shared) for k, middle in enumerate(middles)])
        return minima.slope([f"k{k}" for k in range(len(middles))], range(len(middles)))

    late_fine, late_coarse = trend(9e6, 600.0, 300.0), trend(300.0, 600.0, 9e6)
    all_late, late_middle = trend(9e6, 9e6, 9e6), trend(600.0, 9e6, 300.0)
    assert [t.value for t in (late_fine, late_coarse, all_late, late_middle)] == [None] * 4
    assert late_fine.interval[0] is None
    assert late_fine.interval[1] < np.log(300 / STEPS[-1]) / 2 + 0.1
    assert late_coarse.interval[1] is None
    assert late_coarse.interval[0] > np.log(STEPS[-1] / 300) / 2 - 0.2
    assert all_late.interval == (None, None)
    assert late_middle.interval[0] < np.log(1 / 2) / 2 < late_middle.interval[1]  # it has no weight


def test_too_little_is_refused() -> None:
    values = parabolas(turns(300.0, 0.1, 0))
    with pytest.raises(InputError, match="4 checkpoints are too few"):
        LeftOut.of_members("a", STEPS[:4], values[:4], SPLITS)
    with pytest.raises(InputError, match="2 splits"):
        LeftOut.of_members("a", STEPS, values[:, :2], SPLITS[:2])
    with pytest.raises(InputError, match="fewer than 3 splits"):
        LeftOut.of_pairs("a", STEPS, values[:, :1] + 1, np.array([[0, 1]]), SPLITS[:2])
    three = LeftOut.of_members("b", STEPS, values[:, :3], SPLITS[:3])
    with pytest.raises(InputError, match="different numbers of splits"):
        find_minima([LeftOut.of_members("a", STEPS, values, SPLITS), three])


@pytest.mark.parametrize("penalty", np.geomspace(1e-2, 1e12, 8))
def test_no_penalty_moves_a_cubic(penalty: float) -> None:
    """However smooth the curve is found to be. The normal equations lost 0.02 of a parabola at 4e11, and its minimum a factor of 1.13."""
    grid = np.linspace(X[0], X[-1], 400)
    s = smoother(X, grid, penalty)
    for power in range(4):
        np.testing.assert_allclose(s.matrix @ (X - 5) ** power, (grid - 5) ** power, atol=1e-7)
        np.testing.assert_allclose(s.at_knots @ (X - 5) ** power, (X - 5) ** power, atol=1e-7)


def test_the_smoother_is_the_minimum_of_its_objective() -> None:
    """Squared residuals plus the penalty on fourth differences of the coefficients, solved here as least squares over them."""
    grid, y = np.linspace(X[0], X[-1], 60), np.sin(X)
    stacked = np.concatenate([spline_basis(X, X[0], X[-1], SEGMENTS), np.sqrt(7.0) * DIFFERENCES])
    best = np.linalg.lstsq(stacked, np.concatenate([y, np.zeros(len(DIFFERENCES))]), rcond=None)[0]
    np.testing.assert_allclose(smoother(X, grid, 7.0).matrix @ y, spline_basis(grid, X[0], X[-1], SEGMENTS) @ best, atol=1e-10)
