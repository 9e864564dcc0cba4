"""A published figure as plain data: axes, lines with bands, marks. What draws it for print or for a browser knows nothing else.

sheet = Sheet("fig4a", "…", (Axes("…", "epoch", "nats", (Line("twins", x, y, low, high),)),), "how to read it")
printed(sheet)        # a matplotlib Figure          (sheet_print)
interactive(sheet)    # one HTML file, self-contained (sheet_page)
sheet.tables()        # the same numbers as tables
"""

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.report.model import FloatArray, as_floats

if TYPE_CHECKING:
    import pyarrow as pa

Scale = Literal["linear", "log"]
Dash = Literal["solid", "dash", "dot"]


@final
@dataclass(frozen=True, eq=False)
class Line:
    """One curve. x, y, low, high: (n,); low and high are NaN where there is no band. colour: a name in `sheet_colours`."""

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    colour: str = "blue"
    dash: Dash = "solid"

    def __post_init__(self) -> None:
        for name in ("x", "y", "low", "high"):
            object.__setattr__(self, name, as_floats(getattr(self, name)))
        assert len(self.x) == len(self.y) == len(self.low) == len(self.high)


@final
@dataclass(frozen=True)
class VerticalLine:
    """A place on the x axis, such as a minimum, and its interval; None on a side that is open, and as `x` where it was not reached."""

    label: str
    x: float | None
    low: float | None
    high: float | None
    colour: str = "ink"


@final
@dataclass(frozen=True)
class Point:
    """A place on a curve, such as its minimum, at height y; x, low and high as in `Mark`."""

    label: str
    x: float | None
    low: float | None
    high: float | None
    y: float
    colour: str = "ink"


SPOTS = "minimum of a curve, with its 95% interval"  # what the legend says, once for all of an axes' spots


@final
@dataclass(frozen=True)
class HorizontalLine:
    """A horizontal line for comparison."""

    label: str
    y: float


@final
@dataclass(frozen=True, eq=False)
class Axes:
    """One pair of axes. y_range: what to show, None for everything."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    marks: tuple[VerticalLine, ...] = ()
    rules: tuple[HorizontalLine, ...] = ()
    x_scale: Scale = "log"
    y_scale: Scale = "linear"
    y_range: tuple[float, float] | None = None
    spots: tuple[Point, ...] = ()

    @property
    def entries(self) -> int:
        """Lines of the legend."""
        return len(self.lines) + len(self.marks) + len(self.rules) + bool(self.spots)


@final
@dataclass(frozen=True, eq=False)
class ImageGrid:
    """Pictures in place of axes. page: (H, W, C) levels 0..255; rows: what its rows of pictures are, from above."""

    title: str
    page: NDArray[np.uint8]
    rows: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Figure:
    """A figure: axes, then plates, in rows of `columns`, and a caption that says what bands are and over what."""

    name: str
    title: str
    axes: tuple[Axes, ...]
    caption: str
    columns: int = 2
    plates: tuple[ImageGrid, ...] = ()

    def tables(self) -> "dict[str, pa.Table]":
        """All numbers: `curves`, a row per point, and `marks`, a row per mark and per spot; y is that of a spot."""
        import pyarrow as pa

        marks = [{"panel": a.title} | vars(m) for a in self.axes for m in (*a.marks, *a.spots)]
        schema = pa.schema([("panel", pa.string()), ("label", pa.string())] + [(name, pa.float64()) for name in ("x", "low", "high", "y")])
        return {"curves": pa.Table.from_pylist(self._points()), "marks": pa.Table.from_pylist(marks, schema=schema)}

    def _points(self) -> list[dict[str, Any]]:
        return [
            {"panel": a.title, "line": line.label, "x_label": a.x_label, "y_label": a.y_label}
            | {"x": x, "y": number(y), "low": number(low), "high": number(high)}
            for a in self.axes
            for line in a.lines
            for x, y, low, high in zip(*(v.tolist() for v in (line.x, line.y, line.low, line.high)), strict=True)
        ]


def number(value: float) -> float | None:
    """Tables and JSON say None for what is missing."""
    return None if isnan(value) else value


COLOURS = {
    "ink": "#222222",
    "grey": "#888888",
    "blue": "#2166ac",
    "red": "#b2182b",
    "green": "#1b7837",
    "orange": "#d95f02",
    "purple": "#7b3294",
    "k0": "#0d0887",
    "k1": "#7e03a8",
    "k2": "#cc4778",
    "k3": "#f89540",
    "k4": "#c7b200",
}
"""Names to colours that can be told apart in print and by most eyes; k0.. are ordered from fine to coarse."""
