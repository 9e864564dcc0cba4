"""rp-attributes and rp-identities ([RP]): do twins converge as well when their groups differ in an attribute, or share no person?

For each seed two networks learn from the two groups of a random split, and two from those of a controlled one: as many images, the same
weights to begin with, batches, noise and held-out images. The seeds make a distribution, which is compared with that of random splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa

from twinsplit.execution.local import Executor
from twinsplit.measures.statistics import mean_over
from twinsplit.papers.figure import FIGURES, Options, Panels, PublishedFigure, Recipes, run_name
from twinsplit.papers.gahb.figures import measure_last
from twinsplit.papers.gahb.panels import INPUT, drawn
from twinsplit.papers.gahb.stages import measure_psnr
from twinsplit.papers.lines import Floats, bare, interval_of, over_members
from twinsplit.papers.rp.controlled_data import RANDOM, Case, Plan, prepare_splits
from twinsplit.papers.rp.controlled_values import LIKENESS, QUALITY, Runs, Values, caption, comparisons, values_of
from twinsplit.papers.rp.nearest import measure_closest
from twinsplit.papers.rp.nearest_panels import last_samples
from twinsplit.pipeline.stages import Session
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Axes, HorizontalLine, ImageGrid, Line, VerticalLine
from twinsplit.report.stored import LEVEL
from twinsplit.runs.store import Run

TESTS = (
    f"Every step is a seed of splits, networks and noise; marks: mean and {LEVEL:.0%} Student interval over seeds. "
    "Differences of means have Student's interval over seeds, which both kinds share; spread is the ratio of standard deviations over "
    "seeds, with the F interval of normal values. p: all labels permuted, two-sided, not corrected for the number of tests, and what the "
    "verdict rests on; in brackets, labels swapped within seeds only; of the spread, after each kind's mean is taken off."
)
Found = dict[Case, tuple[Runs, Values]]
SHARE = "share of seeds at or below"
COLOURS = {True: "grey", False: "red"}


@final
@dataclass(frozen=True)
class ControlledFigure(PublishedFigure):
    """Runs of every case, kind of split and seed, in this order."""

    takes: ClassVar[tuple[str, ...]] = ("data", "seeds", "device")

    def cases(self, plan: Plan) -> dict[Case, dict[str, list[ImageRecipe]]]:
        """Case -> kind of split -> a recipe per seed."""
        return {case: plan.recipes(case) for case in plan.setting.cases(self.name)}

    def recipes(self, options: Options) -> dict[str, ImageRecipe]:
        wanted = self.cases(Plan.of(options))
        return {run_name(recipe): recipe for kinds in wanted.values() for one in kinds.values() for recipe in one}

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        plan = Plan.of(options)
        return super().configuration(options, recipes) | {"seeds": list(plan.seeds), "data": str(plan.folder)}

    def prepare_data(self, options: Options, recipes: Recipes, executor: Executor) -> None:
        plan = Plan.of(options)
        prepare_splits(plan, plan.setting.cases(self.name), executor)

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        measure_last(session, (measure_psnr, measure_closest))

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        following = iter(runs)
        found: Found = {}
        for case, kinds in self.cases(Plan.of(options)).items():
            of_case = {kind: list(islice(following, len(one))) for kind, one in kinds.items()}
            found[case] = of_case, values_of(case, of_case)
        return panels_of(found)


def panels_of(found: Found) -> Panels:
    """Distributions and costs of every case, and what the twins of the first seed draw."""
    one = next(iter(found.values()))[1]
    judged = f"{len(one.seeds)} seeds of two networks for every kind of split, judged on the same {one.common:,} held-out images."
    words = " ".join([judged, *(caption(values) for _, values in found.values()), TESTS])
    axes = [axis for _, values in found.values() for axis in (*distributions(values), cost(values))]
    grids = [grid for runs, values in found.values() for grid in examples(values, runs)]
    return Panels(axes, words, grids, 3, tables_of(found))


def tables_of(found: Found) -> dict[str, pa.Table]:
    """`seeds`: a row per case, kind of split and seed; `tests`: a row per test."""
    rows = [row for _, values in found.values() for row in values.rows()]
    tests = [test.row() for _, values in found.values() for test in comparisons(values)]
    return {"seeds": pa.Table.from_pylist(rows), "tests": pa.Table.from_pylist(tests)}


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
    return bare(text, np.repeat(np.sort(numbers), 2), heights, colour)


def _mean(text: str, numbers: Floats, colour: str) -> VerticalLine:
    """The mean with Student's interval over seeds."""
    mean = mean_over(numbers, "splits")
    low, high = interval_of(mean) or (None, None)
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


NAMES = FIGURES.register(
    ControlledFigure("rp-attributes", "Twins whose groups differ in an attribute"),
    ControlledFigure("rp-identities", "Twins whose groups share no person"),
)
