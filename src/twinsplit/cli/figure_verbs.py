"""The families of figures: which names each has, which options it takes, and who makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.options import FigureOptions
from twinsplit.runs.places import check_place

Make = Callable[[FigureOptions, Executor], list[Path]]
OPTIONS = {"data": "--data", "seeds": "--seeds", "lpips_weights": "--lpips-weights", "runs": "--run", "device": "--device"}  # by name
LEFT_OUT = (None, (), "cpu")


@final
@dataclass(frozen=True)
class Family:
    """names of figures; options: those of LEFT_OUT that they take; make: the paths of one of them."""

    names: tuple[str, ...]
    options: tuple[str, ...]
    make: Make


def families() -> tuple[Family, ...]:
    """All there are."""
    from twinsplit.papers.bg.images import figures as images
    from twinsplit.papers.bg.sequences import figures as hierarchical
    from twinsplit.papers.gahb import figures as blind
    from twinsplit.papers.gahb import rates, together
    from twinsplit.papers.gtv import figures as gtv
    from twinsplit.papers.rp import controlled_figures

    return (
        Family(tuple(images.FIGURES), ("data", "seeds", "runs", "device"), _of_images),
        Family(tuple(hierarchical.FIGURES), ("seeds", "runs", "device"), _hierarchical),
        Family(tuple(blind.LADDER_FIGURES), ("data", "seeds", "device"), _on_a_ladder),
        Family((blind.RERANKED,), ("data", "seeds", "lpips_weights", "device"), _reranked),
        Family((together.NAME,), ("data", "seeds", "device"), _together),
        Family(controlled_figures.NAMES, ("data", "seeds", "device"), _controlled),
        Family((rates.NAME,), ("seeds", "device"), _rates),
        Family(tuple(gtv.FIGURES), (), _gtv),
    )


def make(options: FigureOptions, executor: Executor) -> list[Path]:
    """The paths of a figure; InputError for a name that is none, and for options that it does not take."""
    every = families()
    family = next((one for one in every if options.name in one.names), None)
    if family is None:
        raise InputError(f"there is no figure {options.name!r}", f"choose one of {', '.join(name for one in every for name in one.names)}")
    for option, flag in OPTIONS.items():
        if getattr(options, option) not in LEFT_OUT and option not in family.options:
            takers = ", ".join(name for one in every if option in one.options for name in one.names)
            raise InputError(f"{options.name} has no {flag}", f"leave it out: it is for {takers}")
    check_place(options.out)
    return family.make(options, executor)


def _of_images(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.bg.images.figures import make_figure, recipe_of
    from twinsplit.papers.bg.images.given_figures import draw_figure

    _check_given(options)
    if len(options.runs) > 1:
        raise InputError(f"{options.name} shows 1 run, {len(options.runs)} were given", "give one as --run RUN")
    if options.runs:
        return draw_figure(options.name, options.runs[0], options.out, executor)
    return make_figure(
        options.name, options.scale, options.out, recipe_of(options.scale, options.seed, options.seeds, options.data), executor
    )


def _hierarchical(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.bg.sequences.figures import make_figure
    from twinsplit.papers.bg.sequences.given_figures import draw_figure

    _check_given(options)
    if options.runs:
        return draw_figure(options.name, options.runs, options.out, executor)
    return make_figure(options.name, options.scale, options.out, options.seed, options.seeds, executor)


def _check_given(options: FigureOptions) -> None:
    """What decides a run that would be trained decides nothing about runs that are given."""
    if options.runs and options.seeds is not None:
        raise InputError("--seeds with --run", "leave one out: the runs that are given have their networks")
    if options.runs and options.data is not None:
        raise InputError("--data with --run", "leave one out: a run that is given has its data")


def _on_a_ladder(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.gahb.figures import make_figure, recipes_of

    return make_figure(
        options.name,
        options.scale,
        options.out,
        recipes_of(options.scale, options.seed, options.seeds, options.data, options.out),
        executor,
    )


def _reranked(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.gahb.figures import make_figure, recipes_of
    from twinsplit.papers.rp.nearest import Eye

    rungs = recipes_of(options.scale, options.seed, options.seeds, options.data, options.out)
    return make_figure(options.name, options.scale, options.out, rungs, executor, Eye.of(options.lpips_weights))


def _together(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.gahb.together import make_figure, recipes_of

    return make_figure(
        options.scale, options.out, recipes_of(options.scale, options.seed, options.seeds, options.data, options.out), executor
    )


def _controlled(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.rp.controlled_figures import make_figure, seeds_of

    return make_figure(
        options.name, options.scale, options.out, seeds_of(options.scale, options.seed, options.seeds), options.data, executor
    )


def _rates(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.gahb.rates import make_figure

    return make_figure(options.scale, options.out, options.seed, options.seeds, executor)


def _gtv(options: FigureOptions, executor: Executor) -> list[Path]:
    from twinsplit.papers.gtv.figures import make_figure

    return make_figure(options.name, options.scale, options.out, options.seed)
