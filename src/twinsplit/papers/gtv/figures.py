"""Generalization through variance, figure by figure: gtv1, gtv2, gtv3 and the twins in closed form ([GTV]; PROTOCOL section 5).

tables = gtv2_tables("laptop")  # pure: the numbers
drawing = FIGURES["gtv2"].draw(tables)
make_figure("gtv2", "laptop", Path("out"))    # both, and everything stored
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from twinsplit.errors import InputError
from twinsplit.papers.figure_store import existing, store_figure
from twinsplit.papers.gtv.drawings import draw_gtv1, draw_gtv2, draw_gtv3
from twinsplit.papers.gtv.settings import CIRCLE, FRACTION_GRID, LINE, RIDGE, STEPS, preset
from twinsplit.papers.gtv.tables import Tables, gtv1_tables, gtv2_tables, gtv3_tables
from twinsplit.papers.gtv.twins_figure import TWINS, draw_twins, twins_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
@dataclass(frozen=True)
class Recipe:
    """One figure: its tables from (scale, seed), its drawing from the tables, its settings from the scale."""

    tables: Callable[[str, int], Tables]
    draw: "Callable[[Tables], Figure]"
    settings: Callable[[str], Any]

    def configuration(self, scale: str, seed: int) -> dict[str, Any]:
        """Everything the numbers depend on."""
        settings = self.settings(scale)
        plain = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {"grid": settings}
        return {"scale": scale, "seed": seed, "ridge": RIDGE, "steps": STEPS, "settings": plain}


FIGURES: dict[str, Recipe] = {
    "gtv1": Recipe(gtv1_tables, draw_gtv1, lambda scale: preset(FRACTION_GRID, scale)),
    "gtv2": Recipe(gtv2_tables, draw_gtv2, lambda scale: preset(LINE, scale)),
    "gtv3": Recipe(gtv3_tables, draw_gtv3, lambda scale: preset(CIRCLE, scale)),
    "gtv-twins": Recipe(twins_tables, draw_twins, lambda scale: preset(TWINS, scale)),
}


def make_figure(name: str, scale: str, out: Path, seed: int = 0) -> list[Path]:
    """Compute, draw and store one figure, unless it stands; its paths. InputError for an unknown one, before anything is written."""
    if name not in FIGURES:
        raise InputError(f"there is no figure {name!r} among those of [GTV]", f"choose one of {', '.join(FIGURES)}")
    recipe = FIGURES[name]
    configuration = recipe.configuration(scale, seed)
    if found := existing(out, name, configuration):
        return found
    tables = recipe.tables(scale, seed)
    return store_figure(out, name, recipe.draw(tables), tables, configuration)
