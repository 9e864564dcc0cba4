"""rp-attributes and rp-identities at smoke scale: what the groups are, what is compared, that nothing is made twice, what is said."""

import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from twinsplit.data.images.folder import load_images
from twinsplit.data.splits.disjoint import content_ids
from twinsplit.data.splits.manifests import load_split
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.permutation import mean_difference_test
from twinsplit.papers.figure import Options, make, run_name
from twinsplit.papers.gahb.stages import LEVELS
from twinsplit.papers.rp.controlled_data import RANDOM, SETTINGS, Case, Plan
from twinsplit.papers.rp.controlled_figures import NAMES, cost, distributions
from twinsplit.papers.rp.controlled_values import Values, caption, comparisons, values_of
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.store import Run

TABLES = ("curves", "marks", "seeds", "tests")
KINDS = (".png", ".pdf", ".html", *(f"-{table}.{end}" for table in TABLES for end in ("parquet", "json")), "-config.json")
SEEDS = (0, 1)


def smoke(out: Path) -> Options:
    return Options("smoke", out, seeds=len(SEEDS))


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, with two seeds."""
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    out = tmp_path_factory.mktemp("controlled")
    for name in NAMES:
        make(name, smoke(out), Inline())
    return out


def recipes(figures: Path, name: str) -> dict[str, list[ImageRecipe]]:
    plan = Plan.of(smoke(figures))
    return plan.recipes(plan.setting.cases(name)[0])


def runs_of(figures: Path, name: str) -> dict[str, list[Run[Any]]]:
    return {kind: [Run.open(figures / "runs" / run_name(one)) for one in found] for kind, found in recipes(figures, name).items()}


def rows_of(run: Run[Any]) -> dict[str, Any]:
    found: dict[str, Any] = run.read_json("data.json")["rows"]
    return found


def stamps(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_stored_whole(figures: Path, name: str) -> None:
    assert all((figures / f"{name}{kind}").is_file() for kind in KINDS)
    configuration = json.loads((figures / f"{name}-config.json").read_text())
    assert len(configuration["runs"]) == 2 * len(SEEDS)
    for run, recipe in configuration["runs"].items():
        assert json.loads((figures / run / "config.json").read_text()) == recipe
    for table in TABLES:
        rows = pq.read_table(figures / f"{name}-{table}.parquet")
        assert json.loads((figures / f"{name}-{table}.json").read_text()) == rows.to_pydict()
    page = (figures / f"{name}.html").read_text()
    assert "not enough power" in page
    assert "With 2 against 2 seeds no p-value can be below 0.33" in page


def test_the_same_command_touches_nothing(figures: Path) -> None:
    before = stamps(figures)
    for name in NAMES:
        made = make(name, smoke(figures), Inline())
        assert sorted(made) == sorted(figures / f"{name}{kind}" for kind in KINDS)
    assert stamps(figures) == before


def test_the_groups_are_what_they_are_called(figures: Path) -> None:
    data = load_images(Plan.of(smoke(figures)).folder)
    labels, content = data.labels(), content_ids(data.pixels)
    for name in NAMES:
        for kind, found in runs_of(figures, name).items():
            for run in found:
                rows = rows_of(run)
                first, second = rows["splits"]
                assert len(first) == len(second) == 8
                for a, b in combinations((first, second, rows["held_out"]), 2):
                    assert not set(content[a].tolist()) & set(content[b].tolist())
                if kind == "Eyeglasses":
                    assert set(labels["Eyeglasses"].iloc[first]) == {1}
                    assert set(labels["Eyeglasses"].iloc[second]) == {-1}
                if kind == "identities apart":
                    assert not set(labels["identity"].iloc[first]) & set(labels["identity"].iloc[second])


def test_duplicates_are_taken_out_for_identities_alone(figures: Path) -> None:
    plan = Plan.of(smoke(figures))
    data, removed = load_images(plan.folder), json.loads(plan.manifests.duplicates.read_text())["removed"]
    assert removed
    for name, taken_out in (("rp-attributes", False), ("rp-identities", True)):
        for found in recipes(figures, name).values():
            for recipe in found:
                split = load_split(Path(recipe.data.manifest), data)
                assert (split.duplicates is not None) == taken_out
                assert split.reserved == recipe.data.held_out == 16
                grouped = set(np.concatenate(split.groups).tolist())
                assert max(grouped) < len(data) - 16
                assert not taken_out or not grouped & set(removed)
                assert (rows_of(Run.open(figures / "runs" / run_name(recipe)))["splits"]) == [rows[:8].tolist() for rows in split.groups]


def test_kinds_differ_in_their_images_alone(figures: Path) -> None:
    for name in NAMES:
        found = recipes(figures, name)
        for random, other in zip(*found.values(), strict=True):
            assert random.data.manifest != other.data.manifest
            assert replace(other, data=replace(other.data, manifest=random.data.manifest)) == random
        assert [recipe.seed for recipe in found[RANDOM]] == list(SEEDS)


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_seed_by_hand(figures: Path, name: str) -> None:
    """Pearson's correlation of the stored samples, and PSNR of images that every run holds out, without the code of the figure."""
    runs = runs_of(figures, name)
    common = set.intersection(*(set(rows_of(run)["held_out"]) for found in runs.values() for run in found))
    assert len(common) >= 12
    for row in pq.read_table(figures / f"{name}-seeds.parquet").to_pylist():
        run = runs[row["split"]][row["seed"]]
        first, second = run.tensors("samples", 24)["images"].double().flatten(2).numpy()
        pairs = [np.corrcoef(a, b)[0, 1] if a.std() * b.std() else 0.0 for a, b in zip(first, second, strict=True)]
        assert row["correlation"] == pytest.approx(np.mean(pairs))
        finished = run.tensors("samples", 24)["finished"]
        assert (row["samples"], row["unfinished"]) == (finished.numel(), int((~finished).sum()))
        kept = [i for i, held in enumerate(rows_of(run)["held_out"]) if held in common]
        table = [r for r in run.table("psnr").to_pylist() if (r["data"], r["of"]) == ("test", "output")]
        assert len(table) == 2 * len(LEVELS)
        assert row["output_psnr"] == pytest.approx(np.mean([np.array(r["values"])[kept].mean() for r in table]))


def test_the_tests_are_of_these_numbers(figures: Path) -> None:
    seeds = pq.read_table(figures / "rp-attributes-seeds.parquet").to_pylist()
    tests = pq.read_table(figures / "rp-attributes-tests.parquet").to_pylist()
    assert [(t["quantity"].split()[0], t["what"]) for t in tests] == [(q, w) for q in ("correlation", "output") for w in ("mean", "spread")]
    for test, key in ((tests[0], "correlation"), (tests[2], "output_psnr")):
        random, other = ([row[key] for row in seeds if row["split"] == kind] for kind in (RANDOM, "Eyeglasses"))
        assert test["effect"] == pytest.approx(np.mean(other) - np.mean(random))
        assert test["p_value"] == mean_difference_test(other, random).p_value
        assert (test["low"], test["high"]) == (None, None)  # two seeds are no interval


def test_a_killed_figure_goes_on(figures: Path) -> None:
    """A lost table and picture are made again, to the bit; no network is trained again."""
    run = runs_of(figures, "rp-attributes")["Eyeglasses"][1]
    kept = {path: path.read_bytes() for path in (figures / "rp-attributes.png", *(run.path / "measurements" / "psnr.parquet").iterdir())}
    before = stamps(figures)
    for path in kept:
        path.unlink()
    make("rp-attributes", smoke(figures), Inline())
    assert {path: path.read_bytes() for path in kept} == kept
    touched = {path for path, when in stamps(figures).items() if before.get(path) != when}
    assert not any("checkpoints" in path.parts or "faces" in path.parts or "samples" in path.parts for path in touched)


def test_other_data_can_be_given(figures: Path, tmp_path: Path) -> None:
    plan = Plan.of(Options("paper", tmp_path, data=figures))
    assert plan.folder == figures
    with pytest.raises(InputError, match="give --data FOLDER"):
        Plan.of(Options("paper", tmp_path))
    prepared = shutil.copytree(Plan.of(smoke(figures)).folder, tmp_path / "given")
    for name in NAMES:
        with pytest.raises(InputError, match="256 are needed"):
            make(name, Options("laptop", tmp_path / "out", seeds=2, data=prepared), Inline())
    assert not (tmp_path / "out").exists()  # a refusal writes nothing


def test_seeds_are_consecutive_and_at_least_two() -> None:
    assert SETTINGS["smoke"].seed_range(5, None) == (5, 6, 7)
    assert SETTINGS["laptop"].seed_range(0, 2) == (0, 1)
    with pytest.raises(InputError, match="--seeds 1"):
        Plan.of(Options("laptop", seeds=1))
    with pytest.raises(InputError, match="no scale"):
        Plan.of(Options("large"))


@pytest.mark.parametrize("scale", SETTINGS)
def test_settings_of_every_scale_are_recipes(scale: str, tmp_path: Path) -> None:
    plan = Plan.of(Options(scale, tmp_path, seeds=2, data=tmp_path if scale == "paper" else None))
    for name in NAMES:
        for case in plan.setting.cases(name):
            made = [recipe for found in plan.recipes(case).values() for recipe in found]
            assert len({run_name(recipe) for recipe in made}) == 4
            assert {recipe.data.split_size for recipe in made} == {case.size}
            assert all(recipe.checkpoint_steps() == (recipe.training.steps,) for recipe in made)
    assert SETTINGS[scale].seeds >= 3


def planted(random: list[float], controlled: list[float]) -> Values:
    case, count = Case(256, "Male"), len(random)
    likeness = {RANDOM: np.array(random), "Male": np.array(controlled)}
    psnr = {kind: 20 + found[:, None] * np.array([0.0, 2.0]) for kind, found in likeness.items()}
    return Values(
        case, tuple(range(count)), likeness, {RANDOM: np.zeros(count), "Male": np.zeros(count)}, psnr, np.array([0.1, 1.0]), 9, 10, UNKNOWN
    )


UNKNOWN: dict[str, list[int | None]] = {RANDOM: [0, None], "Male": [1, 2]}
HIGH, LOW = [0.81, 0.79, 0.82, 0.77, 0.8, 0.785], [0.41, 0.36, 0.44, 0.4, 0.39, 0.43]


def test_verdicts_say_what_the_numbers_can() -> None:
    """Apart with 6 seeds; apart with 3, which no test can see; alike with 6."""
    for random, controlled, verdict in (
        (HIGH, LOW, "differs"),
        (HIGH[:3], LOW[:3], "not enough power"),
        (HIGH, [0.8, 0.78, 0.815, 0.79, 0.79, 0.8], "no difference shown"),
    ):
        values = planted(random, controlled)
        found = comparisons(values)[0]
        assert found.verdict == verdict
        assert found.effect == pytest.approx(np.mean(controlled) - np.mean(random))
        assert f": {verdict}" in caption(values)
        assert ("no p-value can be below 0.1: take more" in caption(values)) == (len(random) == 3)
    assert comparisons(planted(HIGH, LOW))[0].paired_p == 2 / 64


def test_samples_that_did_not_end_are_told() -> None:
    """Of 10 samples for each of two seeds."""
    assert "kept as they were: at random not recorded, Male 3 of 20." in caption(planted(HIGH[:2], LOW[:2]))


def test_the_spread_over_seeds_is_compared_too() -> None:
    wide = [0.2, 1.4, 0.5, 1.1, 0.9, 0.7]
    spread = comparisons(planted(HIGH, wide))[1]
    assert spread.effect == pytest.approx(np.std(wide) / np.std(HIGH))
    assert spread.low is not None
    assert spread.low > 1
    assert (spread.verdict, comparisons(planted(HIGH, wide))[0].verdict) == ("differs", "no difference shown")
    assert comparisons(planted([0.5] * 4, [0.4, 0.5, 0.6, 0.5]))[1].effect is None


def test_distributions_step_at_every_seed() -> None:
    axes = distributions(planted(HIGH, LOW))[0]
    random = axes.lines[0]
    assert random.x[::2].tolist() == random.x[1::2].tolist() == sorted(HIGH)
    assert random.y == pytest.approx(np.repeat(np.arange(7) / 6, 2)[1:-1])
    assert [mark.x for mark in axes.marks] == pytest.approx([np.mean(HIGH), np.mean(LOW)])
    gain = cost(planted(HIGH, LOW)).lines[0]
    assert gain.x == pytest.approx([20.0, 0.0])
    assert gain.y == pytest.approx([0.0, 2 * (np.mean(LOW) - np.mean(HIGH))])


def test_values_are_of_the_runs(figures: Path) -> None:
    runs = runs_of(figures, "rp-identities")
    values = values_of(Case(8), runs)
    assert values.seeds == SEEDS
    assert values.psnr[RANDOM].shape == (2, len(LEVELS))
    assert values.levels == pytest.approx(sorted(LEVELS))
    assert len(values.rows()) == 4
