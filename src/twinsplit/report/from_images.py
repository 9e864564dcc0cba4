"""What the page says of a run on images."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from twinsplit.report.common import both_losses_panel, loss_panel, moments, nearest_step, split_panel
from twinsplit.report.model import Decision, Gallery, Panel, focus
from twinsplit.report.pictures import Samples, pairs_sheet
from twinsplit.report.sample_notes import notes
from twinsplit.report.stored import Label, member_series, pair_series
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

PER_IMAGE, PER_PIXEL = "nats per image", "squared error per pixel"
COSINE = "cosine similarity"
SHOWN = 8


def subtitle(run: Run[Any]) -> str:
    """Who was judged by what."""
    data, count = run.recipe.data, len(run.recipe.members)
    return f"{count} networks on {data.splits} disjoint splits of {data.split_size} images, judged on {data.held_out} held-out ones"


def panels(run: Run[Any], settled: float) -> Iterable[Panel]:
    """The curves."""
    yield split_panel(run, settled, PER_IMAGE)
    yield loss_panel(run, settled, PER_PIXEL)
    yield _similarity_panel(run, settled)
    yield both_losses_panel(run, settled, PER_PIXEL)
    yield from _losses_at(run, settled)
    if run.measured("sample_similarity"):
        yield _samples_panel(run)


def _splits(run: Run[Any]) -> list[int]:
    return [split for split, _ in run.recipe.members]


def _apart(table: Table) -> Table:
    return table.rows(table.columns["split_a"] != table.columns["split_b"])


def _similarity_panel(run: Run[Any], settled: float) -> Panel:
    table = _apart(Table.read(run, "noise_similarity"))
    times = np.unique(table.columns["t"])
    series = [pair_series(table.where(t=t), Label(f"similarity_{t}", f"t = {t}", COSINE, "similarity"), _splits(run)) for t in times]
    note = "Noise predictions of twins on the same noised held-out images. Where a curve is highest, the twins agree most at that time."
    title = "Similarity of the twins' noise predictions"
    return Panel("similarity", title, COSINE, tuple(series), note, palette="ordered", y_range=focus(series, settled / 4))


def _losses_at(run: Run[Any], settled: float) -> Iterable[Panel]:
    table = Table.read(run, "fixed_time_loss")
    for t in np.unique(table.columns["t"]):
        key = f"loss_{t}"
        series = member_series(table.where(t=t), Label(key, f"test loss at t = {t}", PER_PIXEL, key))
        note = "The loss at one time alone: its minimum is that of the networks that denoise from there."
        yield Panel(key, f"Test loss at t = {t}", PER_PIXEL, (series,), note, y_range=focus([series], settled / 2))


def _samples_panel(run: Run[Any]) -> Panel:
    table = _apart(Table.read(run, "sample_similarity"))
    series = pair_series(table, Label("sample_similarity", "samples of twins from the same noise", COSINE, "samples"), _splits(run))
    return Panel("samples", "Similarity of what the twins draw", COSINE, (series,), notes(run))


def galleries(run: Run[Any], decision: Decision) -> Iterable[Gallery]:
    """Samples of the first two networks on different splits, each beside its nearest training image."""
    steps = run.measured("sample_similarity")
    for moment, wanted in moments(run, decision).items():
        step = nearest_step(steps, wanted)
        if step is not None:
            samples = Samples.read(run, step)
            first, second = 0, _splits(run).index(next(split for split in _splits(run) if split != _splits(run)[0]))
            png, width = pairs_sheet(samples, first, second, typical(run, step, first, second, SHOWN))
            title = f"{moment[:1].upper() + moment[1:]}: step {step:,}"
            yield Gallery(title, _gallery_note(run, first, second), png, width)


def _gallery_note(run: Run[Any], first: int, second: int) -> str:
    a, b = (_splits(run)[k] for k in (first, second))
    return (
        f"Rows from above: the nearest training image of split {a}; the sample of its network; the sample of the network of split {b} "
        f"from the same noise; the nearest training image of split {b}. The {SHOWN} pairs nearest to the mean similarity, not picked by "
        "eye."
    )


def typical(run: Run[Any], step: int, first: int, second: int, count: int) -> list[int]:
    """The samples whose similarity between two networks is nearest to the mean over samples."""
    rows = run.table("sample_similarity").to_pylist()
    values = np.array(next(r["values"] for r in rows if (r["step"], r["member_a"], r["member_b"]) == (step, first, second)))
    return sorted(np.argsort(np.abs(values - values.mean()), kind="stable")[:count].tolist())
