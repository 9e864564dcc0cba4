"""What the page says for each decision, and how it writes numbers, steps and intervals."""

from dataclasses import replace

import numpy as np
import pytest
from example_report import BIASED, STEPS, biased, main_panels, turn, unbiased, underpowered, unreached

from twinsplit.onset.turning import Bounds
from twinsplit.report import words
from twinsplit.report.figure import Line, focus
from twinsplit.report.model import Report


def test_bias_says_where_to_stop() -> None:
    caption = words.explain(biased())
    assert f"{caption.headline} {caption.aside}" == "You should have stopped at about step 643 (interval 512–858)"
    assert caption.lead.startswith("The test loss would have told you to stop at step 1,580 (90% interval 1,190–2,210). Between the two,")
    assert "pay more for its own sample and its own seed" in caption.lead


def test_a_minimum_that_was_not_reached_is_not_named() -> None:
    caption = words.explain(unreached())
    assert "still falling at the last step, 4,000. From the onset on," in caption.lead


def test_no_bias_names_the_test_loss_minimum() -> None:
    caption = words.explain(unbiased())
    assert caption.headline == "The test loss told you in time to stop: at step 1,580"
    assert "not clearly earlier" in caption.lead
    never = replace(unbiased().onset, onset=turn(None, None, None), test_loss_minimum=turn(None, None, None))
    caption = words.explain(replace(unbiased(), onset=never))
    assert caption.headline == "No biased phase was found"
    assert "still falling" in caption.lead


def test_too_little_power_says_what_to_do() -> None:
    first, *others = words.explain(underpowered()).advice
    assert first.startswith("Train longer: by the last step, 4,000, the test loss had not reached its minimum and the twins'")
    assert any("more members" in advice for advice in others)
    reached = replace(BIASED, verdict="not_enough_power")
    assert not any("longer" in advice for advice in words.explain(replace(biased(), onset=reached)).advice)


@pytest.mark.parametrize("report", [biased(), unreached(), unbiased()])
def test_privacy_is_never_promised(report: Report) -> None:
    assert words.NOT_A_PROMISE in words.explain(report).advice


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((1700.0, 2600.0), "1,700–2,600"),
        ((None, 2600.0), "up to 2,600"),
        ((1700.0, None), "from 1,700 on"),
        ((None, None), "not determined"),
        ((511.7, 857.6), "512–858"),
    ],
)
def test_intervals(ends: Bounds, text: str) -> None:
    assert words.interval(ends) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.152, "0.152"), (1955.4, "1,955"), (1.3e-5, "1.30e-05"), (float("nan"), "–"), (None, "–"), (3.0, "3")],
)
def test_numbers(value: float | None, text: str) -> None:
    assert words.number(value) == text


def test_measured_numbers_line_up() -> None:
    assert [words.measured(value) for value in (0.401, 1.3, 1234.5, float("nan"))] == ["0.4010", "1.300", "1234", "–"]


def test_focus_leaves_out_what_came_before() -> None:
    losses = main_panels()[1].lines
    low, high = focus(losses, 150) or (0, 0)
    late = [values[one.x >= 150] for one in losses for values in (one.low, one.high)]
    assert low < min(one.min() for one in late) < max(one.max() for one in late) < high < losses[0].y[0]
    assert focus(losses, 1e9) is None
    assert focus((), 0) is None


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Line("a", STEPS, STEPS, STEPS, STEPS[:3])


def test_last_step_without_curves_is_missing() -> None:
    assert np.isnan(replace(biased(), main=(), details=()).last_step)
