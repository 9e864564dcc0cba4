"""What the page says of a run on sequences."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from twinsplit.measures.statistics import student_quantile
from twinsplit.onset.decision import Onset
from twinsplit.report import words
from twinsplit.report.colours import ORDERED
from twinsplit.report.definitions import OF_SEQUENCES
from twinsplit.report.figure import Axes, Bars, Line
from twinsplit.report.panels import PageParts, along, both_losses_panel, default_subtitle, moments, nearest_step
from twinsplit.report.stored import FEWEST, LEVEL, member_line
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

PER_SEQUENCE, PER_TOKEN = "nats per sequence", "nats per token"
DISTANCE, SOURCES = "distance to the nearest training sequence", ("generated", "held_out")
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


def _details(run: Run[Any], settled: float) -> Iterable[Axes]:
    yield _oracle_panel(run, settled)
    yield both_losses_panel(run, settled, PER_TOKEN)
    yield from (_term_panel(run, term, title, note, settled) for term, title, note in TERMS)


def _oracle_panel(run: Run[Any], settled: float) -> Axes:
    table = Table.read(run, "oracle_divergence")
    level = int(run.read_json("data.json", origin=dict)["origin"].get("factorised", 0))
    lines = []
    for rank, k in enumerate(np.unique(table.columns["truncation"]).tolist()):
        label = f"exact (k = {k})" if k == level else f"BP_k, k = {k}"
        lines.append(member_line(table.where(truncation=k), label, f"oracle_{k}", ORDERED[rank % len(ORDERED)]))
    note = "Coarse structure (large k) is learned first: its curve turns first."
    return along("oracle", "Distance to the exact posterior and to its coarser versions", PER_SEQUENCE, lines, note, settled / 4)


def _term_panel(run: Run[Any], term: str, title: str, note: str, settled: float) -> Axes:
    table, key = Table.read(run, "loss_decomposition").where(term=term, times="all"), f"{term}_term"
    named = (("test", "held-out data", "red"), ("train", "the networks' own data", "green"))
    lines = [member_line(table.where(data=data), text, f"{key}_{data}", colour) for data, text, colour in named]
    return along(key, title, PER_TOKEN, lines, note, settled / 4)


def _distances(run: Run[Any], onset: Onset) -> Iterable[Axes]:
    """Histograms of the distance to the nearest training sequence, all with the same top, so that they compare by eye."""
    measured = run.measured("nearest_neighbours")
    nearest = {moment: nearest_step(measured, step) for moment, step in moments(run, onset).items()}
    found = [_histogram(run, step, moment) for moment, step in nearest.items() if step is not None]
    top = max((float(np.nanmax([*curve.y, *curve.high])) for axes in found for curve in axes.curves), default=1.0)
    return [replace(axes, y_range=(0.0, 1.08 * top)) for axes in found]


def _histogram(run: Run[Any], step: int, moment: str) -> Axes:
    here = [row for row in run.table("nearest_neighbours").to_pylist() if row["step"] == step]
    length = int(max(max(row["values"]) for row in here))
    generated, held_out = (np.array([_fractions(row["values"], length) for row in here if row["source"] == s]) for s in SOURCES)
    half, mean, x = _half_width(generated), generated.mean(0), np.arange(length + 1.0)
    spread = f" with its {LEVEL:.0%} interval" if len(generated) >= FEWEST else ", too few for an interval"
    samples = sum(len(row["values"]) for row in here if row["source"] == SOURCES[0])
    note = f"Bars: mean over {len(generated)} networks{spread}; line: held-out sequences. {samples:,} generated sequences."
    band = f"{LEVEL:.0%} interval over networks" if len(generated) >= FEWEST else ""
    bars = Bars("generated", x, mean, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1), name=SOURCES[0], band=band)
    unknown = np.full(length + 1, np.nan)
    line = Line("held-out data", x, held_out.mean(0), unknown, unknown, "ink", "dot", SOURCES[1])
    title, key = f"{moment[:1].upper()}{moment[1:]}: step {words.step(step)}", f"distances_step_{step}"
    return Axes(title, DISTANCE, "share of sequences", (line,), x_scale="linear", bars=(bars,), key=key, note=note, y_percent=True)


def _fractions(distances: list[float], length: int) -> Any:
    return np.bincount(np.array(distances, dtype=np.int64), minlength=length + 1) / len(distances)


def _half_width(fractions: Any) -> Any:
    count = len(fractions)
    if count < FEWEST:
        return np.full(fractions.shape[1], np.nan)
    return student_quantile(LEVEL, count - 1) * fractions.std(0, ddof=1) / np.sqrt(count)


PAGE = PageParts(
    partial(default_subtitle, samples="sequences"), PER_SEQUENCE, PER_TOKEN, _details, distances=_distances, definitions=OF_SEQUENCES
)
