"""Panels and moments that the report of every world has."""

from typing import Any

import numpy as np

from twinsplit.report.model import Decision, Level, Panel, focus
from twinsplit.report.stored import Label, member_series, pair_series
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run


def split_panel(run: Run[Any], settled: float, unit: str) -> Panel:
    """The disagreement of the twins; `settled` is the step from which on curves are shown whole."""
    table, splits = Table.read(run, "sample_split_divergence"), [split for split, _ in run.recipe.members]
    apart = table.columns["split_a"] != table.columns["split_b"]
    series = [pair_series(table.rows(apart), Label("split_divergence", "twins on different splits", unit, "split"), splits)]
    if not apart.all():
        series.append(pair_series(table.rows(~apart), Label("seed_divergence", "same split, different seed", unit, "split"), splits))
    note = "Where this curve is lowest the twins agree most; when it rises, each leans on its own split."
    return Panel("split", "Disagreement of the twins", unit, tuple(series), note, "main", y_range=focus(series, settled / 4))


def loss_panel(run: Run[Any], settled: float, unit: str) -> Panel:
    """The test loss, with the lowest possible one where it is known."""
    test = member_series(Table.read(run, "test_loss"), Label("test_loss", "test loss", unit, "loss"))
    lowest = run.read_json("measurements/bayes.json")
    levels = tuple(Level("lowest possible test loss (exact posterior)", float(lowest[name])) for name in ("test_loss",) if name in lowest)
    note = "The usual advice stops at the minimum of this curve."
    return Panel("loss", "Test loss", unit, (test,), note, "main", levels=levels, y_range=focus([test], settled / 2))


def both_losses_panel(run: Run[Any], settled: float, unit: str) -> Panel:
    """Test and training loss."""
    series = [
        member_series(Table.read(run, name), Label(name, text, unit, "losses"))
        for name, text in (("test_loss", "test loss"), ("train_loss", "training loss"))
    ]
    note = "The band of the training loss is wide because every network has a split of its own."
    return Panel("losses", "Test and training loss", unit, tuple(series), note, y_range=focus(series, settled / 4))


def moments(run: Run[Any], decision: Decision) -> dict[str, float]:
    """The moments that a report looks at closely: "at the onset", "at the test-loss minimum", or "at the end" -> step."""
    found = {"at the onset": decision.onset_step, "at the test-loss minimum": decision.test_loss_minimum_step}
    reached = {moment: step for moment, step in found.items() if step is not None}
    return reached if len(reached) == len(found) else reached | {"at the end": float(run.steps()[-1])}


def nearest_step(steps: tuple[int, ...], wanted: float) -> int | None:
    """The measured step nearest in log step, None without any."""
    return min(steps, key=lambda s: abs(np.log(s / wanted))) if steps else None
