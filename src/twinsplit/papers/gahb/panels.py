"""The axes and grids of the two-denoiser figures; one line or point per rung of the ladder."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.permutation import shuffled_orders
from twinsplit.measures.statistics import mean_over_pairs
from twinsplit.noise.reference import Noise
from twinsplit.papers.bg.images.panels import twin_grid
from twinsplit.papers.gahb.stages import PSNR, SPECTRUM
from twinsplit.papers.lines import bare, over_members
from twinsplit.papers.rp.nearest import CLOSEST
from twinsplit.papers.rp.nearest_panels import NOTHING, Band, N, Rungs, banded, closest_line, last_samples, size
from twinsplit.pipeline.replicates import splits_of
from twinsplit.report.figure import Axes, HorizontalLine, ImageGrid, as_floats
from twinsplit.report.pictures import Levels, Samples, sheet
from twinsplit.report.stored import LEVEL
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

INPUT, OUTPUT = "input PSNR (dB)", "output PSNR (dB)"
SHUFFLES = 200
SHUFFLED = (
    f"Shuffled pairs: mean over all samples of different noise, and central {LEVEL:.0%} over {SHUFFLES} orders that keep none in place."
)
ROWS = ("closest image\nof split A", "sample of\ntwin A", "sample of\ntwin B", "closest image\nof split B")


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
    identity = bare("nothing removed", lines[0].x, lines[0].x, "grey", "dot")
    title = {"train": "training images", "test": "held-out images"}[data]
    return Axes(title, INPUT, OUTPUT, (*lines, identity), x_scale="linear")


def convergence(rungs: Rungs) -> Axes:
    """Likeness of what twins draw from the same noise, against N, with the same for pairs of different samples ([GAHB] fig. 2)."""
    found = [alike(run, last_samples(run)) for run in rungs]
    x = as_floats([size(run) for run in rungs])
    twins = banded("same noise", x, [twins for twins, _ in found], "blue")
    null = replace(banded("shuffled pairs", x, [null for _, null in found], "grey"), dash="dash")
    return Axes("what twins draw", N, "correlation", (twins, null, closest_line(rungs, x)))


def alike(run: Run[Any], step: int) -> tuple[Band, Band]:
    """Of samples of one checkpoint: mean over pairs of networks with its interval; and the null, of samples from different noise."""
    images, splits = _flat(Samples.read(run, step).images), splits_of(run)
    pairs = [(a, b) for b in range(len(images)) for a in range(b) if splits[a] != splits[b]]
    mean = mean_over_pairs([_likeness(images[a], images[b]) for a, b in pairs], np.array(pairs), splits)
    return (mean.value, *(mean.interval(LEVEL) or NOTHING[1:])), _null(images, pairs)


def _null(images: NDArray[np.float64], pairs: list[tuple[int, int]]) -> Band:
    """Sample i of one network against sample j, j not i, of another: the mean over all, and the central LEVEL over shuffled orders."""
    count = images.shape[1]
    if count < 2:
        return NOTHING
    orders = shuffled_orders(count, SHUFFLES, Noise(0, "shuffled pairs"))
    drawn = [np.mean([_likeness(images[a], images[b][order]) for a, b in pairs]) for order in orders]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.mean([_unlikeness(images[a], images[b]) for a, b in pairs])), float(low), float(high)


def _unlikeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean correlation of directions (g, d) and (g, d) over all pairs of different rows."""
    count = len(a)
    return float((a.sum(0) @ b.sum(0) - (a * b).sum()) / (count * (count - 1)))


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


def spectra(rungs: Rungs) -> Axes:
    """Shrinkage factors of the denoisers' Jacobians at noised held-out images, largest first ([GAHB] section 3)."""
    lines = []
    for i, run in enumerate(rungs):
        rows = run.table(SPECTRUM).to_pylist()
        values = np.array([row["values"] for row in rows])
        members = np.array([row["member"] for row in rows])
        each = np.stack([values[members == k].mean(0) for k in np.unique(members)], axis=1)
        lines.append(over_members(f"N = {size(run):,}", np.arange(1.0, len(each) + 1), each, rung_colour(i, len(rungs))))
    rules = (HorizontalLine("kept", 1.0), HorizontalLine("removed", 0.0))
    return Axes("shrinkage of each direction", "direction", "factor", tuple(lines), rules=rules, x_scale="log")


def asymmetry_caption(rungs: Rungs) -> str:
    """What the factors, of the symmetric part, leave out; and of large images, that they are the first ones."""
    rows = [run.table(SPECTRUM).to_pylist() for run in rungs]
    shares = ", ".join(
        f"{np.mean([row['asymmetry'] for row in one]):.2f} at N = {size(run):,}" for one, run in zip(rows, rungs, strict=True)
    )
    return f"Asymmetry of the Jacobian, |A| / |J| (Frobenius), a mean over networks and images: {shares}.{_leading(rungs[0], rows)}"


def _leading(run: Run[Any], rows: list[list[dict[str, Any]]]) -> str:
    shown, step = len(rows[0][0]["values"]), rows[0][0]["step"]
    if shown == run.tensors("bases", step)["image"][0].numel():
        return ""
    bound = max(row["bound"] for one in rows for row in one)
    return f" The {shown} largest by Lanczos, each within {bound:.1g} of an eigenvalue."


def drawn(run: Run[Any], step: int) -> ImageGrid:
    """Samples of two networks from the same noise, each beside the image of its own split that correlates best with it."""
    return twin_grid(run, step, run.tensors(CLOSEST, step)["images"].numpy(), f"N = {size(run):,}", ROWS)


def denoised(run: Run[Any], step: int) -> ImageGrid:
    """The same noised image denoised by the network that learned from it and by one that did not."""
    found = run.tensors("same_image", step)
    names = {
        "clean": "training image\nof A",
        "noisy": "noised",
        "seen": "denoised by A,\nwhich saw it",
        "unseen": "denoised by B,\nwhich did not",
    }
    rows = [list(levels(found[key].numpy())) for key in names]
    return ImageGrid(f"N = {size(run):,}", sheet(rows), tuple(names.values()))


def directions(run: Run[Any], step: int) -> ImageGrid:
    """The directions that a network keeps most, at a noised held-out image; grey is 0."""
    found = run.tensors("bases", step)
    basis = found["directions"][0].numpy()
    scaled = 0.5 + 0.5 * basis / np.abs(basis).max((1, 2, 3), keepdims=True)
    image = np.concatenate([found["image"][:1].numpy(), found["noisy"][:1].numpy()])
    first = np.concatenate([image, np.full_like(scaled[2:], 1.0)])
    names = ("image,\nnoised image", "directions kept\nmost, in order")
    return ImageGrid(f"N = {size(run):,}", sheet([list(levels(first)), list(levels(scaled))]), names)


def levels(images: NDArray[np.float32]) -> Levels:
    """[0, 1] to 0..255, clipped."""
    scaled: Levels = np.clip(np.round(images * 255), 0, 255).astype(np.uint8)
    return scaled
