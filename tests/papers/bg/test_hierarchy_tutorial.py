"""The tutorial of the hierarchical world runs at smoke scale, and what it says is so."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from twinsplit.execution.local import Inline
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import SMOKE

pytest.importorskip("matplotlib", reason="pip install 'twinsplit[report]'")
SMALL = ("--scale", "smoke", "--workers", "1")
TUTORIAL = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "tutorials" / "hierarchy.py"))


def test_the_tutorial_tells_its_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = TUTORIAL["main"]([*SMALL, "--out", str(tmp_path / "run")])
    said = capsys.readouterr().out
    for title in ("1. A world", "2. The exact denoiser", "3. Twins", "4. Coarse first", "5. The phase", "6. The figure"):
        assert title in said
    assert f"Verdict: {story.onset.verdict}. {story.onset.reason}" in said
    assert (tmp_path / "run" / "hierarchy.png").read_bytes().startswith(b"\x89PNG")
    assert story.curves.divergence.shape == (8, 1, 48)
    assert story.curves.test_loss.shape == (8, 2, 48)
    assert (story.to_oracle.min(0) < story.to_oracle[0]).all()  # training brings the networks nearer to every oracle, for a while
    again = TUTORIAL["main"]([*SMALL, "--out", str(tmp_path / "run")])
    assert "training loss" not in capsys.readouterr().out  # nothing is trained twice
    np.testing.assert_array_equal(again.curves.divergence, story.curves.divergence)


def test_its_networks_are_those_of_the_quickstart(tmp_path: Path) -> None:
    session = pipeline.begin(tmp_path / "run", SMOKE, Inline())
    pipeline.train_stage(session)
    session.lock.close()
    TUTORIAL["main"]([*SMALL, "--out", str(tmp_path / "tutorial")])
    name = "checkpoints/step_00000060.safetensors"
    assert (tmp_path / "tutorial" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_the_exact_oracle_pays_least() -> None:
    losses = TUTORIAL["show_oracles"](TUTORIAL["draw_world"](SMOKE))
    assert losses[0] == min(losses)
    assert losses[0] < losses[-1]
