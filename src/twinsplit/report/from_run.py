"""A run folder as a `Report`: everything the page shows, read from stored results only."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from twinsplit.measures.statistics import student_quantile
from twinsplit.report.definitions import DEFINITIONS
from twinsplit.report.model import Decision, Histogram, Level, Panel, Report, Series, focus
from twinsplit.report.stored import FEWEST, LEVEL, Label, Table, member_series, pair_series
from twinsplit.store import Run

PER_SEQUENCE, PER_TOKEN = "nats per sequence", "nats per token"
CAVEATS = (
    "The decision holds for this data, network and training; another setting needs its own twins.",
    "Stopping early lowers how much the samples lean on single training examples. It is no privacy guarantee.",
)
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


def report_of(run: Run) -> Report:
    """Everything the page shows. InputError where a stage is missing."""
    decision = decision_of(run)
    return Report(
        title="When did the twins start to lean on their own samples?",
        subtitle=_subtitle(run),
        decision=decision,
        panels=tuple(_panels(run, decision)),
        histograms=tuple(_histograms(run, decision)),
        definitions=DEFINITIONS,
        configuration=run.recipe.to_json(),
        environment=run.read_json("environment.json"),
        data={k: v for k, v in run.read_json("data.json").items() if k != "rows"},
        command=str(run.read_json("status.json")["command"]),
        caveats=CAVEATS,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _subtitle(run: Run) -> str:
    data, count = run.recipe.data, len(run.recipe.members)
    return f"{count} networks on {data.splits} disjoint splits of {data.split_size} sequences, judged on {data.held_out} held-out ones"


def decision_of(run: Run) -> Decision:
    """The stored decision, with the checkpoint to use: the last one at or before the onset."""
    found = run.read_json("measurements/onset.json")
    return Decision(
        verdict=found["verdict"],
        onset_step=found["onset_step"],
        onset_interval=tuple(found["onset_interval"]),
        test_loss_minimum_step=found["test_loss_minimum_step"],
        test_loss_minimum_interval=tuple(found["test_loss_minimum_interval"]),
        reason=found["reason"],
        level=found["level"],
        rise=100 * found["rise"],
        rise_interval=tuple(100 * bound for bound in found["rise_interval"]),
        rise_unit="% of its value at the onset",
        checkpoint=_checkpoint_before(run, found["onset_step"]),
    )


def _checkpoint_before(run: Run, step: float | None) -> str | None:
    earlier = [s for s in run.steps() if step is not None and s <= step]
    return str(run.checkpoint(earlier[-1]).relative_to(run.path)) if earlier else None


def _panels(run: Run, decision: Decision) -> Iterable[Panel]:
    settled = decision.onset_step or float(run.steps()[-1]) / 10
    yield _split_panel(run, settled)
    yield _loss_panel(run, settled)
    yield _oracle_panel(run, settled)
    yield _both_losses_panel(run, settled)
    yield from (_term_panel(run, term, title, note, settled) for term, title, note in TERMS)


def _split_panel(run: Run, settled: float) -> Panel:
    table, splits = Table.read(run, "sample_split_divergence"), [split for split, _ in run.recipe.members]
    apart = table.columns["split_a"] != table.columns["split_b"]
    series = [pair_series(table.rows(apart), Label("split_divergence", "twins on different splits", PER_SEQUENCE, "split"), splits)]
    if not apart.all():
        series.append(
            pair_series(table.rows(~apart), Label("seed_divergence", "same split, different seed", PER_SEQUENCE, "split"), splits)
        )
    note = "Where this curve is lowest the twins agree most; when it rises, each leans on its own split."
    return Panel("split", "Disagreement of the twins", PER_SEQUENCE, tuple(series), note, "main", y_range=focus(series, settled / 4))


def _loss_panel(run: Run, settled: float) -> Panel:
    test = member_series(Table.read(run, "test_loss"), Label("test_loss", "test loss", PER_TOKEN, "loss"))
    bayes = Level("lowest possible test loss (exact posterior)", float(run.read_json("measurements/bayes.json")["test_loss"]))
    note = "The usual advice stops at the minimum of this curve."
    return Panel("loss", "Test loss", PER_TOKEN, (test,), note, "main", levels=(bayes,), y_range=focus([test], settled / 2))


def _both_losses_panel(run: Run, settled: float) -> Panel:
    series = [
        member_series(Table.read(run, name), Label(name, text, PER_TOKEN, "losses"))
        for name, text in (("test_loss", "test loss"), ("train_loss", "training loss"))
    ]
    note = "The band of the training loss is wide because every network has a split of its own."
    return Panel("losses", "Test and training loss", PER_TOKEN, tuple(series), note, y_range=focus(series, settled / 4))


def _oracle_panel(run: Run, settled: float) -> Panel:
    table = Table.read(run, "oracle_divergence")
    level = int(run.read_json("data.json").get("origin", {}).get("factorised", 0))
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


def _histograms(run: Run, decision: Decision) -> Iterable[Histogram]:
    measured, last = run.measured("nearest_neighbours"), float(run.steps()[-1])
    found = {"at the onset": decision.onset_step, "at the test-loss minimum": decision.test_loss_minimum_step}
    moments = {moment: step for moment, step in found.items() if step is not None}
    if len(moments) < len(found):
        moments["at the end"] = last
    for moment, step in moments.items():
        nearest = nearest_step(measured, step)
        if nearest is not None:
            yield _histogram(run, nearest, moment)


def nearest_step(steps: tuple[int, ...], wanted: float) -> int | None:
    """The measured step nearest in log step, None without any."""
    return min(steps, key=lambda s: abs(np.log(s / wanted))) if steps else None


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


def main_series(report: Report) -> tuple[Series, ...]:
    """The curves of the chart at the top."""
    return tuple(series for panel in report.main for series in panel.series)
