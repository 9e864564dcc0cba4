"""A world of sixty lines passes every stage: train, measure, decide, page, dry run, figures, the command line."""

import shutil
from pathlib import Path

import pytest
import torch

import twinsplit as ts
from commands import run_in
from foreign_world import PointsRecipe, PointsWorld
from twinsplit.errors import InputError
from twinsplit.recipes import preset_of, recipe_from
from twinsplit.runs.rows import Table
from twinsplit.worlds.registry import register, world_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ts.Run:
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    made = ts.train(PointsRecipe(name="smoke"), tmp_path_factory.mktemp("points") / "run")
    ts.measure(made)
    return made


def test_its_recipe_is_found_by_its_name() -> None:
    recipe = recipe_from({"world": "points", "base": "smoke", "seed": 3}, "here")
    assert recipe == PointsRecipe(name="smoke", seed=3)
    assert isinstance(world_of(recipe), PointsWorld)
    assert preset_of("points", "smoke") == PointsRecipe(name="smoke")
    with pytest.raises(InputError, match="points"):  # the names that there are
        recipe_from({"world": "point"}, "here")


def test_a_world_whose_recipe_names_another_is_refused() -> None:
    class Other(PointsWorld):  # type: ignore[misc]
        name = "other"

    with pytest.raises(InputError, match="other"):
        register(Other)


def test_every_stage(run: ts.Run) -> None:
    onset = ts.decide(run)
    assert onset.members == 3
    page = ts.report(run).read_text()
    assert "Disagreement of the twins" in page
    assert "points" in page


def test_measures_are_what_they_say(run: ts.Run) -> None:
    world = PointsWorld(run.recipe)
    step = run.steps()[-1]
    denoisers = world.load(run, step).denoisers()
    probe = world.generic_probes().held_out_fixed
    a, b = (denoisers[k](probe.x_t, probe.t) for k in (0, 2))
    eps = [world.schedule.noise_prediction(probe.x_t, p.mean, probe.t) for p in (a, b)]
    expected = (eps[0] - eps[1]).square().sum(1) / 2  # Gaussians of one variance around x_0
    rows = Table.read(run, "sample_split_divergence").where(step=step, member_a=0, member_b=2)
    torch.testing.assert_close(torch.tensor(rows.means).float(), expected.mean()[None], rtol=1e-3, atol=1e-5)


def test_the_command_line_knows_it(run: ts.Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    for words in (("measure", copy, "--workers", "1"), ("onset", copy), ("report", copy)):
        assert run_in(tmp_path, *words).returncode == 0
    done = run_in(tmp_path, "train", "--world", "points", "--scale", "smoke", "--out", "again", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "status.json").is_file()
    done = run_in(tmp_path, "train", "--world", "points", "--scale", "smoke", "--dry-run", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "3 splits of 24" in done.stdout


def test_samples_are_drawn_and_measured(run: ts.Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    copy = ts.Run.open(tmp_path / "run")
    ts.measure(copy, ("nearest_neighbours",))
    near = Table.read(copy, "nearest_neighbours")
    assert set(near.columns["source"].tolist()) == {"generated", "held_out"}
    assert (near.means >= 0).all()


def test_figures_of_other_worlds_refuse_it_by_what_it_holds(run: ts.Run, tmp_path: Path) -> None:
    for name in ("fig4a", "fig2"):
        done = run_in(tmp_path, "figure", name, "--run", run.path, "--out", "figures")
        assert done.returncode == 2, done.stderr
        assert f"{run.path} is a run on " in done.stderr
        assert "give a run" in done.stderr
    assert not (tmp_path / "figures").exists()
