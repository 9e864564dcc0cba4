"""Every hierarchical figure at smoke scale: its files, its runs and what they share, and how it goes on where it stopped."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.statistics import mean_over, mean_over_pairs
from twinsplit.onset.minima import find_minima
from twinsplit.papers import figure as papers
from twinsplit.papers.bg.claims import c3
from twinsplit.papers.bg.sequences.figures import NAMES
from twinsplit.papers.bg.sequences.settings import SETTINGS
from twinsplit.papers.figure import FIGURES, Options, make, run_name
from twinsplit.papers.lines import epochs, landmarks
from twinsplit.pipeline.landmarks import LOSS, NEAREST, SPLIT, landmarks_of
from twinsplit.pipeline.replicates import oracle_curve, split_curve
from twinsplit.recipes import read_recipe
from twinsplit.report.figure import Figure
from twinsplit.report.stored import split_means
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run
from twinsplit.training.batches import steps_per_epoch
from twinsplit.worlds.sequences.world import HierarchicalWorld

PANELS = {"fig1b": 2, "fig3b": 3, "fig4a": 2, "fig4b": 4, "fig5": 2, "fig6": 4, "fig9": 4, "fig10": 4, "fig11": 1}
KINDS = (".png", ".pdf", ".html", "-curves.parquet", "-curves.json", "-marks.parquet", "-marks.json", "-config.json")


def again(figures: Path, name: str) -> list[Path]:
    return make(name, Options("smoke", figures), Inline())


def figure_of(name: str, runs: list[Run]) -> Figure:
    return papers.figure_of(FIGURES[name], FIGURES[name].draw(Options(), runs))


def stamps(folder: Path) -> dict[Path, int]:
    """When files were last written; the lock and the status of a run say who looked last."""
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_stored_whole(figures: Path, name: str) -> None:
    files = again(figures, name)
    assert files == [figures / f"{name}{kind}" for kind in KINDS]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    curves = pq.read_table(figures / f"{name}-curves.parquet")
    assert json.loads((figures / f"{name}-curves.json").read_text()) == curves.to_pydict()
    assert len(set(curves.column("panel").to_pylist())) == PANELS[name]
    configuration = json.loads((figures / f"{name}-config.json").read_text())
    assert configuration["scale"] == "smoke"
    for run, recipe in configuration["runs"].items():
        assert json.loads((figures / run / "config.json").read_text()) == json.loads(json.dumps(recipe))


def test_the_same_command_touches_nothing(figures: Path) -> None:
    before = stamps(figures)
    for name in NAMES:
        again(figures, name)
    assert stamps(figures) == before


def test_figures_share_runs(figures: Path) -> None:
    runs = {name: set(json.loads((figures / f"{name}-config.json").read_text())["runs"]) for name in NAMES}
    assert runs["fig4a"] == runs["fig4b"] == runs["fig5"] == runs["fig11"] < runs["fig3b"]
    assert runs["fig9"] | runs["fig10"] | runs["fig4a"] == runs["fig3b"]
    assert runs["fig1b"].isdisjoint(runs["fig3b"])  # two networks on each split
    assert len(list((figures / "runs").iterdir())) == len(set().union(*runs.values())) == 6


@pytest.fixture
def copy(figures: Path, middle: Run, tmp_path: Path) -> Path:
    """fig4a and its run, to be damaged."""
    shutil.copytree(middle.path, tmp_path / "runs" / middle.path.name)
    for file in figures.glob("fig4a*"):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", [".png", ".html", "-curves.parquet", "-config.json"])
def test_a_lost_file_comes_back_the_same(copy: Path, kind: str) -> None:
    lost, runs = copy / f"fig4a{kind}", stamps(copy / "runs")
    content = lost.read_bytes()
    lost.unlink()
    again(copy, "fig4a")
    assert lost.read_bytes() == content
    after = stamps(copy / "runs")
    assert {p for p in runs if after[p] != runs[p]} <= {p for p in runs if p.name in ("status.json", "environment.json", "data.json")}


def test_a_lost_measurement_comes_back_the_same(copy: Path, middle: Run) -> None:
    (copy / "fig4a.png").unlink()
    part = f"measurements/test_loss.parquet/step_{middle.steps()[2]:08d}.parquet"
    (copy / "runs" / middle.path.name / part).unlink()
    again(copy, "fig4a")
    assert (copy / "runs" / middle.path.name / part).read_bytes() == (middle.path / part).read_bytes()


def test_another_seed_or_number_of_networks_is_another_run(figures: Path) -> None:
    figure = FIGURES["fig4a"]
    names = {name for seed in (0, 1) for splits in (3, 4) for name in figure.recipes(Options("smoke", seed=seed, seeds=splits))}
    assert len(names) == 4
    assert all(name.startswith("middle-n6-") for name in names)
    assert figure.recipes(Options("smoke")).keys() == figure.recipes(Options("smoke", seeds=3)).keys()


def test_one_held_out_set_for_every_size(figures: Path) -> None:
    """Disjoint by content from every split of every size, as fig. 3b compares them."""
    runs = [Run.open(path) for path in sorted((figures / "runs").iterdir())]
    worlds = [HierarchicalWorld.of(run.recipe) for run in runs]
    held_out = worlds[0].splits.held_out
    held = {tuple(row) for row in worlds[0].data.sequences[held_out].tolist()}
    for run, world in zip(runs, worlds, strict=True):
        assert run.read_json("data.json")["rows"]["held_out"] == held_out.tolist()
        assert held.isdisjoint({tuple(row) for row in world.data.sequences[world.splits.rows.ravel()].tolist()})
    assert len({run.recipe.data.split_size for run in runs}) == 3


@pytest.mark.parametrize("scale", SETTINGS)
def test_settings_of_every_scale_are_recipes(scale: str) -> None:
    setting = SETTINGS[scale]
    sizes = [setting.recipe(size, 0) for size in ("small", "middle", "large")]
    assert [r.data.split_size for r in sizes] == sorted({r.data.split_size for r in sizes})
    assert len({r.data.samples for r in sizes}) == len({r.data.apart for r in sizes}) == 1
    for recipe in sizes:
        assert recipe.data.splits * recipe.data.split_size <= recipe.data.apart < recipe.data.samples
        assert recipe.checkpoint_steps()[-1] == recipe.training.steps
    with pytest.raises(InputError, match="3 or more"):
        setting.recipe("small", 0, 2)


def test_the_paper_scale_is_the_published_one() -> None:
    for size, n, last in (("small", 5_000, 20_000), ("middle", 12_000, 30_000), ("large", 70_000, 35_000)):
        recipe = SETTINGS["paper"].recipe(size, 0)  # type: ignore[arg-type]
        assert (recipe.data.split_size, recipe.data.splits, recipe.training.batch, recipe.diffusion.T) == (n, 15, 512, 500)
        assert recipe.training.steps == last * steps_per_epoch(n, 512)
        assert recipe.training.first_checkpoint == 100 * steps_per_epoch(n, 512)
        assert (recipe.network.width, recipe.network.layers, recipe.training.precision) == (512, 8, "bfloat16")


@pytest.mark.parametrize(("name", "file"), [("fig9", "paper-5000.toml"), ("fig5", "paper-12000.toml"), ("fig10", "paper-70000.toml")])
def test_a_published_recipe_file_is_the_run_of_its_figure(name: str, file: str) -> None:
    """And the document names the folder in which the figure looks for it."""
    ((folder, recipe),) = FIGURES[name].recipes(Options("paper")).items()
    assert recipe == read_recipe(Path(file))
    text = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert f"twinsplit train {file}" in text
    assert f"/runs/{folder}" in text


def curves(figures: Path, name: str, panel: str, line: str) -> dict[str, np.ndarray]:
    rows = [r for r in pq.read_table(figures / f"{name}-curves.parquet").to_pylist() if panel in r["panel"] and r["line"] == line]
    assert rows, (panel, line)
    return {key: np.array([np.nan if r[key] is None else r[key] for r in rows]) for key in ("x", "y", "low", "high")}


def paired(figures: Path) -> Run:
    return Run.open(figures / "runs" / run_name(SETTINGS["smoke"].recipe("middle", 0, 3, 2), "middle"))


def test_bands_of_twins_leave_out_one_split_at_a_time(figures: Path) -> None:
    """fig1b: six networks on three splits; pairs on different data and pairs on the same data, each averaged over both directions."""
    run = paired(figures)
    rows = [r for r in run.table("sample_split_divergence").to_pylist() if r["step"] == run.steps()[-1]]
    both = {(r["member_a"], r["member_b"]): float(np.mean(r["values"])) for r in rows}
    splits = [split for split, _ in run.recipe.members]
    for line, apart in (("twins: disjoint data", True), ("same data, other seed", False)):
        pairs = [(a, b) for a, b in combinations(range(6), 2) if (splits[a] != splits[b]) == apart]
        expected = mean_over_pairs([(both[p] + both[p[::-1]]) / 2 for p in pairs], pairs, splits)
        found = curves(figures, "fig1b", "held-out", line)
        assert (found["y"][-1], found["low"][-1], found["high"][-1]) == pytest.approx((expected.value, *expected.interval()), rel=1e-6)


def test_bands_of_networks_count_splits(figures: Path) -> None:
    """Two networks on one split are one replicate."""
    run = paired(figures)
    rows = [r for r in run.table("train_oracle_divergence").to_pylist() if (r["step"], r["truncation"]) == (run.steps()[0], 1)]
    means = [np.mean([np.mean(r["values"]) for r in rows if r["split"] == split]) for split in range(3)]
    expected = mean_over(means, "splits")
    found = curves(figures, "fig1b", "training data", "KL(BP_1, model)")
    assert (found["y"][0], found["low"][0], found["high"][0]) == pytest.approx((expected.value, *expected.interval()), rel=1e-6)
    table = Table.read(run, "test_loss")
    assert len(split_means(table.where(step=table.steps[0]))) == len(table.where(step=table.steps[0]).means) / 2


def test_curves_are_against_epochs(figures: Path, middle: Run) -> None:
    found = curves(figures, "fig4a", "losses", "test loss")
    assert found["x"].tolist() == epochs(middle, np.array(middle.steps())).tolist()
    assert steps_per_epoch(6, 6) == 1
    rows = middle.table("test_loss").to_pylist()
    expected = [np.mean([np.mean(r["values"]) for r in rows if r["step"] == step]) for step in middle.steps()]
    np.testing.assert_allclose(found["y"], expected, rtol=1e-6)


def test_terms_of_the_loss_sum_to_it(figures: Path) -> None:
    oracle, excess = (curves(figures, "fig4b", "averaged over t", f"{term} term, held-out data") for term in ("oracle", "excess"))
    np.testing.assert_allclose(oracle["y"] + excess["y"], curves(figures, "fig4a", "losses", "test loss")["y"], rtol=1e-5)


def test_marks_are_the_minima_with_their_intervals(figures: Path, middle: Run) -> None:
    stored = pq.read_table(figures / "fig4a-marks.parquet").to_pylist()
    found = landmarks(middle, NEAREST, LOSS)
    assert [(r["label"], r["x"], r["low"], r["high"]) for r in stored[:2]] == [(m.label, m.x, m.low, m.high) for m in found]
    for m in found:
        assert ("(not reached)" in m.label) == (m.x is None)


def test_all_minima_of_sequential_learning_are_marked(figures: Path) -> None:
    """As the claims find them, on the curves; also on training data and of pairs on the same data."""
    run = paired(figures)
    rows = pq.read_table(figures / "fig1b-marks.parquet").to_pylist()
    held_out = [row for row in rows if "held-out" in row["panel"]]
    assert len(rows) == 2 * len(held_out) == 10
    minima = find_minima([split_curve(run), *(oracle_curve(run, k) for k in range(3))])
    for row, name in zip(held_out, ("BP_0", "BP_1", "BP_2", SPLIT), strict=False):
        turn = minima.turn(name)
        assert [row[key] for key in ("x", "low", "high")] == [
            None if step is None else pytest.approx(step / steps_per_epoch(6, 6)) for step in (turn.step, *turn.interval)
        ]
        assert ("(not reached)" in row["label"]) == (turn.step is None)
    for row in rows:
        found = curves(figures, "fig1b", row["panel"], row["label"].removeprefix("minimum of ").removesuffix(" (not reached)"))
        assert found["y"].min() <= row["y"] * (1 + 1e-9)
        assert row["y"] <= found["y"].max()


def test_the_peak_of_a_profile_is_marked_as_the_claim_has_it(figures: Path, middle: Run) -> None:
    (mark,) = (row for row in pq.read_table(figures / "fig3b-marks.parquet").to_pylist() if row["panel"].startswith("n = 6,"))
    part = c3(middle, landmarks_of(middle))
    assert (mark["x"], mark["low"], mark["high"]) == (part.value, *part.interval)
    assert mark["label"].startswith("peak of k = 0")


def test_bands_are_not_cut_off(middle: Run) -> None:
    """Of the second half of every curve; the first fall may leave the axes."""
    for axes in figure_of("fig4b", [middle]).axes:
        low, high = axes.y_range
        for line in axes.lines:
            late = slice(len(line.x) // 2, None)
            assert low < np.nanmin(line.low[late]) <= np.nanmax(line.high[late]) < high


def test_captions_count_and_measure(figures: Path, middle: Run) -> None:
    assert "the empirical denoiser of 6 training sequences" in figure_of("fig11", [middle]).caption
    rows = [r for r in middle.table("loss_decomposition").to_pylist() if (r["data"], r["times"], r["term"]) == ("test", "all", "excess")]
    excess = np.mean([np.mean(r["values"]) for r in rows if r["step"] == landmarks_of(middle).loss])
    assert f"have {excess:+.2g} nats per token" in figure_of("fig4b", [middle]).caption
    recipes = FIGURES["fig3b"].recipes(Options("smoke"))
    runs = [Run.open(figures / "runs" / name) for name in recipes]
    assert "the same held-out sequences" in figure_of("fig3b", runs).caption
    assert "splits of the run" in figure_of("fig3b", runs[:1]).caption
    for name, run in (("fig4a", middle), ("fig4b", middle), ("fig9", runs[0])):
        assert "upright bands: their 95% intervals" in figure_of(name, [run]).caption


def test_a_figure_is_drawn_from_stored_numbers_alone(figures: Path, middle: Run) -> None:
    stored = pq.read_table(figures / "fig11-curves.parquet")
    assert figure_of("fig11", [middle]).tables()["curves"].equals(stored)
    assert set(stored.column("line").to_pylist()) == {"networks", "empirical", "BP_0", "BP_1", "BP_2"}
