"""`twinsplit figure NAME`: refuse what the figure does not take, and make it."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.options import FigureOptions
from twinsplit.runs.places import check_place

if TYPE_CHECKING:
    from twinsplit.papers import catalogue

OPTIONS = {"data": "--data", "seeds": "--seeds", "lpips_weights": "--lpips-weights", "runs": "--run", "device": "--device"}  # by name
LEFT_OUT = (None, (), "cpu")


def make(options: FigureOptions, executor: Executor) -> list[Path]:
    """Return the paths of a figure; InputError for a name that is none, and for options that it does not take."""
    from twinsplit.papers import catalogue

    chosen = checked(options)
    check_place(options.out)
    return catalogue.make(options.name, chosen, executor)


def plan(options: FigureOptions, executor: Executor) -> Iterator[str]:
    """Yield what each run of a figure takes, and the sum; data that runs learn from are made in a temporary folder."""
    from twinsplit.papers import catalogue
    from twinsplit.pipeline.dry_run import dry_run, render, total

    figure, chosen = catalogue.FIGURES[options.name], checked(options)
    with TemporaryDirectory(prefix="twinsplit-") as folder:
        elsewhere = replace(chosen, out=Path(folder))
        recipes = {} if options.runs else figure.recipes(elsewhere)
        figure.prepare_data(elsewhere, recipes, executor)
        plans = []
        for name, recipe in recipes.items():
            plans.append(dry_run(recipe, executor))
            yield f"{name}, {render(plans[-1])}"
    yield f"{options.name}: {total(plans) if plans else 'it trains no networks'}"


def checked(options: FigureOptions) -> "catalogue.Options":
    """Return what the catalogue takes; InputError for a name that is none, and for options that the figure does not take."""
    from twinsplit.papers import catalogue

    figure = catalogue.FIGURES[options.name]
    for option, flag in OPTIONS.items():
        if getattr(options, option) not in LEFT_OUT and option not in figure.takes:
            takers = ", ".join(catalogue.FIGURES.takers(option))
            raise InputError(f"{options.name} has no {flag}", f"leave it out: it is for {takers}")
    chosen = {field.name: getattr(options, field.name) for field in fields(catalogue.Options)}
    return catalogue.Options(**chosen)
