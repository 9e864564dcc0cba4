"""What a report says, as plain data: curves with bands, histograms, a decision, and where every number comes from.

The page and the figures are functions of a `Report` alone; nothing here knows of run folders, networks or plotting.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Interval = tuple[float | None, float | None]
"""(low, high) in optimizer steps; an end that is None lies beyond what was measured."""

Verdict = Literal["bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power"]


def as_floats(values: Any) -> FloatArray:
    """A one-dimensional float64 copy; None becomes NaN."""
    return np.array(values, dtype=np.float64).reshape(-1)


def _freeze(holder: object, names: Iterable[str]) -> None:
    """Turn the named fields of a frozen dataclass into float64 arrays of one length."""
    lengths = {}
    for name in names:
        values = as_floats(getattr(holder, name))
        object.__setattr__(holder, name, values)
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{type(holder).__name__} needs arrays of one length, not {lengths}")


@dataclass(frozen=True, eq=False)
class Series:
    """One curve along training.

    name: stable id, the same in every panel and every report.  label: what a reader sees.
    steps, mean, low, high: (S,), steps in optimizer steps; NaN where a number is missing.
    band: what low and high are, e.g. "90% interval over members".  unit: e.g. "nats per sequence".
    panel: the key of the panel that shows it.
    """

    name: str
    label: str
    steps: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    band: str
    unit: str
    panel: str

    def __post_init__(self) -> None:
        _freeze(self, ("steps", "mean", "low", "high"))


@dataclass(frozen=True)
class Level:
    """A horizontal line for comparison, such as the lowest loss any model can have."""

    label: str
    value: float


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves on one pair of axes; x is always the optimizer step, logarithmic.

    note: one sentence on how to read it.  place: "main" panels are stacked in the chart at the top, in order; the others follow.
    palette: "ordered" where the order of the series means something (k = 0, 1, 2, ...).
    y_range: what to show at first (see `focus`), None for everything; the legend has a button that shows it all.
    """

    key: str
    title: str
    y_label: str
    series: tuple[Series, ...]
    note: str
    place: Literal["main", "detail"] = "detail"
    palette: Literal["distinct", "ordered"] = "distinct"
    levels: tuple[Level, ...] = ()
    y_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        strays = [series.name for series in self.series if series.panel != self.key]
        if strays:
            raise ValueError(f"panel {self.key!r} was given series of other panels: {strays}")


@dataclass(frozen=True, eq=False)
class Histogram:
    """Distance of generated sequences to the nearest training sequence, beside that of held-out data.

    moment: "at the onset", "at the test-loss minimum" or "at the end", reached at optimizer step `step`.
    distance: (L + 1,).  generated, generated_low, generated_high, held_out: (L + 1,) fractions.  samples: how many were generated.
    """

    step: int
    moment: str
    distance: FloatArray
    generated: FloatArray
    generated_low: FloatArray
    generated_high: FloatArray
    held_out: FloatArray
    samples: int
    note: str

    def __post_init__(self) -> None:
        _freeze(self, ("distance", "generated", "generated_low", "generated_high", "held_out"))


@dataclass(frozen=True)
class Gallery:
    """Pictures as one PNG. title: what; note: how to read it, also for those who cannot see it; width: pixels at which it is shown."""

    title: str
    note: str
    png: bytes
    width: int


@dataclass(frozen=True)
class Decision:
    """What `find_onset` concluded. Steps are optimizer steps; None means not reached.

    rise: growth of the sample-split divergence from the onset to the test-loss minimum, in `rise_unit`.
    level: coverage of every interval, e.g. 0.9.  reason: one sentence.
    checkpoint: the saved checkpoint to use, as a path inside the run folder, where there is one.
    advice: what to do next, sentences, in place of those of the page; leave empty for those.
    """

    verdict: Verdict
    onset_step: float | None
    onset_interval: Interval | None
    test_loss_minimum_step: float | None
    test_loss_minimum_interval: Interval | None
    reason: str
    level: float = 0.9
    rise: float | None = None
    rise_interval: Interval | None = None
    rise_unit: str = "nats per sequence"
    checkpoint: str | None = None
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definition:
    """How one number is defined. formula: plain text and Unicode.  source: paper and equation."""

    name: str
    text: str
    formula: str
    source: str


@dataclass(frozen=True, eq=False)
class Report:
    """Everything one page shows. configuration, environment and data may be nested."""

    title: str
    subtitle: str
    decision: Decision
    panels: tuple[Panel, ...]
    histograms: tuple[Histogram, ...]
    definitions: tuple[Definition, ...]
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    command: str
    caveats: tuple[str, ...]
    created: str
    galleries: tuple[Gallery, ...] = ()

    @property
    def main(self) -> tuple[Panel, ...]:
        """The panels of the chart at the top."""
        return tuple(panel for panel in self.panels if panel.place == "main")

    @property
    def details(self) -> tuple[Panel, ...]:
        """The panels below it."""
        return tuple(panel for panel in self.panels if panel.place == "detail")

    @property
    def last_step(self) -> float:
        """The last measured optimizer step; NaN where there are no curves."""
        steps = [float(series.steps.max()) for panel in self.panels for series in panel.series if len(series.steps)]
        return max(steps, default=float("nan"))


def focus(series: Iterable[Series], from_step: float, margin: float = 0.08) -> tuple[float, float] | None:
    """The y range that shows these series, bands included, from an optimizer step on.

    A loss falls by far more before anything is learned than it later rises; on the full range its minimum cannot be seen.
    None where nothing finite is left.
    """
    kept = [values[one.steps >= from_step] for one in series for values in (one.mean, one.low, one.high)]
    values = np.concatenate(kept) if kept else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    pad = margin * (high - low or abs(high) or 1.0)
    return low - pad, high + pad
