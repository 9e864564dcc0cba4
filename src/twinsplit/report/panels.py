"""What every world's page has, and the registry of what worlds add: a world without an entry gets the default page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from twinsplit.onset.checkpoints import nearest_checkpoint
from twinsplit.onset.decision import Onset
from twinsplit.report import words
from twinsplit.report.definitions import GENERIC
from twinsplit.report.figure import Axes, HorizontalLine, ImageGrid, Line, focus
from twinsplit.report.model import Definition
from twinsplit.report.stored import member_line, pair_line
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

STEP = "optimizer step"
PanelsOf = Callable[[Run[Any], float], Iterable[Axes]]
"""From a run, and the step from which on its curves are shown whole, to axes along training."""


def default_subtitle(run: Run[Any], samples: str = "samples") -> str:
    """Who was judged by what."""
    data, count = run.recipe.data, len(run.recipe.members)
    return f"{count} networks on {data.splits} disjoint splits of {data.split_size} {samples}, judged on {data.held_out} held-out ones"


def split_panel(run: Run[Any], settled: float, unit: str) -> Axes:
    """The disagreement of the twins; `settled` is the step from which on curves are shown whole."""
    table, splits = Table.read(run, "sample_split_divergence"), [split for split, _ in run.recipe.members]
    apart = table.columns["split_a"] != table.columns["split_b"]
    lines = [pair_line(table.rows(apart), splits, "twins on different splits", "split_divergence")]
    if not apart.all():
        lines.append(pair_line(table.rows(~apart), splits, "same split, different seed", "seed_divergence", "green"))
    note = "Where this curve is lowest the twins agree best. It rises when what each pays for its own sample and its own seed grows."
    return along("split", "Disagreement of the twins", unit, lines, note, settled / 4)


def loss_panel(run: Run[Any], settled: float, unit: str) -> Axes:
    """The test loss, with the lowest possible one where it is known."""
    test = member_line(Table.read(run, "test_loss"), "test loss", "test_loss", "red")
    lowest = run.read_json("measurements/bayes.json").get("test_loss")
    label = "lowest possible test loss (exact posterior)"
    rules = () if lowest is None else (HorizontalLine(f"{label}: {words.number(lowest)}", float(lowest)),)
    return along("loss", "Test loss", unit, [test], "The usual advice stops at the minimum of this curve.", settled / 2, rules)


def both_losses_panel(run: Run[Any], settled: float, unit: str) -> Axes:
    """Test and training loss."""
    named = (("test_loss", "test loss", "red"), ("train_loss", "training loss", "green"))
    lines = [member_line(Table.read(run, name), text, name, colour) for name, text, colour in named]
    note = "The band of the training loss is wide because every network has a split of its own."
    return along("losses", "Test and training loss", unit, lines, note, settled / 4)


def along(
    key: str, title: str, unit: str, lines: Iterable[Line], note: str, shown_from: float, rules: tuple[HorizontalLine, ...] = ()
) -> Axes:
    """Axes along training, on the range that shows the lines from a step on."""
    kept = tuple(lines)
    return Axes(title, STEP, unit, kept, rules=rules, y_range=focus(kept, shown_from), key=key, note=note)


def moments(run: Run[Any], onset: Onset) -> dict[str, float]:
    """The moments that a report looks at closely: "at the onset", "at the test-loss minimum", or "at the end" -> step."""
    found = {"at the onset": onset.onset.step, "at the test-loss minimum": onset.test_loss_minimum.step}
    reached = {moment: step for moment, step in found.items() if step is not None}
    return reached if len(reached) == len(found) else reached | {"at the end": float(run.steps()[-1])}


def nearest_step(steps: tuple[int, ...], wanted: float) -> int | None:
    """The measured step nearest in log step, None without any."""
    return nearest_checkpoint(steps, float(np.log(wanted))) if steps else None


def _losses_alone(run: Run[Any], settled: float) -> Iterable[Axes]:
    yield both_losses_panel(run, settled, "loss")


def _nothing(run: Run[Any], onset: Onset) -> tuple[()]:
    return ()


@final
@dataclass(frozen=True)
class PageParts:
    """What the page of a world says. The defaults are those of any world.

    divergence_unit, loss_unit: of the two main panels.  details: further axes along training.  distances: histograms.
    """

    subtitle: Callable[[Run[Any]], str] = default_subtitle
    divergence_unit: str = "nats per sample"
    loss_unit: str = "loss"
    details: PanelsOf = _losses_alone
    distances: Callable[[Run[Any], Onset], Iterable[Axes]] = _nothing
    galleries: Callable[[Run[Any], Onset], Iterable[ImageGrid]] = _nothing
    definitions: tuple[Definition, ...] = GENERIC


_PAGES: dict[str, PageParts] = {}


def register_page(world: str, parts: PageParts) -> None:
    """Have the pages of runs in this world say more than the default page does; the last one registered counts."""
    _PAGES[world] = parts


def page_of(world: str) -> PageParts:
    """The parts registered for a world, or the default ones."""
    return _PAGES.get(world, PageParts())
