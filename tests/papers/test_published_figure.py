"""The registry of figures and the one way they are made, on a figure that only this test knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers import catalogue, figure
from twinsplit.papers.figure import Options, Panels, PublishedFigure, Recipes, Registry, make
from twinsplit.papers.lines import bare
from twinsplit.pipeline.stages import Session
from twinsplit.report.figure import Axes
from twinsplit.runs.store import Run

BIASED = ("fig1a", "fig1b", "fig2", "fig3b", "fig4a", "fig4b", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11")
TWO = ("gahb-psnr", "gahb-twins", "gahb-bases", "gahb-onset", "gahb-rates", "rp-lpips", "rp-attributes", "rp-identities")
VARIANCE = ("gtv1", "gtv2", "gtv3", "gtv-twins")


@final
@dataclass(frozen=True)
class Parabola(PublishedFigure):
    """A figure without runs that notes how often it is drawn."""

    drawn: list[int]

    def recipes(self, options: Options) -> Recipes:
        return {}

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        raise AssertionError

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        self.drawn.append(options.seed)
        x = np.arange(1.0, 5.0)
        return Panels([Axes("panel", "x", "y", (bare("line", x, x**2 + options.seed, "blue"),))], "caption", columns=1)

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        return super().configuration(options, recipes) | {"seed": options.seed}


@pytest.fixture
def parabola(monkeypatch: pytest.MonkeyPatch) -> Parabola:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    registry, one = Registry(), Parabola("parabola", "y against x", [])
    assert registry.register(one) == ("parabola",)
    monkeypatch.setattr(figure, "FIGURES", registry)
    return one


def test_every_published_figure_is_registered_and_says_what_it_measures() -> None:
    assert sorted(catalogue.FIGURES) == sorted((*BIASED, *TWO, *VARIANCE))
    for name in catalogue.FIGURES:
        words = set(catalogue.FIGURES[name].title.lower().replace(",", "").split())
        assert not words & {"while", "once", "move", "part", "converge", "same images"}, name


def test_a_figure_is_made_once_for_the_same_configuration(parabola: Parabola, tmp_path: Path) -> None:
    files = make("parabola", Options(out=tmp_path), Inline())
    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()}
    assert {path.suffix for path in files} == {".png", ".pdf", ".html", ".parquet", ".json"}
    assert make("parabola", Options(out=tmp_path), Inline()) == files
    assert make("parabola", Options(out=tmp_path, seed=1), Inline()) == files
    assert parabola.drawn == [0, 1]


def test_what_cannot_be_made_is_refused(parabola: Parabola, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of parabola"):
        make("hyperbola", Options(out=tmp_path), Inline())
    with pytest.raises(InputError, match="parabola has no --run"):
        make("parabola", Options(out=tmp_path, runs=(tmp_path,)), Inline())
    assert not list(tmp_path.iterdir())


def test_figures_without_networks_have_no_device() -> None:
    """An option that a figure does not take is refused instead of ignored."""
    from twinsplit.papers.catalogue import Options, make

    with pytest.raises(InputError, match=r"gtv1 has no --device; leave it out: it is for fig1a, .*rp-identities$"):
        make("gtv1", Options(), Inline("cuda"))
