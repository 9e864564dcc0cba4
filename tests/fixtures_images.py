"""One set of smoke figures of digits for the tests that read them; those that change something copy what they change."""

from pathlib import Path

import pytest

from twinsplit.execution.local import Inline
from twinsplit.papers.bg.images.figures import FIGURES, make_figure, recipe_of
from twinsplit.papers.bg.images.settings import run_name
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld


@pytest.fixture(scope="session")
def image_recipe() -> ImageRecipe:
    """The run of all figures at full resolution."""
    return recipe_of("smoke", 0, None, None)


@pytest.fixture(scope="session")
def image_figures(image_recipe: ImageRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every figure of images at smoke scale, and their three runs."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    out = tmp_path_factory.mktemp("image-figures")
    for name in FIGURES:
        make_figure(name, "smoke", out, image_recipe, Inline())
    return out


@pytest.fixture(scope="session")
def image_run(image_figures: Path, image_recipe: ImageRecipe) -> Run[ImageRecipe]:
    return Run.open(image_figures / "runs" / run_name(image_recipe))


@pytest.fixture(scope="session")
def image_world(image_recipe: ImageRecipe) -> ImageWorld:
    return ImageWorld.of(image_recipe)
