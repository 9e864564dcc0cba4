"""One ladder at smoke scale, with all its figures, for every test that only reads it."""

from pathlib import Path
from typing import Any

import pytest

from twinsplit.execution.local import Inline
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.papers.gahb import figures
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

RECIPES = figures.recipes_of("smoke", 0, None, None)


@pytest.fixture(scope="session")
def ladder_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    folder = tmp_path_factory.mktemp("ladder")
    for name in figures.NAMES:
        figures.make_figure(name, "smoke", folder, RECIPES, Inline())
    return folder


@pytest.fixture(scope="session")
def ladder_rungs(ladder_out: Path) -> list[Run[Any]]:
    return [Run.open(ladder_out / "runs" / run_name(recipe)) for recipe in RECIPES.values()]


@pytest.fixture(scope="session")
def ladder_world() -> ImageWorld:
    return ImageWorld.of(RECIPES[16])
