"""`twinsplit figure NAME`: refuse what the figure does not take, and make it."""

from dataclasses import fields
from pathlib import Path

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.options import FigureOptions
from twinsplit.runs.places import check_place

OPTIONS = {"data": "--data", "seeds": "--seeds", "lpips_weights": "--lpips-weights", "runs": "--run", "device": "--device"}  # by name
LEFT_OUT = (None, (), "cpu")


def make(options: FigureOptions, executor: Executor) -> list[Path]:
    """Return the paths of a figure; InputError for a name that is none, and for options that it does not take."""
    from twinsplit.papers import catalogue

    figure = catalogue.FIGURES[options.name]
    for option, flag in OPTIONS.items():
        if getattr(options, option) not in LEFT_OUT and option not in figure.takes:
            takers = ", ".join(catalogue.FIGURES.takers(option))
            raise InputError(f"{options.name} has no {flag}", f"leave it out: it is for {takers}")
    check_place(options.out)
    chosen = {field.name: getattr(options, field.name) for field in fields(catalogue.Options)}
    return catalogue.make(options.name, catalogue.Options(**chosen), executor)
