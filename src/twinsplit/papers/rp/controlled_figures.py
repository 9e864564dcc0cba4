"""rp-attributes and rp-identities ([RP]): do twins converge as well when their groups differ in an attribute, or share no person?

For each seed two networks learn from the two groups of a random split, and two from those of a controlled one: as many images, the same
weights to begin with, batches, noise and held-out images. The seeds make a distribution, which is compared with that of random splits.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from twinsplit.execution.local import Executor
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.gahb.figures import prepare_run
from twinsplit.papers.gahb.stages import measure_psnr
from twinsplit.papers.rp import controlled_panels as panels
from twinsplit.papers.rp.controlled_data import Plan, prepare_splits
from twinsplit.papers.rp.controlled_settings import Case, check_seeds, setting_of
from twinsplit.papers.rp.controlled_values import Runs, Values, caption, comparisons, values_of
from twinsplit.papers.rp.nearest import measure_closest
from twinsplit.report.figure import Figure
from twinsplit.report.page import interactive
from twinsplit.report.render_matplotlib import printed
from twinsplit.report.stored import LEVEL

TITLES = {
    "rp-attributes": "Twins whose groups differ in an attribute",
    "rp-identities": "Twins whose groups share no person",
}
NAMES = tuple(TITLES)
TESTS = (
    f"Every step is a seed of splits, networks and noise; marks: mean and {LEVEL:.0%} Student interval over seeds. "
    "Differences of means have Student's interval over seeds, which both kinds share; spread is the ratio of standard deviations over "
    "seeds, with the F interval of normal values. p: all labels permuted, two-sided, not corrected for the number of tests, and what the "
    "verdict rests on; in brackets, labels swapped within seeds only; of the spread, after each kind's mean is taken off."
)
Found = dict[Case, tuple[Runs, Values]]


def make_figure(name: str, scale: str, out: Path, seeds: tuple[int, ...], data: Path | None, executor: Executor) -> list[Path]:
    """Draw the data where none are given, split, train what is missing, measure, test, store; what stands is not made again."""
    plan = Plan.of(scale, out, seeds, data)
    cases = plan.setting.cases(name)
    wanted = {case: plan.recipes(case) for case in cases}
    recipes = [recipe for kinds in wanted.values() for one in kinds.values() for recipe in one]
    configuration: dict[str, Any] = {
        "scale": scale,
        "seeds": list(seeds),
        "data": str(plan.folder),
        "runs": {f"runs/{run_name(recipe)}": recipe.to_json() for recipe in recipes},
    }
    if found := existing(out, name, configuration):
        return found
    prepare_splits(plan, cases, executor)
    results: Found = {}
    for case, kinds in wanted.items():
        runs = {
            kind: [prepare_run(out, recipe, (measure_psnr, measure_closest), executor) for recipe in one] for kind, one in kinds.items()
        }
        results[case] = runs, values_of(case, runs)
    sheet = figure_of(name, results)
    pages = {f"{name}.html": interactive(sheet, configuration).encode()}
    return store_figure(out, name, printed(sheet), sheet.tables() | tables_of(results), configuration, pages)


def figure_of(name: str, found: Found) -> Figure:
    """The figure as data."""
    axes = tuple(axis for _, values in found.values() for axis in (*panels.distributions(values), panels.cost(values)))
    plates = tuple(plate for runs, values in found.values() for plate in panels.examples(values, runs))
    one = next(iter(found.values()))[1]
    judged = f"{len(one.seeds)} seeds of two networks for every kind of split, judged on the same {one.common:,} held-out images."
    caption = " ".join([judged, *(caption(values) for _, values in found.values()), TESTS])
    return Figure(name, f"{name}: {TITLES[name]}", axes, caption, 3, plates)


def tables_of(found: Found) -> dict[str, pa.Table]:
    """`seeds`: a row per case, kind of split and seed; `tests`: a row per test."""
    rows = [row for _, values in found.values() for row in values.rows()]
    tests = [test.row() for _, values in found.values() for test in comparisons(values)]
    return {"seeds": pa.Table.from_pylist(rows), "tests": pa.Table.from_pylist(tests)}


def seeds_of(scale: str, first: int, count: int | None) -> tuple[int, ...]:
    """The seeds of a figure: `count` of them, or as many as the scale has, from `first` on."""
    options = setting_of(scale).seeds if count is None else count
    check_seeds(options)
    return tuple(range(first, first + options))
