"""The plan of a run: counts that follow from the recipe, measured times that add up, and nothing written."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from twinsplit.execution.local import Inline
from twinsplit.noise.reference import Noise
from twinsplit.pipeline import dry_run
from twinsplit.pipeline import sampling_cost as afterwards
from twinsplit.pipeline.dry_run import Pace, costs_of, kept_bytes, memory_needed, pace_of, render, sequences_seen, speed_of
from twinsplit.pipeline.sampling_cost import SamplingCost
from twinsplit.pipeline.stages import disk_needed
from twinsplit.recipes import PUBLISHED, SMOKE, read_recipe
from twinsplit.training.batches import batch_rows
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal
from twinsplit.training.step import Shard
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "LONG", 0.02)
    monkeypatch.setattr(afterwards, "LONG", 0.005)


@pytest.fixture(scope="module")
def world() -> HierarchicalWorld:
    return HierarchicalWorld.of(replace(SMOKE, data=replace(SMOKE.data, splits=3, split_size=20, held_out=4)))


def first_shard(world: HierarchicalWorld) -> Shard:
    return deal(Ensemble.initial(world.network, world.members, world.root), world.split_samples(), world.task())[0]


@pytest.mark.parametrize(("steps", "n", "batch"), [(1, 10, 4), (3, 10, 4), (7, 10, 4), (60, 6, 6), (5, 3, 512)])
def test_sequences_seen_are_the_rows_of_all_batches(steps: int, n: int, batch: int) -> None:
    rows = [batch_rows(Noise(0), step, n, batch, torch.device("cpu")) for step in range(1, steps + 1)]
    assert sequences_seen(steps, n, batch) == sum(map(len, rows))


def test_costs_follow_from_the_recipe(world: HierarchicalWorld) -> None:
    costs = costs_of(world)
    assert (costs.members, costs.parameters) == (3, world.network.parameter_count())
    assert (costs.epochs, costs.sequences) == (15, 15 * 20)  # 60 steps of 4 batches an epoch
    assert costs.training_flops == 3 * 15 * 20 * world.flops().training
    assert costs.sampling_flops == 3 * 8 * 32 * 10 * world.flops().forward
    assert costs.answering_flops == 8 * world.measurement_cost().answers * world.flops().forward
    assert (costs.disk, costs.measurements) == (disk_needed(world), 8 * world.measurement_cost().kept)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_costs_what_its_numbers_say(name: str) -> None:
    """On a few of its sequences, so that no large world is built here."""
    recipe = read_recipe(Path(name))
    n, epochs = recipe.data.split_size, {5_000: 20_000, 12_000: 30_000, 70_000: 35_000}[recipe.data.split_size]
    few = replace(recipe, data=replace(recipe.data, samples=400, splits=15, split_size=2, held_out=9, apart=0))
    costs = costs_of(HierarchicalWorld.of(few))
    assert costs.parameters == 16_854_022
    assert costs.disk == pytest.approx(15 * 4 * 16_854_022 * 34, rel=1e-2)  # 25 checkpoints, three resume points of weights and moments
    assert sequences_seen(recipe.training.steps, n, 512) == epochs * n
    assert costs.sampling_flops == 15 * 25 * 50_000 * 500 * HierarchicalWorld.of(few).flops().forward


def test_a_pace_is_a_line_held_to_reason() -> None:
    assert Pace(4, 1.0, 8, 1.8).of(108) == pytest.approx(1.8 + 100 * 0.2)
    assert Pace(8, 1.0, 8, 1.0).of(8) == 1.0
    assert Pace(4, 0.1, 8, 1.6).of(16) == pytest.approx(3.2)  # no negative fixed part
    assert Pace(4, 1.6, 8, 1.6).of(16) == pytest.approx(2.4)  # half of the time at least is in proportion


def test_a_quick_step_is_measured_whole(world: HierarchicalWorld) -> None:
    pace = pace_of(first_shard(world))
    assert pace.few == pace.rows == 6
    assert 0 < pace.seconds < 60


def test_a_slow_step_is_measured_in_part(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "LONG", 0.0)
    monkeypatch.setattr(dry_run, "FIRST_ROWS", 4)
    monkeypatch.setattr(dry_run, "_typical", lambda shard, steps: float(shard.task.training.batch))
    monkeypatch.setattr(dry_run, "MOST_STEPS", 1)
    pace = pace_of(first_shard(world))
    assert (pace.few, pace.rows, pace.of(6)) == (1, 4, 6.0)


def test_hours_are_rounds_of_full_steps(world: HierarchicalWorld) -> None:
    speed = speed_of(world, Inline())
    assert (speed.device, speed.at_once, speed.batch, len(speed.paces)) == ("cpu", 1, 6, 1)
    assert speed.hours == pytest.approx(3 * (300 / 6) * speed.seconds / 3600)  # one worker steps three members; 300 sequences each


def test_what_the_backward_pass_needs_is_extrapolated_exactly(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one and two sequences to six: every kept tensor is affine in the rows."""
    monkeypatch.setattr("twinsplit.networks.fused.serves", lambda *options: False)
    shard = first_shard(world)
    assert kept_bytes(shard) == dry_run._kept(shard)
    assert kept_bytes(shard) > 6 * 4 * 4 * 16  # at least one activation


def test_memory_counts_every_part(world: HierarchicalWorld) -> None:
    stack, splits = 4 * world.network.parameter_count(), 3 * 20 * 4
    assert memory_needed(world, 1000, 2) == 29 * stack + 1000 + 2_000 * 4 + 2 * 8 * splits


def test_the_plan_says_everything_and_writes_nothing(world: HierarchicalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    speed, costs = speed_of(world, Inline()), costs_of(world)
    after = SamplingCost(rows=32, drawing=0.002, answering=0.0005, hours_drawing=3.0, hours_answering=0.5, at_once=2)
    text = render(world.recipe, costs, speed, after)
    assert not list(tmp_path.iterdir())
    parts = (
        "3 splits of 20",
        "60 steps",
        "15 epochs",
        "8 checkpoints",
        f"{costs.training_flops:.2e} FLOP",
        f"{speed.seconds:.3g} s a step",
        "3.0 hours more, if they are drawn at every checkpoint: 2 ms a sample and step (32 at once), networks at once: 2",
        "30.0 minutes more for the networks' part of the standard ones: 0.5 ms a noised sample and network",
        "left out  exact posteriors",
        "of measurements, before compression",
    )
    assert [part for part in parts if part not in text] == []
    assert "not measured; assumes 20%" in text
    assert "extrapolated" not in text
    partial = render(world.recipe, costs, replace(speed, paces=(Pace(1, 1.0, 4, 2.0),)), after)
    assert "measured on 1 and 4 of 6 samples and extrapolated" in partial
