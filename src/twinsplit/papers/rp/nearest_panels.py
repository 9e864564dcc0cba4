"""What the ladder's figures say of single samples: their closest training images, how these are ordered by eye, and what was left out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.measures.bounded import fraction_interval, mean_interval
from twinsplit.measures.statistics import mean_over
from twinsplit.papers.lines import Floats, bare
from twinsplit.papers.rp.nearest import CLOSEST, Eye
from twinsplit.report.figure import Axes, HorizontalLine, Line, as_floats
from twinsplit.report.pictures import Samples
from twinsplit.report.stored import FEWEST, LEVEL
from twinsplit.runs.store import Run
from twinsplit.worlds.images.generation import SIMILARITY

if TYPE_CHECKING:
    import pyarrow as pa

Rungs = Sequence[Run[Any]]
Band = tuple[float, float, float]
NOTHING: Band = (float("nan"), float("nan"), float("nan"))
N = "images in a split, N"


def size(run: Run[Any]) -> int:
    """N."""
    return int(run.recipe.data.split_size)


def last_samples(run: Run[Any]) -> int:
    """The last step at which samples were drawn."""
    return run.measured(SIMILARITY)[-1]


def banded(text: str, x: Floats, found: Sequence[Band], colour: str) -> Line:
    """A line through what was found at each x."""
    value, low, high = (as_floats(column) for column in zip(*found, strict=True))
    return Line(text, x, value, low, high, colour)


def rows_at(run: Run[Any], name: str, step: int, **where: object) -> list[dict[str, Any]]:
    """The rows of a measurement at one step."""
    wanted = {"step": step} | where
    return [row for row in run.table(name).to_pylist() if all(row[key] == value for key, value in wanted.items())]


def _values(rows: list[dict[str, Any]]) -> list[Floats]:
    """Of each network, its samples' values; those that have none left out, and networks without any."""
    found = [np.array(row["values"], dtype=np.float64) for row in rows]
    return [values[np.isfinite(values)] for values in found if np.isfinite(values).any()]


def closest_line(rungs: Rungs, x: Floats) -> Line:
    """Correlation of samples with the training image that correlates best."""
    found = [_mean(rows_at(run, CLOSEST, last_samples(run))) for run in rungs]
    return banded("closest training image", x, found, "green")


def _mean(rows: list[dict[str, Any]]) -> Band:
    """Of a quantity in [-1, 1]: mean over networks, with the interval of its arcsine."""
    means = [float(np.clip(values.mean(), -1, 1)) for values in _values(rows)]
    if not means:
        return NOTHING
    mean = mean_over(means, "members")
    ends = mean_interval(mean, LEVEL) if mean.count >= FEWEST else None
    return (mean.value, *(ends or NOTHING[1:]))


def _fraction(rows: list[dict[str, Any]]) -> Band:
    """Of 0 and 1: mean over samples, with the interval that knows of the networks."""
    found = _values(rows)
    if not found:
        return NOTHING
    changed, samples = [values.sum() for values in found], [len(values) for values in found]
    ends = fraction_interval(changed, samples, LEVEL) if len(found) >= FEWEST else NOTHING[1:]
    return (float(sum(changed) / sum(samples)), *ends)


def _by_chance(rows: list[dict[str, Any]]) -> float:
    """How often another of the `count` images comes first in an order that knows nothing of the other."""
    counts = [row["count"] for row in rows if row["count"]]
    return float(np.mean([1 - 1 / count for count in counts])) if counts else float("nan")


def reranked(rungs: Rungs, eye: Eye) -> list[Axes]:
    """How often the nearest training image changes, and how far both orders agree ([RP])."""
    x = as_floats([size(run) for run in rungs])
    changed, agreement = (
        [rows_at(run, eye.table, last_samples(run), quantity=quantity) for run in rungs] for quantity in ("changed", "agreement")
    )
    chance = as_floats([_by_chance(rows) for rows in changed])
    lines = (
        banded("all samples", x, [_fraction(rows) for rows in changed], "purple"),
        bare("by chance", x, chance, "grey", "dash"),
    )
    orders = banded("mean over networks", x, [_mean(rows) for rows in agreement], "purple")
    return [
        Axes(f"nearest image changes under {eye.name}", N, "fraction of samples", lines),
        Axes("agreement of both orders", N, "rank correlation", (orders,), rules=(HorizontalLine("by chance", 0.0),)),
    ]


@final
@dataclass(frozen=True)
class Counts:
    """Of a rung's samples, over all networks: how many there are, did not end (None: not recorded), have one colour; and training images
    of one colour.
    """

    N: int
    samples: int
    unfinished: int | None
    constant_samples: int
    constant_images: int

    @classmethod
    def of(cls, run: Run[Any], steps: Sequence[int]) -> "Counts":
        """At the given steps together."""
        drawn = [Samples.read(run, step) for step in steps]
        rows = [row for step in steps for row in rows_at(run, CLOSEST, step)]
        blank = sum(int((~np.isfinite(np.array(row["values"], dtype=np.float64))).sum()) for row in rows)
        images = {row["member"]: row["constant_images"] for row in rows}
        total = sum(found.images.shape[0] * found.images.shape[1] for found in drawn)
        return cls(size(run), total, unfinished([found.unfinished for found in drawn]), blank, sum(images.values()))


def unfinished(found: Sequence[int | None]) -> int | None:
    """All together; None where one is not recorded."""
    known = [count for count in found if count is not None]
    return sum(known) if len(known) == len(found) else None


def caption(counts: Sequence[Counts]) -> str:
    """In a caption."""
    given_up = ", ".join(f"{_count(one)} at N = {one.N:,}" for one in counts)
    if all(one.unfinished is None for one in counts):
        given_up = "not recorded"
    blank = [
        f"{one.constant_samples} samples and {one.constant_images} training images at N = {one.N:,}"
        for one in counts
        if one.constant_samples or one.constant_images
    ]
    left_out = f" Of one colour, and without a closest image: {', '.join(blank)}." if blank else ""
    return f"Samples whose ascent did not end, kept as they were: {given_up}.{left_out}"


def _count(one: Counts) -> str:
    return "not recorded" if one.unfinished is None else f"{one.unfinished} of {one.samples}"


def counts_table(counts: Sequence[Counts]) -> "pa.Table":
    """A row per rung."""
    import pyarrow as pa

    kinds = [(name, pa.int64()) for name in ("N", "samples", "unfinished", "constant_samples", "constant_images")]
    return pa.Table.from_pylist([asdict(one) for one in counts], schema=pa.schema(kinds))
