"""Figures as plain data: axes with lines, bars and marks, and grids of pictures.

The page, the printed figures and the interactive ones are all made of these. Two renderers draw them and know
nothing else: `render_matplotlib` for print, `render_plotly` for the browser.

    figure = Figure("fig4a", "…", (Axes("…", "epoch", "nats", (Line("twins", x, y, low, high),)),), "how to read it")
    printed(figure)            # a matplotlib Figure
    interactive(figure, {})    # one HTML file, self-contained
    figure.tables()            # the same numbers as tables
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = NDArray[np.float64]
Scale = Literal["linear", "log"]
Dash = Literal["solid", "dash", "dot"]


def as_floats(values: Any) -> FloatArray:
    """A one-dimensional float64 copy; None becomes NaN."""
    return np.array(values, dtype=np.float64).reshape(-1)


def _check_lengths(curve: "Line | Bars") -> None:
    """Turn x, y, low and high into float64 arrays of one length."""
    arrays = {name: as_floats(getattr(curve, name)) for name in ("x", "y", "low", "high")}
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{curve.label!r} needs x, y, low and high of one length, not {lengths}")
    for name, values in arrays.items():
        object.__setattr__(curve, name, values)


@final
@dataclass(frozen=True, eq=False)
class Line:
    """One curve with its band. x, y, low, high: (n,); low and high are NaN where there is no band.

    colour: a name in `colours`.  name: a stable id for tables, the label where it is empty.  band: what low and high
    are, e.g. "95% interval over splits".
    """

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    colour: str = "blue"
    dash: Dash = "solid"
    name: str = ""
    band: str = ""

    def __post_init__(self) -> None:
        _check_lengths(self)


@final
@dataclass(frozen=True, eq=False)
class Bars:
    """One set of bars of heights y (n,) at x (n,), with intervals from low to high; fields as in `Line`."""

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    colour: str = "green"
    name: str = ""
    band: str = ""

    def __post_init__(self) -> None:
        _check_lengths(self)


@final
@dataclass(frozen=True)
class VerticalLine:
    """A place on the x axis, such as a minimum, and its interval; None on a side that is open, and as `x` where it was not reached.

    With an interval alone it is an area. label: in the legend, where it is not empty; tag: what is written over the axes at x.
    """

    label: str
    x: float | None
    low: float | None
    high: float | None
    colour: str = "ink"
    tag: str = ""


@final
@dataclass(frozen=True)
class Point:
    """A place on a curve, such as its minimum, at height y; x, low and high as in `VerticalLine`."""

    label: str
    x: float | None
    low: float | None
    high: float | None
    y: float
    colour: str = "ink"


SPOTS = "minimum of a curve, with its 95% interval"  # what the legend says, once for all of an axes' spots


def ends_of(place: VerticalLine | Point, x_range: tuple[float, float]) -> tuple[float, float] | None:
    """The interval of a place within the axes, an open side to their edge; None where nothing is known of it."""
    if place.low is None and place.high is None:
        return None
    left, right = x_range
    low, high = (
        min(max(end, left), right) for end in (left if place.low is None else place.low, right if place.high is None else place.high)
    )
    return low, high


@final
@dataclass(frozen=True)
class HorizontalLine:
    """A horizontal line for comparison."""

    label: str
    y: float


@final
@dataclass(frozen=True, eq=False)
class Axes:
    """One pair of axes. y_range: what to show at first, None for everything.  spots: places on the curves.

    key: a stable id for tables, the title where it is empty.  note: how to read it.  y_percent: y is a share, and
    is written in per cent.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...] = ()
    marks: tuple[VerticalLine, ...] = ()
    rules: tuple[HorizontalLine, ...] = ()
    x_scale: Scale = "log"
    y_scale: Scale = "linear"
    y_range: tuple[float, float] | None = None
    spots: tuple[Point, ...] = ()
    bars: tuple[Bars, ...] = ()
    key: str = ""
    note: str = ""
    y_percent: bool = False

    @property
    def curves(self) -> tuple[Bars | Line, ...]:
        """Bars, then lines."""
        return (*self.bars, *self.lines)

    @property
    def entries(self) -> int:
        """Lines of the legend."""
        return len(self.curves) + sum(mark.label != "" for mark in self.marks) + len(self.rules) + bool(self.spots)


def reach(axes: Iterable[Axes]) -> tuple[float, float]:
    """The x range of the curves, positive x alone on a logarithmic axis; (1, 10) where there are none."""
    found = [curve.x[curve.x > 0] if one.x_scale == "log" else curve.x for one in axes for curve in one.curves]
    x = np.concatenate(found) if found else np.empty(0)
    return (float(x.min()), float(x.max())) if len(x) else (1.0, 10.0)


def floor(axes: Axes) -> float:
    """Where bands end on a logarithmic axis: an interval may reach below 0, a shape there may not."""
    heights = np.concatenate([curve.y for curve in axes.curves]) if axes.curves else np.empty(0)
    return float(min(heights[heights > 0], default=1.0)) / 2 if axes.y_scale == "log" else -np.inf


def focus(lines: Iterable[Line], from_x: float, margin: float = 0.08) -> tuple[float, float] | None:
    """The y range that shows these lines, bands included, from an x on.

    A loss falls by far more before anything is learned than it later rises; on the full range its minimum cannot be seen.
    None where nothing finite is left.
    """
    kept = [values[one.x >= from_x] for one in lines for values in (one.y, one.low, one.high)]
    values = np.concatenate(kept) if kept else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    pad = margin * (high - low or abs(high) or 1.0)
    return low - pad, high + pad


@final
@dataclass(frozen=True, eq=False)
class ImageGrid:
    """Pictures in place of axes. page: (H, W, C) levels 0..255; rows: what its rows of pictures are, from above; note: how to read it."""

    title: str
    page: NDArray[np.uint8]
    rows: tuple[str, ...]
    note: str = ""

    @property
    def described(self) -> str:
        """The rows in words, for those who cannot see them, too."""
        return f"Rows from above: {'; '.join(' '.join(row.split()) for row in self.rows)}."


@final
@dataclass(frozen=True, eq=False)
class Figure:
    """A figure: axes, then grids of pictures, in rows of `columns`, and a caption that says what bands are and over what."""

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
            {"panel": a.title, "line": curve.label, "x_label": a.x_label, "y_label": a.y_label}
            | {"x": x, "y": number(y), "low": number(low), "high": number(high)}
            for a in self.axes
            for curve in a.curves
            for x, y, low, high in zip(*(v.tolist() for v in (curve.x, curve.y, curve.low, curve.high)), strict=True)
        ]


def number(value: float) -> float | None:
    """Tables and JSON say None for what is missing."""
    return None if isnan(value) else value
