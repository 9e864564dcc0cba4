"""What the page says of a run on images."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from twinsplit.onset.decision import Onset
from twinsplit.report.colours import ORDERED
from twinsplit.report.definitions import OF_IMAGES
from twinsplit.report.figure import Axes, ImageGrid
from twinsplit.report.panels import STEP, PageParts, along, both_losses_panel, default_subtitle, moments, nearest_step
from twinsplit.report.pictures import Samples, pairs_sheet
from twinsplit.report.sample_notes import notes
from twinsplit.report.stored import member_line, pair_line
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

PER_IMAGE, PER_PIXEL = "nats per image", "squared error per pixel"
COSINE = "cosine similarity"
SHOWN = 8


def _details(run: Run[Any], settled: float) -> Iterable[Axes]:
    yield _similarity_panel(run, settled)
    yield both_losses_panel(run, settled, PER_PIXEL)
    yield from _losses_at(run, settled)
    if run.measured("sample_similarity"):
        yield _samples_panel(run)


def _splits(run: Run[Any]) -> list[int]:
    return [split for split, _ in run.recipe.members]


def _apart(table: Table) -> Table:
    return table.rows(table.columns["split_a"] != table.columns["split_b"])


def _similarity_panel(run: Run[Any], settled: float) -> Axes:
    table = _apart(Table.read(run, "noise_similarity"))
    lines = [
        pair_line(table.where(t=t), _splits(run), f"t = {t}", f"similarity_{t}", ORDERED[rank % len(ORDERED)])
        for rank, t in enumerate(np.unique(table.columns["t"]).tolist())
    ]
    note = "Noise predictions of twins on the same noised held-out images. Where a curve is highest, the twins agree most at that time."
    return along("similarity", "Similarity of the twins' noise predictions", COSINE, lines, note, settled / 4)


def _losses_at(run: Run[Any], settled: float) -> Iterable[Axes]:
    table = Table.read(run, "fixed_time_loss")
    for t in np.unique(table.columns["t"]).tolist():
        key = f"loss_{t}"
        line = member_line(table.where(t=t), f"test loss at t = {t}", key, "red")
        note = "The loss at one time alone: its minimum is that of the networks that denoise from there."
        yield along(key, f"Test loss at t = {t}", PER_PIXEL, [line], note, settled / 2)


def _samples_panel(run: Run[Any]) -> Axes:
    line = pair_line(
        _apart(Table.read(run, "sample_similarity")), _splits(run), "samples of twins from the same noise", "sample_similarity"
    )
    return Axes("Similarity of what the twins draw", STEP, COSINE, (line,), key="samples", note=notes(run))


def _galleries(run: Run[Any], onset: Onset) -> Iterable[ImageGrid]:
    """Samples of the first two networks on different splits, each beside its nearest training image."""
    steps, splits = run.measured("sample_similarity"), _splits(run)
    if not steps:
        return
    first, second = 0, splits.index(next(split for split in splits if split != splits[0]))
    a, b = splits[first], splits[second]
    rows = (
        f"the nearest training image of split {a}",
        "the sample of its network",
        f"the sample of the network of split {b} from the same noise",
        f"the nearest training image of split {b}",
    )
    for moment, wanted in moments(run, onset).items():
        step = nearest_step(steps, wanted)
        assert step is not None
        page = pairs_sheet(Samples.read(run, step), first, second, typical(run, step, first, second, SHOWN))
        note = f"The {SHOWN} pairs nearest to the mean similarity, not picked by eye."
        yield ImageGrid(f"{moment[:1].upper()}{moment[1:]}: step {step:,}", page, rows, note)


def typical(run: Run[Any], step: int, first: int, second: int, count: int) -> list[int]:
    """The samples whose similarity between two networks is nearest to the mean over samples."""
    rows = run.table("sample_similarity").to_pylist()
    values = np.array(next(r["values"] for r in rows if (r["step"], r["member_a"], r["member_b"]) == (step, first, second)))
    return sorted(np.argsort(np.abs(values - values.mean()), kind="stable")[:count].tolist())


PAGE = PageParts(partial(default_subtitle, samples="images"), PER_IMAGE, PER_PIXEL, _details, galleries=_galleries, definitions=OF_IMAGES)
