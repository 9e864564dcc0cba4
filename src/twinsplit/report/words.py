"""The decision in words a practitioner acts on, and numbers as they are written on the page."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from twinsplit.onset.decision import Onset
from twinsplit.onset.turning import Bounds, Turn
from twinsplit.report.model import Report

NOT_A_PROMISE = "Stopping early is no privacy guarantee: whether single training examples can be told from others was not tested here."
ONE_SPLIT = (
    "Each network here learned from one split only. A model that learns from all the data turns at another step: "
    "train twins at two sizes or more before you transfer this one."
)


@dataclass(frozen=True)
class Explanation:
    """What the top of the page says.

    badge: the verdict in a few words.  headline: what to do.  aside: how sure that is.  lead: why.  advice: what to do next.
    """

    badge: str
    headline: str
    aside: str
    lead: str
    advice: tuple[str, ...]


def number(value: float | None) -> str:
    """Four significant digits at most, thousands separated; an en dash for a missing number."""
    if value is None or not math.isfinite(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def measured(value: float) -> str:
    """Four significant digits, zeros included, so that a column lines up; an en dash for a missing number."""
    return f"{value:#.4g}".rstrip(".") if math.isfinite(value) else "–"


def step(value: float) -> str:
    """An optimizer step: "1,955"."""
    return f"{value:,.0f}"


def position(value: float) -> str:
    """A place on the x axis: whole numbers in full, others as `number` writes them."""
    return step(value) if value == int(value) else number(value)


def rounded(value: float) -> str:
    """Three significant digits: "0.152"."""
    return number(float(f"{value:.3g}"))


def interval(ends: Bounds, written: Callable[[float], str] = step) -> str:
    """Steps as "1,700–2,600", or "from 1,700 on" and "up to 2,600" where an end was not reached, or "not determined"."""
    low, high = ends
    if low is None:
        return "not determined" if high is None else f"up to {written(high)}"
    return f"from {written(low)} on" if high is None else f"{written(low)}–{written(high)}"


def percent(level: float) -> str:
    """ "90%"."""
    return f"{100 * level:.3g}%"


def _where(onset: Onset, turn: Turn) -> str:
    return f"({percent(onset.level)} interval {interval(turn.interval)})"


def _test_loss_says(onset: Onset, last_step: float) -> str:
    """What stopping at the lowest test loss would have meant."""
    minimum = onset.test_loss_minimum
    if minimum.step is None:
        return f"The test loss would have told you to go on: it was still falling at the last step, {step(last_step)}."
    return f"The test loss would have told you to stop at step {step(minimum.step)} {_where(onset, minimum)}."


def _biased(onset: Onset, last_step: float) -> Explanation:
    stop = "early on" if onset.onset.step is None else f"at about step {step(onset.onset.step)}"
    later = "From the onset on," if onset.test_loss_minimum.step is None else "Between the two,"
    return Explanation(
        badge="Bias sets in before the test-loss minimum",
        headline=f"You should have stopped {stop}",
        aside=f"(interval {interval(onset.onset.interval)})",
        lead=f"{_test_loss_says(onset, last_step)} {later} the twins agreed less and less with each other while the test loss was "
        "still improving: every further step made each of them pay more for its own sample and its own seed.",
        advice=("Of these networks, use the checkpoint of the onset, not that of the lowest test loss.", ONE_SPLIT),
    )


def _turned(onset: Onset) -> str:
    if onset.onset.step is None:
        return "Up to there, the twins did not start to disagree more."
    return f"The twins' disagreement turned at step {step(onset.onset.step)} {_where(onset, onset.onset)}, which is not clearly earlier."


def _unbiased(onset: Onset, last_step: float) -> Explanation:
    minimum = onset.test_loss_minimum
    return Explanation(
        badge="No bias before the test-loss minimum",
        headline="No biased phase was found"
        if minimum.step is None
        else f"The test loss told you in time to stop: at step {step(minimum.step)}",
        aside=f"(interval {interval(minimum.interval)})" if minimum.reached else "",
        lead=_turned(onset) if minimum.reached else f"{_test_loss_says(onset, last_step)} {_turned(onset)}",
        advice=(
            "Of these networks, use the checkpoint of the test-loss minimum. Ask again after any change of data, model or length.",
            ONE_SPLIT,
        ),
    )


def _train_longer(onset: Onset, last_step: float) -> tuple[str, ...]:
    missing = [
        *(["the test loss had not reached its minimum"] if onset.test_loss_minimum.step is None else []),
        *(["the twins' disagreement had not turned upward"] if onset.onset.step is None else []),
    ]
    return (f"Train longer: by the last step, {step(last_step)}, {' and '.join(missing)}.",) if missing else ()


def _undecided(onset: Onset, last_step: float) -> Explanation:
    return Explanation(
        badge="Not enough power",
        headline="This run cannot tell which came first.",
        aside="",
        lead=f"It neither shows a biased phase nor rules one out. {_test_loss_says(onset, last_step)}",
        advice=(
            *_train_longer(onset, last_step),
            "Train more members: intervals come from resampling them, and four splits give six pairs of twins, eight give 28.",
            "Where the bands are wide, measure on more held-out examples.",
        ),
    )


_EXPLAIN = {"bias_precedes_test_minimum": _biased, "no_bias_before_test_minimum": _unbiased, "not_enough_power": _undecided}


def explain(report: Report) -> Explanation:
    """The decision of a report in words."""
    return _EXPLAIN[report.onset.verdict](report.onset, report.last_step)
