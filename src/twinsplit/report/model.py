"""What the page of a run says, as plain data: axes, pictures, the decision, and where every number comes from.

The page and the printed figure are functions of a `Report` alone; nothing here knows of run folders or networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twinsplit.onset.decision import Onset
from twinsplit.report.figure import Axes, ImageGrid


@dataclass(frozen=True)
class Definition:
    """How one number is defined. formula: plain text and Unicode.  source: paper and equation."""

    name: str
    text: str
    formula: str
    source: str


@dataclass(frozen=True, eq=False)
class Report:
    """Everything one page shows. configuration, environment and data may be nested.

    main: the axes of the chart at the top, one under the other; details: those below it, along training, too.
    distances: histograms, of samples' distances to training data.  galleries: what the networks draw.
    checkpoint: the saved checkpoint to use, as a path inside the run folder, where there is one.
    """

    title: str
    subtitle: str
    onset: Onset
    main: tuple[Axes, ...]
    details: tuple[Axes, ...]
    definitions: tuple[Definition, ...]
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    command: str
    caveats: tuple[str, ...]
    created: str
    distances: tuple[Axes, ...] = ()
    galleries: tuple[ImageGrid, ...] = ()
    checkpoint: str | None = None

    @property
    def panels(self) -> tuple[Axes, ...]:
        """All axes along training."""
        return (*self.main, *self.details)

    @property
    def last_step(self) -> float:
        """The last measured optimizer step; NaN where there are no curves."""
        steps = [float(line.x.max()) for axes in self.panels for line in axes.lines if len(line.x)]
        return max(steps, default=float("nan"))
