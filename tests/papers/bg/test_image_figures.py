"""Every figure of images at smoke scale: its files, its numbers, what it was made from, and that what stands is not made again."""

import json
import re
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.statistics import mean_over, mean_over_pairs
from twinsplit.papers import figure as papers
from twinsplit.papers.bg.images import panels
from twinsplit.papers.bg.images.figures import NAMES
from twinsplit.papers.bg.images.settings import FULL, SETTINGS
from twinsplit.papers.bg.images.turns import ALIKE, LOWEST, minima_at
from twinsplit.papers.figure import FIGURES, Options, make, run_name
from twinsplit.papers.lines import epochs
from twinsplit.pipeline.landmarks import SPLIT, checkpoint_at
from twinsplit.recipes import ImageRecipe
from twinsplit.report.figure import Figure
from twinsplit.report.from_images import typical
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

TURNS = ("-turns.parquet", "-turns.json")
KINDS = (".png", ".pdf", ".html", "-curves.parquet", "-curves.json", "-marks.parquet", "-marks.json", "-config.json")
PANELS = {"fig1a": 2, "fig2": 8, "fig7": 1, "fig8": 0}
LEVELS = ["4 components", "16 components", FULL]


def figure_of(name: str, run: Run[Any]) -> Figure:
    return papers.figure_of(FIGURES[name], FIGURES[name].draw(Options("smoke"), [run]))


def stamps(folder: Path) -> dict[Path, int]:
    """When files were last written; the lock says who looked last."""
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_stored_whole(image_figures: Path, name: str) -> None:
    files = [image_figures / f"{name}{kind}" for kind in KINDS]
    assert all(file.is_file() for file in files)
    assert files[0].read_bytes().startswith(b"\x89PNG")
    curves = pq.read_table(image_figures / f"{name}-curves.parquet")
    assert json.loads((image_figures / f"{name}-curves.json").read_text()) == curves.to_pydict()
    assert len(set(curves.column("panel").to_pylist() if curves.num_rows else [])) == PANELS[name]
    configuration = json.loads((image_figures / f"{name}-config.json").read_text())
    assert len(configuration["runs"]) == (3 if name == "fig7" else 1)
    for run, recipe in configuration["runs"].items():
        assert json.loads((image_figures / run / "config.json").read_text()) == recipe


def test_the_same_command_touches_nothing(image_figures: Path) -> None:
    before = stamps(image_figures)
    for name in NAMES:
        kinds = [*KINDS[:-1], *(TURNS if name == "fig2" else ()), KINDS[-1]]
        assert make(name, Options("smoke", image_figures), Inline()) == [image_figures / f"{name}{kind}" for kind in kinds]
    assert stamps(image_figures) == before
    assert len(list((image_figures / "runs").iterdir())) == 3  # one run serves all four


def test_a_lost_figure_is_drawn_again_from_what_is_stored(image_figures: Path, image_run: Run[Any], tmp_path: Path) -> None:
    shutil.copytree(image_run.path, tmp_path / "runs" / image_run.path.name)
    for file in image_figures.glob("fig1a*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "fig1a.png").unlink()
    lost = f"measurements/sample_similarity.parquet/step_{image_run.steps()[2]:08d}.parquet"
    (tmp_path / "runs" / image_run.path.name / lost).unlink()
    before = stamps(tmp_path / "runs")
    make("fig1a", Options("smoke", tmp_path), Inline())
    for kind in KINDS:
        assert (tmp_path / f"fig1a{kind}").read_bytes() == (image_figures / f"fig1a{kind}").read_bytes(), kind
    assert (tmp_path / "runs" / image_run.path.name / lost).read_bytes() == (image_run.path / lost).read_bytes()
    touched = {p.name for p, when in stamps(tmp_path / "runs").items() if before.get(p) != when}
    step = f"step_{image_run.steps()[2]:08d}"
    assert touched <= {"status.json", "environment.json", "data.json", f"{step}.parquet", f"{step}.safetensors"}


def curve(figures: Path, name: str, panel: str, line: str) -> dict[str, np.ndarray]:
    rows = [r for r in pq.read_table(figures / f"{name}-curves.parquet").to_pylist() if panel in r["panel"] and r["line"] == line]
    assert rows, (panel, line)
    return {key: np.array([np.nan if r[key] is None else r[key] for r in rows]) for key in ("x", "y", "low", "high")}


def pair_means(run: Run[Any], measure: str, step: int, **wanted: object) -> dict[tuple[int, int], float]:
    """Unordered pairs -> the mean of both directions."""
    chosen = [r for r in run.table(measure).to_pylist() if all(r[key] == value for key, value in ({"step": step} | wanted).items())]
    both = {(r["member_a"], r["member_b"]): float(np.mean(r["values"])) for r in chosen}
    return {(a, b): (both[a, b] + both[b, a]) / 2 for a, b in combinations(range(3), 2)}


@pytest.mark.parametrize(
    ("name", "panel", "line", "measure", "wanted"),
    [
        ("fig1a", "samples of twins", "mean over pairs", "sample_similarity", {}),
        ("fig2", "t = 5: noise", "held-out images", "noise_similarity", {"t": 5}),
        ("fig2", "t = 10: noise", "training images of one twin", "train_noise_similarity", {"t": 10}),
        ("fig7", "coarser images", "frozen: 4 components", "level_similarity", {"level": "4 components"}),
        ("fig7", "coarser images", "twins, full resolution", "level_similarity", {"level": FULL}),
    ],
)
def test_lines_of_pairs_leave_out_one_split_at_a_time(
    image_figures: Path, image_run: Run[Any], name: str, panel: str, line: str, measure: str, wanted: dict[str, object]
) -> None:
    found, steps = curve(image_figures, name, panel, line), image_run.steps()
    for i, step in enumerate(steps):
        means = pair_means(image_run, measure, step, **wanted)
        expected = mean_over_pairs(list(means.values()), list(means), [0, 1, 2])
        assert (found["y"][i], found["low"][i], found["high"][i]) == pytest.approx((expected.value, *expected.interval()), rel=1e-6)
    assert found["x"].tolist() == [step / 2 for step in steps]  # two batches of 8 are a pass over 16 images
    assert found["x"].tolist() == epochs(image_run, np.array(steps, float)).tolist()


def test_what_lies_between_the_minima_is_stored(image_figures: Path, image_run: Run[Any]) -> None:
    rows = pq.read_table(image_figures / "fig2-turns.parquet").to_pylist()
    assert [row["t"] for row in rows] == list(image_run.recipe.measuring.times)
    for row in rows:
        minima = minima_at(image_run, row["t"])
        for name, turn in (("alike", minima.turn(ALIKE)), ("lowest", minima.turn(LOWEST))):
            assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == (turn.step, *turn.interval)
        between = minima.gap(ALIKE, LOWEST)
        assert (row["gap"], row["gap_low"], row["gap_high"]) == (between.steps, *between.steps_interval)


def test_the_median_is_over_pairs(image_figures: Path, image_run: Run[Any]) -> None:
    found, step = curve(image_figures, "fig1a", "samples of twins", "median over pairs"), image_run.steps()[-1]
    both = [np.mean(r["values"]) for r in image_run.table("sample_similarity").to_pylist() if r["step"] == step]
    assert found["y"][-1] == pytest.approx(np.median(both), rel=1e-6)


def test_losses_are_means_over_networks(image_figures: Path, image_run: Run[Any]) -> None:
    step = image_run.steps()[1]
    for name, panel, line, measure, t in (
        ("fig1a", "loss averaged", "training loss", "train_loss", None),
        ("fig2", "t = 8: test loss", "test loss", "fixed_time_loss", 8),
    ):
        chosen = [r for r in image_run.table(measure).to_pylist() if r["step"] == step and r.get("t") == t]
        expected = mean_over([float(np.mean(r["values"])) for r in chosen], "splits")
        found = curve(image_figures, name, panel, line)
        assert (found["y"][1], found["low"][1], found["high"][1]) == pytest.approx((expected.value, *expected.interval()), rel=1e-6)


def test_levels_are_frozen_where_their_twins_agree_best(image_figures: Path, image_run: Run[Any], image_world: ImageWorld) -> None:
    """A row by hand: member 1 at full resolution against member 2 of the coarse run, on the images of full resolution."""
    coarse_recipe = SETTINGS["smoke"].filtered(image_run.recipe)["4 components"]
    coarse_run, coarse_world = Run.open(image_figures / "runs" / run_name(coarse_recipe)), ImageWorld.of(coarse_recipe)
    step, frozen = image_run.steps()[-2], checkpoint_at(coarse_run, SPLIT)
    probes, t = image_world.probes(), image_run.recipe.measured_time
    eps = probes.eps(probes.held_out, 0)

    def predicted(world: ImageWorld, run: Run[Any], at: int, member: int) -> torch.Tensor:
        x_0 = image_world.pictures[1] - image_world.pictures[0][member].mean()  # never the coarse run's means
        x_t = image_world.schedule.noised(x_0, t, eps)
        return world.load(run, at).member(member).noise_prediction(x_t, t).double().flatten(1)  # type: ignore[attr-defined]

    a, b = predicted(image_world, image_run, step, 1), predicted(coarse_world, coarse_run, frozen, 2)
    rows = [r for r in image_run.table("level_similarity").to_pylist() if r["step"] == step]
    assert list(dict.fromkeys(r["level"] for r in rows)) == LEVELS
    assert len(rows) == 3 * 6
    (found,) = [r["values"] for r in rows if (r["level"], r["member_a"], r["member_b"]) == ("4 components", 1, 2)]
    np.testing.assert_allclose(found, (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1), rtol=1e-5)


def test_the_coarser_runs_differ_in_their_images_and_are_half_as_long(image_recipe: ImageRecipe) -> None:
    for name, coarse in SETTINGS["smoke"].filtered(image_recipe).items():
        assert coarse.data.filter == "pca"
        assert coarse.data.components == int(name.split()[0])
        half = replace(image_recipe.training, steps=12)
        assert vars(coarse) | {"data": None} == vars(image_recipe) | {"data": None, "training": half}


def test_pairs_shown_are_nearest_to_the_mean(image_run: Run[Any]) -> None:
    step = image_run.steps()[-1]
    (values,) = [
        np.array(r["values"])
        for r in image_run.table("sample_similarity").to_pylist()
        if (r["step"], r["member_a"], r["member_b"]) == (step, 0, 1)
    ]
    chosen = typical(image_run, step, 0, 1, 4)
    assert chosen == sorted(np.argsort(np.abs(values - values.mean()))[:4].tolist())


def test_plates_show_samples_between_their_nearest_training_images(image_figures: Path, image_run: Run[Any]) -> None:
    sheet = figure_of("fig8", image_run)
    steps = image_run.steps()
    moments = list(dict.fromkeys((steps[len(steps) // 4], checkpoint_at(image_run, SPLIT), steps[-1])))
    assert [plate.title for plate in sheet.plates] == [f"epoch {step / 2:,.0f} (step {step})" for step in moments]
    stored, last = image_run.tensors("samples", steps[-1]), sheet.plates[-1]
    chosen, scale, pitch = typical(image_run, steps[-1], 0, 1, 8), 8, 68
    rows = (stored["nearest"][0], stored["images"][0], stored["images"][1], stored["nearest"][1])
    assert last.page.shape == (4 * pitch - 4, 6 * pitch - 4, 1)
    for i, row in enumerate(rows):
        for j, sample in enumerate(chosen):
            shown = last.page[i * pitch : i * pitch + 64 : scale, j * pitch : j * pitch + 64 : scale, 0]
            assert np.array_equal(shown, row[sample, 0].numpy())
    assert len(figure_of("fig1a", image_run).plates) <= 2


def test_the_interactive_pages_hold_their_pictures_and_fetch_nothing(image_figures: Path) -> None:
    for name in NAMES:
        page = (image_figures / f"{name}.html").read_text()
        tags = re.findall(r"<(?:img|script|link|iframe|source)\b[^>]*>", page.split("<body", 1)[1])
        fetched = [value for tag in tags for value in re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"' >]*)", tag)]
        assert all(value.startswith("data:image/png;base64,") for value in fetched)
        pictures = [tag for tag in tags if tag.startswith("<img")]
        assert all('alt="Rows from above: nearest image of split A; sample of twin A;' in tag for tag in pictures)
        assert bool(pictures) == (name in ("fig1a", "fig8"))


@pytest.mark.parametrize("scale", SETTINGS)
def test_settings_of_every_scale_are_recipes(scale: str) -> None:
    setting = SETTINGS[scale]  # type: ignore[index]
    recipe = setting.recipe(3, data=Path("/faces")) if setting.needs_data else setting.recipe(3)
    assert recipe.seed == 3
    assert len({run_name(one) for one in (recipe, *setting.filtered(recipe).values())}) == 1 + len(setting.levels)
    assert setting.recipe(0, 4, Path("/faces")).data.splits == 4
    with pytest.raises(InputError, match="3 or more"):
        setting.recipe(0, 2, Path("/faces"))


def test_the_paper_scale_is_the_published_one() -> None:
    with pytest.raises(InputError, match="give --data FOLDER"):
        SETTINGS["paper"].recipe(0)
    recipe = SETTINGS["paper"].recipe(0, None, Path("/faces"))
    assert recipe == ImageRecipe(data=recipe.data)
    assert (recipe.data.path, recipe.data.splits, recipe.data.split_size) == ("/faces", 15, 1_024)
    levels = [one.data for one in SETTINGS["paper"].filtered(recipe).values()]
    assert [data.components for data in levels if data.filter == "pca"] == [32, 128, 512, 1_024]
    assert [data.gains for data in levels if data.filter == "haar"] == [(0, 0, 0), (0.45, 0.15, 0.05), (0.8, 0.45, 0.2)]


def test_levels_of_two_filters_are_drawn_apart(image_run: Run[Any], tmp_path: Path) -> None:
    """As at paper scale: stored rows of one level under another filter's name."""
    shutil.copytree(image_run.path, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    for step in run.steps():
        table = pq.read_table(tmp_path / "run" / "measurements" / "level_similarity.parquet" / f"step_{step:08d}.parquet")
        names = [{"16 components": "Haar gains 0, 0, 0"}.get(name, name) for name in table.column("level").to_pylist()]
        run.write_table("level_similarity", step, table.set_column(table.column_names.index("level"), "level", pa.array(names)))
    components, details = panels.levels(run)
    assert [line.label for line in components.lines] == ["frozen: 4 components", "twins, full resolution"]
    assert [line.label for line in details.lines] == ["frozen: Haar gains 0, 0, 0", "twins, full resolution"]
    assert "principal components" in components.title
    assert "Haar wavelets" in details.title


def test_captions_say_what_is_drawn(image_figures: Path, image_run: Run[Any]) -> None:
    for name in ("fig1a", "fig8"):
        assert "the first network of the first split (A) and that of the second (B)" in figure_of(name, image_run).caption
    sheet = figure_of("fig7", image_run)
    assert "half as long" in sheet.caption
    assert "(principal components of all training splits)" in sheet.axes[0].title
