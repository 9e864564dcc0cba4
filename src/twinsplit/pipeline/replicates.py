"""Stored measurements of a run as curves whose independent replicates are its splits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.neighbours import nearest_neighbour_divergence
from twinsplit.onset.decision import usable_from
from twinsplit.onset.minima import LeftOut, settled
from twinsplit.runs.rows import Table, unordered
from twinsplit.runs.store import Run
from twinsplit.worlds.sequences.generation import NAME as NEIGHBOURS

Floats = NDArray[np.float64]


def member_means(table: Table) -> tuple[Floats, Floats]:
    """Steps (S,) and means (S, K) over sequences, members in storage order, of a table with one row per step and member."""
    steps = table.steps
    means = np.array([table.where(step=step).means[np.argsort(table.where(step=step).columns["member"])] for step in steps])
    return steps.astype(np.float64), means


def pair_means(table: Table) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Steps (S,), symmetrised means (S, P) and pairs (P, 2) of members on different splits."""
    return means_of_pairs(table.rows(table.columns["split_a"] != table.columns["split_b"]))


def means_of_pairs(table: Table) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """As `pair_means`, of all pairs of a table."""
    found = [unordered(table.where(step=step)) for step in table.steps]
    return table.steps.astype(np.float64), np.array([values for _, values in found]), found[0][0]


def splits_of(run: Run[Any]) -> NDArray[np.int64]:
    """(K,) the split of every member."""
    return np.array([split for split, _ in run.recipe.members])


def level_of(run: Run[Any]) -> int:
    """The k whose BP_k is the exact posterior of the run's data: 0, or the level of factorised data."""
    return int(run.read_json("data.json", origin=dict)["origin"].get("factorised", 0))


def member_curve(run: Run[Any], name: str, measure: str, scale: Any = np.asarray, **where: object) -> LeftOut:
    """A measurement of members as a curve; `scale` turns means into what is smoothed (the logarithm of a divergence)."""
    table = Table.read(run, measure)
    steps, means = member_means(table.where(**where) if where else table)
    return LeftOut.of_members(name, steps, means, splits_of(run), scale)


def oracle_curve(run: Run[Any], k: int) -> LeftOut:
    """ln KL(BP_k || network) on held-out sequences."""
    return member_curve(run, f"BP_{k}", "oracle_divergence", np.log, truncation=k)


def split_curve(run: Run[Any]) -> LeftOut:
    """ln of the sample-split divergence."""
    table = Table.read(run, "sample_split_divergence")
    return pair_curve(run, "sample-split divergence", table.rows(table.columns["split_a"] != table.columns["split_b"]))


def pair_curve(run: Run[Any], name: str, table: Table) -> LeftOut:
    """ln of a divergence of pairs, its early transient left out as `find_onset` does."""
    steps, values, pairs = means_of_pairs(table)
    _, losses = member_means(Table.read(run, "test_loss"))
    first, _ = usable_from(values.mean(1), losses.mean(1))
    return LeftOut.of_pairs(name, steps, values, pairs, splits_of(run), first)


def neighbour_divergences(run: Run[Any]) -> tuple[Floats, Floats]:
    """Steps (S,) and nearest-neighbour divergences (S, K) of the members, in nats."""
    by_step: dict[int, list[dict[str, Any]]] = {}
    table = run.table(NEIGHBOURS)
    names, distances = table.drop_columns(["values"]).to_pylist(), table.column("values")
    for row, values in zip(names, distances, strict=True):
        by_step.setdefault(row["step"], []).append(row | {"values": values.values.to_numpy().astype(np.int64)})
    return np.array(list(by_step), dtype=np.float64), np.array([_divergences(rows, run) for rows in by_step.values()])


def _divergences(rows: list[dict[str, Any]], run: Run) -> list[float]:
    length = int(run.read_json("data.json", shape=list)["shape"][1])
    held_out = {row["split"]: row["values"] for row in rows if row["source"] == "held_out"}
    made = sorted((row for row in rows if row["source"] == "generated"), key=lambda row: row["member"])
    return [nearest_neighbour_divergence(row["values"], held_out[row["split"]], length) for row in made]


def neighbour_curve(run: Run[Any]) -> LeftOut:
    """The square root of the nearest-neighbour divergence, whose noise is even along the curve."""
    steps, values = neighbour_divergences(run)
    return LeftOut.of_members("nearest-neighbour divergence", steps, values, splits_of(run), lambda v: np.sqrt(np.maximum(v, 0.0)))


def loss_curve(run: Run[Any]) -> LeftOut:
    """The test loss over all times, from the checkpoint from which `find_onset` uses it."""
    return settled(member_curve(run, "test loss", "test_loss"))
