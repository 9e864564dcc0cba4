"""Both turning points as marks on all axes along training, with the phase between them."""

from dataclasses import replace

from twinsplit.onset.decision import Onset
from twinsplit.onset.turning import Turn
from twinsplit.report import words
from twinsplit.report.figure import Axes, VerticalLine
from twinsplit.report.model import Report


def marked(report: Report) -> Report:
    """The report with its turning points on its axes; the onset is named over the first main axes, the test-loss minimum over the last."""
    onset, minimum = _mark("onset", report.onset.onset, report.onset, "blue"), _minimum(report.onset)
    plain = tuple(replace(mark, tag="") for mark in (*onset, *minimum))
    last = len(report.main) - 1
    main = []
    for row, axes in enumerate(report.main):
        tagged = (*(onset if row == 0 else plain[: len(onset)]), *(minimum if row == min(1, last) else plain[len(onset) :]))
        main.append(_with(axes, (*_phase(report.onset), *tagged)))
    unnamed = tuple(replace(mark, label="") for mark in (*_phase(report.onset), *plain))  # the legend of the main axes names them
    details = tuple(_with(axes, unnamed) for axes in report.details)
    return replace(report, main=tuple(main), details=details)


def _with(axes: Axes, marks: tuple[VerticalLine, ...]) -> Axes:
    return replace(axes, marks=(*axes.marks, *marks))


def _minimum(onset: Onset) -> tuple[VerticalLine, ...]:
    return _mark("test-loss minimum", onset.test_loss_minimum, onset, "red")


def _mark(name: str, turn: Turn, onset: Onset, colour: str) -> tuple[VerticalLine, ...]:
    """In the colour of the curve that turns; nothing where nothing is known."""
    if turn.step is None and turn.interval == (None, None):
        return ()
    tag = "" if turn.step is None else f"{name}: step {words.step(turn.step)}"
    return (VerticalLine(f"{name}, {words.percent(onset.level)} interval", turn.step, *turn.interval, colour, tag),)


def _phase(onset: Onset) -> tuple[VerticalLine, ...]:
    """From the onset to the test-loss minimum, or on to the end where that was not reached; nothing where no bias was found."""
    if onset.verdict != "bias_precedes_test_minimum" or onset.onset.step is None:
        return ()
    return (VerticalLine("biased phase", None, onset.onset.step, onset.test_loss_minimum.step, "grey"),)
