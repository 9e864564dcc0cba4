"""One ladder at smoke scale, with all its figures, for every test that only reads it."""

from pathlib import Path
from typing import Any

import pytest

from twinsplit.execution.local import Inline
from twinsplit.papers.figure import Options, make, run_name
from twinsplit.papers.gahb.figures import NAMES
from twinsplit.papers.gahb.ladder import LADDERS
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

RECIPES = LADDERS["smoke"].recipes(0)


@pytest.fixture(scope="session")
def ladder_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    folder = tmp_path_factory.mktemp("ladder")
    for name in NAMES:
        make(name, Options("smoke", folder), Inline())
    return folder


@pytest.fixture(scope="session")
def ladder_rungs(ladder_out: Path) -> list[Run[Any]]:
    return [Run.open(ladder_out / "runs" / run_name(recipe)) for recipe in RECIPES.values()]


@pytest.fixture(scope="session")
def ladder_world() -> ImageWorld:
    return ImageWorld.of(RECIPES[16])
