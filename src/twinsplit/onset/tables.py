"""Curves of one's own, read from a long table: one row per step, network or pair, and example."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinsplit.errors import InputError
from twinsplit.measures.statistics import Array, Index

KINDS = ("divergence", "test_loss")
REMEDY = "give columns step, kind (divergence or test_loss), network, pair (such as 0-1) or network_a and network_b, value"
Columns = dict[str, list[Any]]


@dataclass(frozen=True, eq=False)
class Measured:
    """The arrays of a long table: as the fields of `Curves`."""

    steps: Array
    divergence: Array
    pairs: Index
    test_loss: Array
    splits: Index | None


def read_table(table: Any) -> Measured:
    """Read a pandas DataFrame or a pyarrow Table (docs/onset.md lists the columns). Raises InputError for missing columns, gaps and NaN."""
    columns = _columns(table)
    missing = [name for name in ("step", "kind", "value") if name not in columns]
    if missing:
        raise InputError(f"the table has no column {missing[0]}", REMEDY)
    odd = [kind for kind in columns["kind"] if kind not in KINDS]
    if odd:
        raise InputError(f"kind {odd[0]!r} is none of {', '.join(KINDS)}", REMEDY)
    loss, divergence = (_rows(columns, kind) for kind in reversed(KINDS))
    names = _in_order(_labels(loss, "network", "test_loss"))
    steps, examples, losses = _dense(loss, _labels(loss, "network", "test_loss"), names, "test_loss")
    number = {name: k for k, name in enumerate(names)}
    ends = [_numbered(pair, number) for pair in _pair_labels(divergence)]
    pairs = sorted(set(ends))
    seen, same, values = _dense(divergence, ends, pairs, "divergence")
    if seen != steps or same != examples:
        raise InputError("divergence and test_loss are of different steps or examples", "measure both on the same ones")
    return Measured(np.array(steps), values, np.array(pairs, dtype=np.intp), losses, _splits(loss, names))


def _columns(table: Any) -> Columns:
    if hasattr(table, "to_pydict"):
        found: Columns = table.to_pydict()
        return found
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return {str(name): table[name].tolist() for name in table.columns}
    raise InputError(f"a {type(table).__name__} is no table", "give a pandas DataFrame or a pyarrow Table")


def _rows(columns: Columns, kind: str) -> Columns:
    kept = [i for i, found in enumerate(columns["kind"]) if found == kind]
    if not kept:
        raise InputError(f"the table has no rows of kind {kind}", REMEDY)
    return {name: [values[i] for i in kept] for name, values in columns.items()}


def _labels(rows: Columns, name: str, kind: str) -> list[str]:
    """The labels of a column as text, whole numbers without a fraction (a column with gaps is one of floats in pandas)."""
    if name not in rows:
        raise InputError(f"the table has no column {name}, which rows of kind {kind} need", REMEDY)
    if any(_empty(value) for value in rows[name]):
        raise InputError(f"column {name} is empty in a row of kind {kind}", REMEDY)
    return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip() for v in rows[name]]


def _empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _pair_labels(rows: Columns) -> list[tuple[str, str]]:
    if "pair" not in rows:
        return list(zip(_labels(rows, "network_a", "divergence"), _labels(rows, "network_b", "divergence"), strict=True))
    halves = [label.split("-") for label in _labels(rows, "pair", "divergence")]
    bad = ["-".join(half) for half in halves if len(half) != 2]
    if bad:
        raise InputError(f"pair {bad[0]!r} does not name two networks", "write 0-1, or give columns network_a and network_b")
    return [(a.strip(), b.strip()) for a, b in halves]


def _numbered(pair: tuple[str, str], number: dict[str, int]) -> tuple[int, int]:
    unknown = [name for name in pair if name not in number]
    if unknown:
        raise InputError(f"network {unknown[0]} of a pair has no test_loss", "give the test loss of every network")
    first, second = sorted(number[name] for name in pair)
    return first, second


def _in_order(labels: list[str]) -> list[str]:
    """Distinct labels, numbers by their value and before words."""
    return sorted(set(labels), key=lambda label: (0, int(label), "") if label.isdecimal() else (1, 0, label))


def _dense(rows: Columns, labels: list[Any], order: list[Any], kind: str) -> tuple[list[float], list[Any], Array]:
    """Steps, examples, and values (S, len(order), N); every place must be filled once."""
    at = _numbers(rows["step"], "step", kind)
    example = rows.get("example", [0] * len(at))
    if any(_empty(value) for value in example):
        example = _no_examples(example, kind)
    steps, examples = sorted(set(at)), sorted(set(example), key=str)
    values = np.full((len(steps), len(order), len(examples)), np.nan)
    where = tuple(
        np.array([{name: i for i, name in enumerate(names)}[v] for v in found])
        for names, found in ((steps, at), (order, labels), (examples, example))
    )
    if len(set(zip(*where, strict=True))) < len(at):
        raise InputError(f"{kind} is given twice for one step, network or pair, and example", "keep one row of each")
    values[where] = _numbers(rows["value"], "value", kind)
    if np.isnan(values).any():
        s, k, n = np.argwhere(np.isnan(values))[0]
        said = f", example {examples[n]}" if len(examples) > 1 else ""
        raise InputError(f"{kind} has no value at step {steps[s]:g} of {_name(order[k])}{said}", "measure it, or drop that step")
    return steps, examples, values


def _name(label: Any) -> str:
    return "pair {}-{}".format(*label) if isinstance(label, tuple) else f"network {label}"


def _no_examples(example: list[Any], kind: str) -> list[Any]:
    if not all(_empty(value) for value in example):
        raise InputError(f"column example is empty in some rows of kind {kind}", "name the example in every row, or in none")
    return [0] * len(example)


def _numbers(values: list[Any], name: str, kind: str) -> list[float]:
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        raise InputError(f"column {name} of kind {kind} is not all numbers", "give a number in every row") from None
    if not np.isfinite(found).all():
        raise InputError(f"column {name} of kind {kind} is not finite in some row", "measure it again, or drop that step")
    return found


def _splits(loss: Columns, names: list[str]) -> Index | None:
    """The split of every network, None without that column; one network has one split."""
    if "split" not in loss or all(_empty(value) for value in loss["split"]):
        return None
    found: dict[str, str] = {}
    for network, split in zip(_labels(loss, "network", "test_loss"), _labels(loss, "split", "test_loss"), strict=True):
        if found.setdefault(network, split) != split:
            raise InputError(f"network {network} has two splits", "give every network the split that it was trained on")
    order = _in_order(list(found.values()))
    return np.array([order.index(found[name]) for name in names], dtype=np.intp)
