"""What is drawn across the curves: the two turning points with their intervals, the phase between them, and levels to compare with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twinsplit.report import axes, words
from twinsplit.report.colours import LEADS, faded, solid
from twinsplit.report.model import Decision, Interval, Level, Panel

Json = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """A turning point as it is drawn; step is None where it was not reached."""

    name: str
    colour: str
    step: float | None
    interval: Interval

    @property
    def drawn(self) -> bool:
        """Whether anything is known about it."""
        return self.step is not None or self.interval != (None, None)


def turns(decision: Decision) -> tuple[Turn, Turn]:
    """The onset and the test-loss minimum, each in the colour of the curve it belongs to."""
    unknown: Interval = (None, None)
    return (
        Turn("onset", LEADS[0], decision.onset_step, decision.onset_interval or unknown),
        Turn("test-loss minimum", LEADS[1], decision.test_loss_minimum_step, decision.test_loss_minimum_interval or unknown),
    )


def biased_phase(decision: Decision) -> tuple[Interval, ...]:
    """From the onset to the test-loss minimum, or on to the end where that was not reached; empty where none was found."""
    if decision.verdict != "bias_precedes_test_minimum" or decision.onset_step is None:
        return ()
    return ((decision.onset_step, decision.test_loss_minimum_step),)


def clipped(ends: Interval, x_range: tuple[float, float]) -> tuple[float, float]:
    """An interval within the chart; an open end goes on to the edge."""
    low, high = (x_range[i] if end is None else min(max(end, x_range[0]), x_range[1]) for i, end in enumerate(ends))
    return low, high


def turning_points(decision: Decision, x_range: tuple[float, float], rows: int) -> list[Json]:
    """The biased phase, both intervals and both rules, in each of the stacked panels; the room between stays free for labels."""
    return [shape | {"yref": f"{axes.y_name(row)} domain", "y0": 0, "y1": 1} for row in range(rows) for shape in _across(decision, x_range)]


def _across(decision: Decision, x_range: tuple[float, float]) -> Iterator[Json]:
    for phase in biased_phase(decision):
        yield _area(clipped(phase, x_range), faded("phase", 0.16))
    for turn in turns(decision):
        if turn.interval != (None, None):
            yield _area(clipped(turn.interval, x_range), faded(turn.colour, 0.16))
        if turn.step is not None:
            line = {"color": solid(turn.colour), "width": 1.6, "dash": "dash"}
            yield {"type": "line", "x0": turn.step, "x1": turn.step, "line": line, "layer": "above"}


def _area(ends: tuple[float, float], fill: str) -> Json:
    return {"type": "rect", "x0": ends[0], "x1": ends[1], "fillcolor": fill, "line": {"width": 0}, "layer": "below"}


def turning_labels(decision: Decision, x_range: tuple[float, float], rows: int) -> list[Json]:
    """Each label stands over the panel that its turning point belongs to, on the side with more room."""
    return [
        axes.label_over(turn.step, f"{turn.name}: step {words.step(turn.step)}", min(row, rows - 1), x_range)
        | {"font": {"color": solid(turn.colour), "size": 12}}
        for row, turn in enumerate(turns(decision))
        if turn.step is not None
    ]


def _levels(panels: Sequence[Panel]) -> list[tuple[str, Level]]:
    return [(axes.y_name(row), level) for row, panel in enumerate(panels) for level in panel.levels]


def level_lines(panels: Sequence[Panel]) -> list[Json]:
    """A dotted line at each level."""
    style = {"xref": "paper", "x0": 0, "x1": 1, "line": {"color": solid("quiet"), "width": 1, "dash": "dot"}, "layer": "below"}
    return [{"type": "line", "yref": y, "y0": level.value, "y1": level.value, **style} for y, level in _levels(panels)]
