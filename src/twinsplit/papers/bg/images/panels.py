"""The axes and grids of [BG]'s image figures, each from one run's stored measurements."""

from typing import Any

import numpy as np

from twinsplit.onset.minima import find_minima
from twinsplit.papers.bg.images.levels import NAME as LEVELS
from twinsplit.papers.bg.images.settings import FULL
from twinsplit.papers.bg.images.turns import ALIKE, LOWEST, SAMPLES, minima_at, samples_curve
from twinsplit.papers.lines import EPOCH, bare, epochs, landmarks, late_range, member_line, minimum_line, pair_line, size
from twinsplit.pipeline.landmarks import LOSS, SPLIT, checkpoint_at
from twinsplit.pipeline.replicates import loss_curve, splits_of
from twinsplit.report.figure import Axes, ImageGrid, Line, VerticalLine, as_floats
from twinsplit.report.from_images import typical
from twinsplit.report.pictures import Levels, Samples, sheet
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

COSINE, PIXEL = "cosine similarity", "squared error per pixel"
COLUMNS = 8
ROWS = ("nearest image\nof split A", "sample of\ntwin A", "sample of\ntwin B", "nearest image\nof split B")


def apart(run: Run[Any], name: str) -> Table:
    """The rows of pairs on different splits."""
    table, splits = Table.read(run, name), splits_of(run)
    return table.rows(splits[table.columns["member_a"]] != splits[table.columns["member_b"]])


def drawn(run: Run[Any]) -> Axes:
    """Similarity of what twins draw from the same noise, mean and median over pairs ([BG] fig. 1a, left)."""
    table = apart(run, "sample_similarity")
    lines = (pair_line(run, table, "mean over pairs", "blue"), _median(run, table))
    minima = find_minima([samples_curve(run), loss_curve(run)])
    marks = (
        minimum_line(run, minima.turn(SAMPLES), "samples most alike", "blue"),
        minimum_line(run, minima.turn(LOSS), "test-loss minimum", "red"),
    )
    return Axes(f"{size(run)}: samples of twins from the same noise", EPOCH, COSINE, lines, marks, y_range=late_range(lines))


def _median(run: Run[Any], table: Table) -> Line:
    values = as_floats([np.median(table.where(step=step).means) for step in table.steps])
    return bare("median over pairs", epochs(run, table.steps.astype(float)), values, "k1", "dash")


def losses(run: Run[Any]) -> Axes:
    """Test and training loss over all times."""
    pairs = (("test_loss", "test loss", "red"), ("train_loss", "training loss", "green"))
    lines = [member_line(run, Table.read(run, name), text, colour) for name, text, colour in pairs]
    return Axes(f"{size(run)}: loss averaged over t", EPOCH, PIXEL, tuple(lines), landmarks(run, SPLIT, LOSS), y_range=late_range(lines))


def predicted(run: Run[Any], t: int) -> Axes:
    """Similarity of twins' noise predictions at one time, on held-out and on training images ([BG] fig. 2)."""
    kinds = (("noise_similarity", "held-out images", "blue"), ("train_noise_similarity", "training images of one twin", "green"))
    lines = tuple(pair_line(run, apart(run, name).where(t=t), text, colour) for name, text, colour in kinds)
    return Axes(f"t = {t}: noise predictions of twins", EPOCH, COSINE, lines, _turns(run, t), y_range=late_range(lines))


def loss_at(run: Run[Any], t: int) -> Axes:
    """The test loss at one time."""
    lines = (member_line(run, Table.read(run, "fixed_time_loss").where(t=t), "test loss", "red"),)
    return Axes(f"t = {t}: test loss", EPOCH, PIXEL, lines, _turns(run, t), y_range=late_range(lines))


def _turns(run: Run[Any], t: int) -> tuple[VerticalLine, ...]:
    minima = minima_at(run, t)
    return (
        minimum_line(run, minima.turn(ALIKE), "twins most alike", "blue"),
        minimum_line(run, minima.turn(LOWEST), "test loss lowest", "red"),
    )


def levels(run: Run[Any]) -> list[Axes]:
    """Similarity to the frozen networks of every level of detail ([BG] fig. 7); axes for each kind of filter that there is."""
    table = Table.read(run, LEVELS)
    names = list(dict.fromkeys(table.columns["level"].tolist()))
    components, details = ([n for n in names if n != FULL and n.endswith("components") is kind] for kind in (True, False))
    return [_levels(run, table, [*kind, FULL]) for kind in (components, details) if kind]


def _levels(run: Run[Any], table: Table, names: list[str]) -> Axes:
    """The levels of one filter, coarse to fine, and full resolution."""
    colours = [f"k{min(4, len(names) - 1 - i)}" for i in range(len(names))]
    lines = tuple(pair_line(run, table.where(level=name), _level_text(name), colour) for name, colour in zip(names, colours, strict=True))
    kind = "principal components of all training splits" if names[0].endswith("components") else "Haar wavelets"
    return Axes(f"{size(run)}: likeness to networks of coarser images ({kind})", EPOCH, COSINE, lines, landmarks(run, SPLIT, LOSS))


def _level_text(name: str) -> str:
    return "twins, full resolution" if name == FULL else f"frozen: {name}"


def moments(run: Run[Any]) -> tuple[int, int, int]:
    """An early checkpoint, the one where twins agree best, and the last."""
    steps = run.steps()
    best = checkpoint_at(run, SPLIT)
    return steps[len(steps) // 4], best, steps[-1]


def pairs(run: Run[Any], step: int) -> ImageGrid:
    """Samples of two twins from the same noise, each beside its nearest training image ([BG] fig. 1a right, 8)."""
    epoch = float(epochs(run, np.array([step]))[0])
    return twin_grid(run, step, Samples.read(run, step).nearest, f"epoch {epoch:,.0f} (step {step:,})", ROWS)


def twin_grid(run: Run[Any], step: int, nearest: Levels, title: str, names: tuple[str, ...]) -> ImageGrid:
    """Typical samples of the first networks of two splits, each beside its nearest training image (K, g, C, H, W)."""
    first, second = 0, int(np.flatnonzero(splits_of(run) != splits_of(run)[0])[0])
    samples, chosen = Samples.read(run, step).images, typical(run, step, first, second, COLUMNS)
    rows = [nearest[first], samples[first], samples[second], nearest[second]]
    return ImageGrid(title, sheet([[row[i] for i in chosen] for row in rows]), names)
