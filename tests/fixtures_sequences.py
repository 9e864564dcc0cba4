"""One set of smoke figures for the tests that read them; those that change something copy what they change."""

from pathlib import Path

import pytest

from twinsplit.execution.local import Inline
from twinsplit.papers.bg.sequences.figures import NAMES
from twinsplit.papers.bg.sequences.settings import SETTINGS
from twinsplit.papers.figure import Options, make, run_name
from twinsplit.runs.store import Run


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every hierarchical figure at smoke scale, and their runs."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    out = tmp_path_factory.mktemp("figures")
    for name in NAMES:
        make(name, Options("smoke", out), Inline())
    return out


@pytest.fixture(scope="session")
def middle(figures: Path) -> Run:
    """The run of fig4a, fig4b, fig5 and fig11."""
    return Run.open(figures / "runs" / run_name(SETTINGS["smoke"].recipe("middle", 0), "middle"))
