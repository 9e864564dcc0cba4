"""Rows of a measurement in memory: what a measure returns, the table that is stored, and the one reader of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Rows = list[dict[str, Any]]
Floats = NDArray[np.float64]


class Measurements(Protocol):
    """Whatever holds measured tables by name, such as a run folder."""

    def table(self, name: str) -> "pa.Table":
        """All steps of a measurement."""
        ...


def as_table(step: int, rows: Rows) -> "pa.Table":
    """Rows as a table: the step, the naming columns, and `values` as a list of float32 (the replicates)."""
    import pyarrow as pa

    columns: dict[str, object] = {"step": pa.array([step] * len(rows), pa.int64())}
    columns |= {name: pa.array([row[name] for row in rows]) for name in rows[0] if name != "values"}
    columns["values"] = pa.array([row["values"] for row in rows], pa.list_(pa.float32()))
    return pa.table(columns)


def values(table: "pa.Table") -> "np.typing.NDArray[np.float64]":
    """(rows, n) replicates of a table whose lists have one length, as those of measurements on one probe have."""
    column = table.column("values").combine_chunks()
    assert len(set(np.diff(column.offsets.to_numpy()))) <= 1, "rows of different lengths: read them one by one"
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(column), -1)


@final
@dataclass(frozen=True, eq=False)
class Table:
    """A measurement read once. columns: its naming columns; means (rows,): each row's mean over sequences."""

    columns: dict[str, NDArray[Any]]
    means: Floats

    @classmethod
    def read(cls, run: Measurements, name: str) -> "Table":
        """All steps of a measurement."""
        table = run.table(name)
        columns = {key: np.array(table.column(key).to_pylist()) for key in table.column_names if key != "values"}
        lists = table.column("values").combine_chunks()
        edges = np.asarray(lists.offsets.to_numpy())
        flat = np.asarray(lists.values.to_numpy(), dtype=np.float64)
        return cls(columns, np.add.reduceat(flat, edges[:-1]) / np.diff(edges))

    def where(self, **wanted: object) -> "Table":
        """The rows whose columns have these values."""
        keep = np.logical_and.reduce([self.columns[key] == value for key, value in wanted.items()])
        return self.rows(keep)

    def rows(self, keep: NDArray[np.bool_]) -> "Table":
        """The rows that `keep` marks."""
        return Table({key: column[keep] for key, column in self.columns.items()}, self.means[keep])

    @property
    def steps(self) -> NDArray[np.int64]:
        """Distinct steps, ascending."""
        return np.unique(self.columns["step"])


def unordered(table: Table) -> tuple[NDArray[np.int64], Floats]:
    """Pairs (P, 2) with a < b and the mean of both directions (P,)."""
    a, b = table.columns["member_a"], table.columns["member_b"]
    both = dict(zip(zip(a.tolist(), b.tolist(), strict=True), table.means, strict=True))
    pairs = sorted(pair for pair in both if pair[0] < pair[1])
    return np.array(pairs), np.array([(both[i, j] + both[j, i]) / 2 for i, j in pairs])
