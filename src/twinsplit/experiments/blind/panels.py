"""The axes and plates of the two-denoiser figures; one line or point per rung of the ladder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.experiments.blind.stages import PERCEPTUAL, PSNR, SPECTRUM
from twinsplit.experiments.images.generation import SIMILARITY
from twinsplit.experiments.images.panels import ROWS
from twinsplit.experiments.lines import over_members
from twinsplit.experiments.replicates import splits_of
from twinsplit.measures.statistics import mean_over_pairs
from twinsplit.noise import Noise
from twinsplit.report.from_images import typical
from twinsplit.report.model import as_floats
from twinsplit.report.pictures import Levels, Samples, sheet
from twinsplit.report.sheets import Axes, Line, Plate, Rule
from twinsplit.report.stored import LEVEL, Table
from twinsplit.store import Run

INPUT, OUTPUT, N = "input PSNR (dB)", "output PSNR (dB)", "images in a split, N"
COLUMNS, SHUFFLES = 8, 200
Rungs = Sequence[Run[Any]]


def size(run: Run[Any]) -> int:
    """N."""
    return int(run.recipe.data.split_size)


def rung_colour(i: int, count: int) -> str:
    """Of rung i: few images dark, many light."""
    return f"k{round(4 * i / max(count - 1, 1))}"


def psnr_curves(rungs: Rungs, data: str) -> Axes:
    """Output against input PSNR ([GAHB] fig. 1)."""
    lines = []
    for i, run in enumerate(rungs):
        table = Table.read(run, PSNR).where(data=data)
        levels = np.unique(table.columns["sigma"])[::-1]
        x = as_floats([table.where(sigma=s, of="input").means.mean() for s in levels])
        y = np.array([table.where(sigma=s, of="output").means for s in levels])
        lines.append(over_members(f"N = {size(run):,}", x, y, rung_colour(i, len(rungs))))
    nothing = np.full(len(lines[0].x), np.nan)
    identity = Line("nothing removed", lines[0].x, lines[0].x, nothing, nothing, "grey", "dot")
    title = {"train": "training images", "test": "held-out images"}[data]
    return Axes(title, INPUT, OUTPUT, (*lines, identity), x_scale="linear")


def convergence(rungs: Rungs) -> Axes:
    """Likeness of what twins draw from the same noise, against N, with the same for pairs of different samples ([GAHB] fig. 2)."""
    found = [alike(run, run.measured(SIMILARITY)[-1]) for run in rungs]
    x = as_floats([size(run) for run in rungs])
    twins = banded("same noise", x, [twins for twins, _ in found], "blue")
    null = replace(banded("shuffled pairs", x, [null for _, null in found], "grey"), dash="dash")
    nearest = over_members("nearest training image", x, np.array([_nearest(run) for run in rungs]), "green")
    return Axes("what twins draw", N, "correlation", (twins, null, nearest))


Band = tuple[float, float, float]


def banded(text: str, x: NDArray[np.float64], found: list[Band], colour: str) -> Line:
    """A line through what was found at each x."""
    value, low, high = (as_floats(column) for column in zip(*found, strict=True))
    return Line(text, x, value, low, high, colour)


def alike(run: Run[Any], step: int) -> tuple[Band, Band]:
    """Of samples of one checkpoint: mean over pairs with its interval; and the null with its central 95%.

    Null: sample i of one network against sample pi(i) of another.
    """
    images, splits = _flat(Samples.read(run, step).images), splits_of(run)
    pairs = [(a, b) for b in range(len(images)) for a in range(b) if splits[a] != splits[b]]
    mean = mean_over_pairs([_likeness(images[a], images[b]) for a, b in pairs], np.array(pairs), splits)
    noise = Noise(0, "shuffled pairs")
    orders = [noise.permutation(draw, images.shape[1]).numpy() for draw in range(SHUFFLES)]
    null = [float(np.mean([_likeness(images[a], images[b][order]) for a, b in pairs])) for order in orders]
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (mean.value, *(mean.interval(LEVEL) or (np.nan, np.nan))), (float(np.mean(null)), float(low), float(high))


def _likeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean correlation of directions (g, d) and (g, d), one by one."""
    return float((a * b).sum(1).mean())


def _flat(images: Levels) -> NDArray[np.float64]:
    """(K, g, d) each image less its mean, of length 1; 0 for an image of one colour."""
    flat = images.reshape(*images.shape[:2], -1).astype(np.float64)
    centred = flat - flat.mean(-1, keepdims=True)
    norms = np.linalg.norm(centred, axis=-1, keepdims=True)
    directions: NDArray[np.float64] = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    return directions


def _nearest(run: Run[Any]) -> NDArray[np.float64]:
    """(K,) the mean correlation of samples with the training image that correlates best."""
    return Table.read(run, PERCEPTUAL).where(quantity="correlation").means


def reranked(rungs: Rungs) -> list[Axes]:
    """How often the nearest training image changes, and how far both orders agree ([RP])."""
    x = as_floats([size(run) for run in rungs])
    distance = Table.read(rungs[0], PERCEPTUAL).columns["distance"][0]
    kinds = (
        ("changed", f"nearest image changes under {distance}", "fraction of samples"),
        ("agreement", "agreement of both orders", "rank correlation"),
    )
    made = []
    for quantity, title, label in kinds:
        values = np.array([Table.read(run, PERCEPTUAL).where(quantity=quantity).means for run in rungs])
        made.append(Axes(title, N, label, (over_members("mean over networks", x, values, "purple"),)))
    return made


def spectra(rungs: Rungs) -> Axes:
    """Shrinkage factors of the denoisers' Jacobians at noised held-out images, largest first ([GAHB] section 3)."""
    lines = []
    for i, run in enumerate(rungs):
        rows = run.table(SPECTRUM).to_pylist()
        values = np.array([row["values"] for row in rows])
        members = np.array([row["member"] for row in rows])
        each = np.stack([values[members == k].mean(0) for k in np.unique(members)], axis=1)
        lines.append(over_members(f"N = {size(run):,}", np.arange(1.0, len(each) + 1), each, rung_colour(i, len(rungs))))
    rules = (Rule("kept", 1.0), Rule("removed", 0.0))
    return Axes("shrinkage of each direction", "direction", "factor", tuple(lines), rules=rules, x_scale="log")


def drawn(run: Run[Any]) -> Plate:
    """Samples of two networks from the same noise, each beside its nearest training image."""
    step = run.measured(SIMILARITY)[-1]
    first, second = 0, int(np.flatnonzero(splits_of(run) != splits_of(run)[0])[0])
    samples, chosen = Samples.read(run, step), typical(run, step, first, second, COLUMNS)
    rows = [samples.nearest[first], samples.images[first], samples.images[second], samples.nearest[second]]
    return Plate(f"N = {size(run):,}", sheet([[row[i] for i in chosen] for row in rows]), ROWS)


def denoised(run: Run[Any], step: int) -> Plate:
    """The same noised image denoised by the network that learned from it and by one that did not."""
    found = run.tensors("same_image", step)
    names = {
        "clean": "training image\nof A",
        "noisy": "noised",
        "seen": "denoised by A,\nwhich saw it",
        "unseen": "denoised by B,\nwhich did not",
    }
    rows = [list(levels(found[key].numpy())) for key in names]
    return Plate(f"N = {size(run):,}", sheet(rows), tuple(names.values()))


def directions(run: Run[Any], step: int) -> Plate:
    """The directions that a network keeps most, at a noised held-out image; grey is 0."""
    found = run.tensors("bases", step)
    basis = found["directions"][0].numpy()
    scaled = 0.5 + 0.5 * basis / np.abs(basis).max((1, 2, 3), keepdims=True)
    image = np.concatenate([found["image"][:1].numpy(), found["noisy"][:1].numpy()])
    first = np.concatenate([image, np.full_like(scaled[2:], 1.0)])
    names = ("image,\nnoised image", "directions kept\nmost, in order")
    return Plate(f"N = {size(run):,}", sheet([list(levels(first)), list(levels(scaled))]), names)


def levels(images: NDArray[np.float32]) -> Levels:
    """[0, 1] to 0..255, clipped."""
    scaled: Levels = np.clip(np.round(images * 255), 0, 255).astype(np.uint8)
    return scaled
