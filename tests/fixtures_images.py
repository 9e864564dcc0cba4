"""One set of smoke figures of digits for the tests that read them; those that change something copy what they change."""

from pathlib import Path

import pytest

from twinsplit.execution.local import Inline
from twinsplit.papers.bg.images.figures import NAMES
from twinsplit.papers.bg.images.settings import SETTINGS
from twinsplit.papers.figure import Options, make, run_name
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld


@pytest.fixture(scope="session")
def image_recipe() -> ImageRecipe:
    """The run of all figures at full resolution."""
    return SETTINGS["smoke"].recipe(0)


@pytest.fixture(scope="session")
def image_figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every figure of images at smoke scale, and their three runs."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    out = tmp_path_factory.mktemp("image-figures")
    for name in NAMES:
        make(name, Options("smoke", out), Inline())
    return out


@pytest.fixture(scope="session")
def image_run(image_figures: Path, image_recipe: ImageRecipe) -> Run[ImageRecipe]:
    return Run.open(image_figures / "runs" / run_name(image_recipe))


@pytest.fixture(scope="session")
def image_world(image_recipe: ImageRecipe) -> ImageWorld:
    return ImageWorld.of(image_recipe)
