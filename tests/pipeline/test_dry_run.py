"""The plan of a run: counts that follow from the recipe, a pilot that foretells the real run's bytes, and nothing written."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinsplit.execution.local import Inline, open_executor
from twinsplit.papers.gahb.ladder import SMOKE as BLIND
from twinsplit.pipeline import dry_run as planning
from twinsplit.pipeline import pace, pilot
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.dry_run import checkpoint_bytes, dry_run, kept_bytes, render, total, training_memory
from twinsplit.pipeline.pace import Pace, samples_seen, shards_of
from twinsplit.pipeline.pilot import Sizes, checkpoint_cost, pilot_of
from twinsplit.recipes import DIGITS_SMOKE, PUBLISHED, QUICKSTART, SMOKE, RunRecipe, read_recipe
from twinsplit.runs.files import encode_table
from twinsplit.runs.rows import as_table
from twinsplit.worlds.registry import world_of
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LONG", 0.02)


@pytest.fixture(scope="module")
def world() -> HierarchicalWorld:
    return HierarchicalWorld.of(replace(SMOKE, data=replace(SMOKE.data, splits=3, split_size=20, held_out=4)))


def test_a_plan_follows_from_the_recipe(world: HierarchicalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plan, flops = dry_run(world.recipe, Inline()), world.network.flops(world.state_shape)
    assert not list(tmp_path.glob("twinsplit-*"))
    assert (plan.parameters, plan.epochs, plan.kept) == (world.network.parameter_count(), 15, 8)  # 60 steps of 4 batches an epoch
    assert plan.training_flops == 3 * 15 * 20 * flops.training
    assert plan.sampling_flops == 3 * 8 * 32 * 10 * flops.forward
    assert plan.hours_measuring * 3600 == pytest.approx(plan.cost.prepare + 8 * plan.cost.measuring)
    text = render(replace(plan, cost=replace(plan.cost, sampling=2.5, measuring=30.0, prepare=0.0, networks=2)))
    parts = (
        "3 splits of 20",
        "60 steps of 6 samples = 15 epochs; 8 checkpoints",
        f"{plan.training_flops:.2e} FLOP",
        f"{plan.speed.seconds:.3g} s a step, networks at once: 1, one thread each",
        "20 seconds more, if they are drawn at every checkpoint: 2.5 s each, networks at once: 2",
        "4.0 minutes more for the standard ones: 30 s a checkpoint",
        "not measured; assumes 20%",
    )
    assert [part for part in parts if part not in text] == []
    assert "extrapolated" not in text
    partial = replace(plan, speed=replace(plan.speed, paces=(Pace(1, 1.0, 4, 2.0),)))
    assert "measured on 1 and 4 of 6 samples and extrapolated" in render(partial)
    assert total([plan, plan]).startswith("2 runs: ")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_costs_what_its_numbers_say(name: str) -> None:
    """On a few of its sequences, so that no large world is built here."""
    recipe: Any = read_recipe(Path(name))
    n, epochs = recipe.data.split_size, {5_000: 20_000, 12_000: 30_000, 70_000: 35_000}[recipe.data.split_size]
    few = HierarchicalWorld.of(replace(recipe, data=replace(recipe.data, samples=400, splits=15, split_size=2, held_out=9, apart=0)))
    assert few.network.parameter_count() == 16_854_022
    assert checkpoint_bytes(few) == pytest.approx(15 * 4 * 16_854_022 * 30, rel=1e-2)  # 25, one to resume from, two times two moments
    assert samples_seen(recipe.training.steps, n, 512) == epochs * n
    assert Sizes.of(few, 15).drawing == 50_000 * 500


RECIPES: dict[str, RunRecipe] = {"sequences": SMOKE, "images": DIGITS_SMOKE}


@pytest.mark.parametrize("name", RECIPES)
def test_disk_is_foretold(name: str, tmp_path: Path) -> None:
    """Within a factor of 1.5 of what a real run of the preset leaves."""
    if name == "images":
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    plan = dry_run(RECIPES[name], Inline())
    session = pipeline.begin(tmp_path / "run", RECIPES[name], Inline())
    pipeline.train_stage(session)
    assert 1 / 1.5 < plan.checkpoints / content(session.run.path / "checkpoints") < 1.5
    pipeline.measure_stage(session)
    measured = content(session.run.path / "measurements")
    assert 1 / 1.5 < plan.measurements / (measured + content(session.run.path / "data.json")) < 1.5
    pipeline.sampling_stage(session, session.run.steps()[:2])
    assert 1 / 1.5 < 2 * plan.cost.samples / (content(session.run.path / "measurements") - measured) < 1.5
    assert 1 / 1.5 < plan.disk / content(session.run.path) < 1.5


def content(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())


def test_disk_of_the_laptop_preset_is_foretold_from_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks and a tenth of the held-out sequences foretell six on all: pairs and values are multiplied out."""
    monkeypatch.setattr(pilot, "AFFORDED", 3e8)
    cost = checkpoint_cost(world_of(QUICKSTART), Inline())
    every, own = 2_000, 256
    losses, terms = 2 * [6 * [every]] + [6 * [own]], [6 * 4 * [every, own]]
    lengths = [30 * [every], 6 * 4 * [every], *losses, *terms]  # pairs, networks times oracles, losses, data, times and terms
    drawn = np.random.default_rng(0).lognormal(size=200_000).astype(np.float32)
    tables = [as_table(1, [{"member": i, "values": drawn[i * every :][:n]} for i, n in enumerate(rows)]) for rows in lengths]
    assert cost.tables == pytest.approx(sum(len(encode_table(table)) for table in tables), rel=0.2)
    assert 1_000 < cost.samples < 4 * 6 * 3_000  # distances are small whole numbers
    assert min(cost.prepare, cost.measuring, cost.sampling, cost.memory) > 0


def test_a_pilot_is_the_recipe_made_small() -> None:
    small: Any = pilot_of(QUICKSTART, 40, 4)
    assert (small.data.held_out, small.measuring.generated, small.measuring.sampling_steps) == (40, 10, 4)
    assert (small.network, small.diffusion, small.data.split_size) == (QUICKSTART.network, QUICKSTART.diffusion, 6)  # 40 / 2,000 of 256
    assert pilot_of(SMOKE, 1_000, 4).shares == SMOKE.data
    images: Any = pilot_of(DIGITS_SMOKE, 6, 4)  # of 24
    assert (images.measuring.train_images, images.measuring.generated, images.data.split_size) == (2, 6, 16)


def test_an_ascent_is_drawn_to_the_last_step() -> None:
    blind: Any = pilot_of(BLIND, 8, 4)
    cost = checkpoint_cost(world_of(replace(BLIND, measuring=replace(BLIND.measuring, sampling_steps=8))), Inline())
    assert blind.measuring.sigma_end < 1e-30
    assert cost.sampling > 0


def test_workers_measure_the_same_bytes(world: HierarchicalWorld) -> None:
    with open_executor(2) as executor:
        side_by_side = checkpoint_cost(world, executor)
    alone = checkpoint_cost(world, Inline())
    assert (side_by_side.tables, side_by_side.samples, side_by_side.networks) == (alone.tables, alone.samples, 2)


def test_what_the_backward_pass_needs_is_extrapolated_exactly(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one and two sequences to six: every kept tensor is affine in the rows."""
    monkeypatch.setattr("twinsplit.networks.fused.serves", lambda *options: False)
    shard = shards_of(world, Inline())[0]
    assert kept_bytes(shard) == planning._kept(shard)
    assert kept_bytes(shard) > 6 * 4 * 4 * 16  # at least one activation


def test_memory_counts_every_part(world: HierarchicalWorld) -> None:
    stack, splits = 4 * world.network.parameter_count(), 3 * 20 * 4
    assert training_memory(world, 1000, 2) == 29 * stack + 1000 + 2 * 8 * splits
    plan = dry_run(world.recipe, Inline())
    assert plan.memory > 100 * 2**20  # Python and PyTorch alone
