"""The axes and plates of the controlled splits: distributions over seeds, and what a kind of split costs in PSNR."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twinsplit.measures.statistics import mean_over
from twinsplit.papers.gahb.panels import INPUT, drawn
from twinsplit.papers.lines import over_members
from twinsplit.papers.rp.controlled_settings import RANDOM
from twinsplit.papers.rp.controlled_values import LIKENESS, QUALITY, Floats, Runs, Values
from twinsplit.papers.rp.nearest_panels import last_samples
from twinsplit.report.figure import Axes, HorizontalLine, ImageGrid, Line, VerticalLine
from twinsplit.report.stored import FEWEST, LEVEL

SHARE = "share of seeds at or below"
COLOURS = {True: "grey", False: "red"}


def distributions(values: Values) -> list[Axes]:
    """What is tested, as distribution functions: every seed is a step."""
    where = f"{values.case.title}, N = {values.case.size:,}"
    return [
        _distribution(f"{where}: same noise, two networks", LIKENESS, values.likeness),
        _distribution(f"{where}: held-out images", f"{QUALITY}, mean over noise levels", values.quantity(QUALITY)),
    ]


def _distribution(title: str, label: str, found: Mapping[str, Floats]) -> Axes:
    lines = tuple(_steps(f"{kind}: seeds", numbers, COLOURS[kind == RANDOM]) for kind, numbers in found.items())
    marks = tuple(_mean(f"{kind}: mean", numbers, COLOURS[kind == RANDOM]) for kind, numbers in found.items())
    return Axes(title, label, SHARE, lines, marks, x_scale="linear")


def _steps(text: str, numbers: Floats, colour: str) -> Line:
    """The empirical distribution function: from (i - 1)/S up to i/S at the i-th smallest of S numbers."""
    count = len(numbers)
    heights = np.repeat(np.arange(count + 1) / count, 2)[1:-1]
    nothing = np.full(2 * count, np.nan)
    return Line(text, np.repeat(np.sort(numbers), 2), heights, nothing, nothing, colour)


def _mean(text: str, numbers: Floats, colour: str) -> VerticalLine:
    """The mean with Student's interval over seeds."""
    mean = mean_over(numbers, "splits")
    low, high = (mean.interval(LEVEL) if mean.count >= FEWEST else None) or (None, None)
    return VerticalLine(text, mean.value, low, high, colour)


def cost(values: Values) -> Axes:
    """What the controlled split adds to the output PSNR of held-out images, at every noise level, seed by seed."""
    gain = values.psnr[values.case.title] - values.psnr[RANDOM]
    x = -20 * np.log10(values.levels)
    title = f"{values.case.title}, N = {values.case.size:,}: PSNR against random"
    line = over_members("mean over seeds", x, gain.T, "red")
    return Axes(title, INPUT, "difference in output PSNR (dB)", (line,), rules=(HorizontalLine("no difference", 0.0),), x_scale="linear")


def examples(values: Values, runs: Runs) -> list[ImageGrid]:
    """What the twins of the first seed draw, for each kind of split."""
    return [
        replace(drawn(found[0], last_samples(found[0])), title=f"{kind}, N = {values.case.size:,}, seed {values.seeds[0]}")
        for kind, found in runs.items()
    ]
