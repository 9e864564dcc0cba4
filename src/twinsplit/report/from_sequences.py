"""What the page says of a run on sequences."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from twinsplit.measures.statistics import student_quantile
from twinsplit.report.common import both_losses_panel, loss_panel, moments, nearest_step, split_panel
from twinsplit.report.model import Decision, Histogram, Panel, focus
from twinsplit.report.stored import FEWEST, LEVEL, Label, member_series
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

PER_SEQUENCE, PER_TOKEN = "nats per sequence", "nats per token"
TERMS = (
    (
        "oracle",
        "Oracle term of the loss",
        "What the exact posterior expects the predictions to cost: while it falls, the networks still learn the distribution.",
    ),
    (
        "excess",
        "Excess term of the loss",
        "Below 0 on their own data, the networks know more of these very sequences than the distribution tells. On fresh data it is 0 in "
        "expectation; the held-out ones are a little rarer than fresh, because contents of the splits are left out.",
    ),
)


def subtitle(run: Run) -> str:
    """Who was judged by what."""
    data, count = run.recipe.data, len(run.recipe.members)
    return f"{count} networks on {data.splits} disjoint splits of {data.split_size} sequences, judged on {data.held_out} held-out ones"


def panels(run: Run, settled: float) -> Iterable[Panel]:
    """The curves."""
    yield split_panel(run, settled, PER_SEQUENCE)
    yield loss_panel(run, settled, PER_TOKEN)
    yield _oracle_panel(run, settled)
    yield both_losses_panel(run, settled, PER_TOKEN)
    yield from (_term_panel(run, term, title, note, settled) for term, title, note in TERMS)


def _oracle_panel(run: Run, settled: float) -> Panel:
    table = Table.read(run, "oracle_divergence")
    level = int(run.read_json("data.json", origin=dict)["origin"].get("factorised", 0))
    series = [member_series(table.where(truncation=k), _oracle_label(int(k), level)) for k in np.unique(table.columns["truncation"])]
    note = "Coarse structure (large k) is learned first: its curve turns first."
    title = "Distance to the exact posterior and to its coarser versions"
    return Panel("oracle", title, PER_SEQUENCE, tuple(series), note, palette="ordered", y_range=focus(series, settled / 4))


def _oracle_label(k: int, level: int) -> Label:
    return Label(f"oracle_{k}", f"exact (k = {k})" if k == level else f"BP_k, k = {k}", PER_SEQUENCE, "oracle")


def _term_panel(run: Run, term: str, title: str, note: str, settled: float) -> Panel:
    table = Table.read(run, "loss_decomposition").where(term=term, times="all")
    key = f"{term}_term"
    names = (("test", "held-out data"), ("train", "the networks' own data"))
    series = [member_series(table.where(data=data), Label(f"{key}_{data}", text, PER_TOKEN, key)) for data, text in names]
    return Panel(key, title, PER_TOKEN, tuple(series), note, y_range=focus(series, settled / 4))


def histograms(run: Run, decision: Decision) -> Iterable[Histogram]:
    """Distances to the nearest training sequence."""
    measured = run.measured("nearest_neighbours")
    for moment, step in moments(run, decision).items():
        nearest = nearest_step(measured, step)
        if nearest is not None:
            yield _histogram(run, nearest, moment)


def _histogram(run: Run, step: int, moment: str) -> Histogram:
    table = run.table("nearest_neighbours").to_pylist()
    here = [row for row in table if row["step"] == step]
    length = _length(here)
    generated = np.array([_fractions(row["values"], length) for row in here if row["source"] == "generated"])
    held_out = np.array([_fractions(row["values"], length) for row in here if row["source"] == "held_out"]).mean(0)
    half = _half_width(generated)
    samples = sum(len(row["values"]) for row in here if row["source"] == "generated")
    mean = generated.mean(0)
    spread = f" with its {LEVEL:.0%} interval" if len(generated) >= FEWEST else ", too few for an interval"
    note = f"Bars: mean over {len(generated)} networks{spread}; line: held-out sequences."
    return Histogram(
        step, moment, np.arange(length + 1.0), mean, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1), held_out, samples, note
    )


def _length(rows: list[dict[str, Any]]) -> int:
    return int(max(max(row["values"]) for row in rows))


def _fractions(distances: list[float], length: int) -> Any:
    return np.bincount(np.array(distances, dtype=np.int64), minlength=length + 1) / len(distances)


def _half_width(fractions: Any) -> Any:
    count = len(fractions)
    if count < FEWEST:
        return np.full(fractions.shape[1], np.nan)
    return student_quantile(LEVEL, count - 1) * fractions.std(0, ddof=1) / np.sqrt(count)
