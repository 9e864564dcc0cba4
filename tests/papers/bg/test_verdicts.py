"""Verdicts, case by case: what an interval must show for a claim to hold, to fail, or to be left open."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinsplit.measures.statistics import Mean, mean_over
from twinsplit.onset.gaps import Gap
from twinsplit.papers.bg.verdicts import Claim, Part, above, below, comes_before, together, unjudged, within

YES, NO, OPEN = "holds", "does not hold", "not enough power"


def mean(low: float, high: float) -> Mean:
    """A mean over 5 splits whose 95% interval is low to high."""
    return Mean((low + high) / 2, (high - low) / 2 / 2.7764451, "splits", 5, 4)


def between(low: float | None, high: float | None, at: float | None = None) -> Gap:
    return Gap(at, (low, high), None, (None, None))


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [([YES], YES), ([YES, YES], YES), ([YES, OPEN], OPEN), ([OPEN, NO, YES], NO), ([NO], NO), ([OPEN], OPEN), ([], OPEN)],
)
def test_parts_together(verdicts: list[str], whole: str) -> None:
    assert together(verdicts) == whole  # type: ignore[arg-type]
    parts = tuple(Part("s", 0.0, (0.0, 0.0), "3 splits", v) for v in verdicts)  # type: ignore[arg-type]
    assert Claim("C0", "text", parts).verdict == whole


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 2.0, YES),
        (0.1, None, YES),  # the second minimum may lie beyond the checkpoints: it is later still
        (0.0, 2.0, OPEN),
        (-0.2, 0.8, OPEN),
        (-0.2, log(1.5), NO),
        (-2.0, -1.0, NO),
        (None, -1.0, NO),
        (None, 0.8, OPEN),
        (None, None, OPEN),
        (-0.2, None, OPEN),
        (0.1, 0.2, YES),  # early and by little, but surely early
    ],
)
def test_which_minimum_comes_first(low: float | None, high: float | None, verdict: str) -> None:
    part = comes_before("factor", between(low, high, 0.3), "5 splits")
    assert part.verdict == verdict
    assert part.value == pytest.approx(exp(0.3))
    assert part.interval == tuple(None if bound is None else pytest.approx(exp(bound)) for bound in (low, high))
    assert comes_before("factor", between(low, high), "5 splits").value is None


@pytest.mark.parametrize(
    ("low", "high", "is_below", "is_above"), [(-2, -1, YES, NO), (-1, 1, OPEN, OPEN), (1, 2, NO, YES), (0, 1, NO, OPEN), (-1, 0, OPEN, NO)]
)
def test_sides_of_zero(low: float, high: float, is_below: str, is_above: str) -> None:
    exact = mean(low, high)
    # ends at exactly 0 are rounding: they are made so here
    object.__setattr__(exact, "interval", lambda level=0.95: (float(low), float(high)))
    assert (below("x", exact).verdict, above("x", exact).verdict) == (is_below, is_above)


def test_a_bound_other_than_zero() -> None:
    assert below("x", mean(1.0, 2.0), 2.5).verdict == YES
    assert above("x", mean(1.0, 2.0), 2.5).verdict == NO
    assert above("x", mean(1.0, 2.0), 0.5).verdict == YES


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.5, 0.9, YES), (-0.5, 1.1, OPEN), (1.1, 1.2, NO), (-3.0, -1.2, NO), (-2.0, 2.0, OPEN), (0.9, 3.0, OPEN)]
)
def test_equivalence(low: float, high: float, verdict: str) -> None:
    assert within("x", mean(low, high), 1.0).verdict == verdict


def test_one_replicate_says_nothing() -> None:
    lonely = mean_over([-5.0], "splits")
    for part in (below("x", lonely), above("x", lonely), within("x", lonely, 10.0)):
        assert (part.verdict, part.interval, part.over) == (OPEN, (None, None), "1 splits")
    assert unjudged("x", "why").verdict == OPEN


def test_an_infinite_margin_says_nothing() -> None:
    assert within("x", mean(-1.0, 1.0), float("inf")).verdict == OPEN
    assert within("x", mean(-1.0, 1.0), float("nan")).verdict == OPEN


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12).filter(lambda v: len(set(v)) > 1))
def test_mirrored_values_give_the_mirrored_verdict(values: list[float]) -> None:
    ours, mirrored = mean_over(values, "splits"), mean_over([-v for v in values], "splits")
    assert below("x", ours).verdict == above("x", mirrored).verdict
    assert within("x", ours, 2.0).verdict == within("x", mirrored, 2.0).verdict
    assert {below("x", ours).verdict, above("x", ours).verdict} in ({YES, NO}, {OPEN})
