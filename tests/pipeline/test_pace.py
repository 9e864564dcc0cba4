"""Measured steps, and the hours of a training that follow from them."""

from dataclasses import replace

import pytest
import torch

from twinsplit.execution.local import Inline
from twinsplit.noise.reference import Noise
from twinsplit.pipeline import pace
from twinsplit.pipeline.pace import Pace, foretold, pace_of, samples_seen, shards_of, speed_of
from twinsplit.recipes import SMOKE
from twinsplit.training.batches import batch_rows
from twinsplit.training.step import Shard
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LONG", 0.02)


@pytest.fixture(scope="module")
def world() -> HierarchicalWorld:
    return HierarchicalWorld.of(replace(SMOKE, data=replace(SMOKE.data, splits=3, split_size=20, held_out=4)))


def first_shard(world: HierarchicalWorld) -> Shard:
    return shards_of(world, Inline())[0]


@pytest.mark.parametrize(("steps", "n", "batch"), [(1, 10, 4), (3, 10, 4), (7, 10, 4), (60, 6, 6), (5, 3, 512)])
def test_samples_seen_are_the_rows_of_all_batches(steps: int, n: int, batch: int) -> None:
    rows = [batch_rows(Noise(0), step, n, batch, torch.device("cpu")) for step in range(1, steps + 1)]
    assert samples_seen(steps, n, batch) == sum(map(len, rows))


def test_a_pace_is_a_line_held_to_reason() -> None:
    assert Pace(4, 1.0, 8, 1.8).of(108) == pytest.approx(1.8 + 100 * 0.2)
    assert Pace(8, 1.0, 8, 1.0).of(8) == 1.0
    assert Pace(4, 0.1, 8, 1.6).of(16) == pytest.approx(3.2)  # no negative fixed part
    assert Pace(4, 1.6, 8, 1.6).of(16) == pytest.approx(2.4)  # half of the time at least is in proportion
    assert Pace(4, 1.6, 8, 1.6, 0.25).of(16) == pytest.approx(2.0)


def test_a_quick_step_is_measured_whole(world: HierarchicalWorld) -> None:
    found = pace_of(first_shard(world))
    assert found.few == found.rows == 6
    assert 0 < found.seconds < 60


def test_a_slow_step_is_measured_in_part(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LONG", 0.0)
    monkeypatch.setattr(pace, "FIRST_ROWS", 4)
    monkeypatch.setattr(pace, "_typical", lambda shard, steps: float(shard.task.training.batch))
    monkeypatch.setattr(pace, "MOST_STEPS", 1)
    found = pace_of(first_shard(world))
    assert (found.few, found.rows, found.of(6)) == (1, 4, 6.0)


def test_hours_are_rounds_of_full_steps(world: HierarchicalWorld) -> None:
    speed = speed_of(world, shards_of(world, Inline()), Inline())
    assert (speed.at_once, speed.batch, len(speed.paces)) == (1, 6, 1)
    assert speed.hours == pytest.approx(3 * (300 / 6) * speed.seconds / 3600)  # one worker steps three members; 300 sequences each


def test_only_a_long_training_is_foretold(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one, and what is left of one that is nearly done, is not even measured."""
    measured: list[int] = []
    monkeypatch.setattr(pace, "pace_of", lambda shard: (measured.append(1), Pace(6, 36.0, 6, 36.0))[1])
    assert foretold(world, Inline(), 0) == ""
    assert not measured
    monkeypatch.setattr(pace, "ASSUMED", 1.0)
    assert foretold(world, Inline(), 0) == "about 1.5 hours (36 s a step, 1 network at once)"
    assert foretold(world, Inline(), 30) == "about 45.0 minutes (36 s a step, 1 network at once)"
    assert foretold(world, Inline(), 60) == ""
