"""The families of figures: which names each has, which options it takes, and who makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from twinsplit.errors import InputError
from twinsplit.execution.local import Crew
from twinsplit.runs.places import check_place

if TYPE_CHECKING:
    from twinsplit.cli.command import Figure

Make = Callable[["Figure", Crew], list[Path]]
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


def make(asked: "Figure", hands: Crew) -> list[Path]:
    """The paths of a figure; InputError for a name that is none, and for options that it does not take."""
    every = families()
    family = next((one for one in every if asked.name in one.names), None)
    if family is None:
        raise InputError(f"there is no figure {asked.name!r}", f"choose one of {', '.join(name for one in every for name in one.names)}")
    for option, flag in OPTIONS.items():
        if getattr(asked, option) not in LEFT_OUT and option not in family.options:
            takers = ", ".join(name for one in every if option in one.options for name in one.names)
            raise InputError(f"{asked.name} has no {flag}", f"leave it out: it is for {takers}")
    check_place(asked.out)
    return family.make(asked, hands)


def _of_images(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.bg.images.figures import make_figure, recipe_of
    from twinsplit.papers.bg.images.given_figures import draw_figure

    _check_given(asked)
    if len(asked.runs) > 1:
        raise InputError(f"{asked.name} shows 1 run, {len(asked.runs)} were given", "give one as --run RUN")
    if asked.runs:
        return draw_figure(asked.name, asked.runs[0], asked.out, hands)
    return make_figure(asked.name, asked.scale, asked.out, recipe_of(asked.scale, asked.seed, asked.seeds, asked.data), hands)


def _hierarchical(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.bg.sequences.figures import make_figure
    from twinsplit.papers.bg.sequences.given_figures import draw_figure

    _check_given(asked)
    if asked.runs:
        return draw_figure(asked.name, asked.runs, asked.out, hands)
    return make_figure(asked.name, asked.scale, asked.out, asked.seed, asked.seeds, hands)


def _check_given(asked: "Figure") -> None:
    """What decides a run that would be trained decides nothing about runs that are given."""
    if asked.runs and asked.seeds is not None:
        raise InputError("--seeds with --run", "leave one out: the runs that are given have their networks")
    if asked.runs and asked.data is not None:
        raise InputError("--data with --run", "leave one out: a run that is given has its data")


def _on_a_ladder(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.gahb.figures import make_figure, recipes_of

    return make_figure(asked.name, asked.scale, asked.out, recipes_of(asked.scale, asked.seed, asked.seeds, asked.data, asked.out), hands)


def _reranked(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.gahb.figures import make_figure, recipes_of
    from twinsplit.papers.rp.nearest import Eye

    rungs = recipes_of(asked.scale, asked.seed, asked.seeds, asked.data, asked.out)
    return make_figure(asked.name, asked.scale, asked.out, rungs, hands, Eye.of(asked.lpips_weights))


def _together(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.gahb.together import make_figure, recipes_of

    return make_figure(asked.scale, asked.out, recipes_of(asked.scale, asked.seed, asked.seeds, asked.data, asked.out), hands)


def _controlled(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.rp.controlled_figures import make_figure, seeds_of

    return make_figure(asked.name, asked.scale, asked.out, seeds_of(asked.scale, asked.seed, asked.seeds), asked.data, hands)


def _rates(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.gahb.rates import make_figure

    return make_figure(asked.scale, asked.out, asked.seed, asked.seeds, hands)


def _gtv(asked: "Figure", hands: Crew) -> list[Path]:
    from twinsplit.papers.gtv.figures import make_figure

    return make_figure(asked.name, asked.scale, asked.out, asked.seed)
