"""Training: members equal networks trained alone, resumes to the bit, and says when it diverges."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor, Inline, open_executor
from twinsplit.networks import arithmetic
from twinsplit.networks.parametrisation import noised_one_hot
from twinsplit.noise.reference import Noise
from twinsplit.recipes import SMOKE, Recipe
from twinsplit.runs.store import Run
from twinsplit.training.batches import batch_rows, draw_times, steps_per_epoch
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal, load_ensemble, milestones, train
from twinsplit.training.rates import constant, published
from twinsplit.worlds.sequences.world import HierarchicalWorld

SHORT = replace(SMOKE, training=replace(SMOKE.training, steps=24, save_every=9))


def finish(path: Path, recipe: Recipe = SHORT, executor: Executor | None = None) -> Run:
    world, run = HierarchicalWorld.of(recipe), Run.create(path, recipe)
    for _ in train(world.ensemble(), world.split_samples(), world.task(), run, executor or Inline()):
        pass
    return run


def contents(run: Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run.path / "checkpoints").iterdir()}


def test_the_same_recipe_gives_the_same_bits(tmp_path: Path) -> None:
    assert contents(finish(tmp_path / "a")) == contents(finish(tmp_path / "b"))


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = finish(tmp_path / "whole")
    world, run = HierarchicalWorld.of(SHORT), Run.create(tmp_path / "stopped", SHORT)
    events = train(world.ensemble(), world.split_samples(), world.task(), run, Inline())
    for _ in range(stop):
        next(events)
    events.close()
    assert run.resume_step() == milestones(SHORT)[stop - 1]
    assert contents(finish(tmp_path / "stopped")) == contents(whole)


def test_worker_processes_change_nothing(tmp_path: Path) -> None:
    world, run = HierarchicalWorld.of(SHORT), Run.create(tmp_path / "two", SHORT)
    with open_executor(2) as executor:
        list(train(world.ensemble(), world.split_samples(), world.task(), run, executor))
    assert contents(run) == contents(finish(tmp_path / "one"))


FEW_FILES = """
import resource, sys
from pathlib import Path
from test_training import SHORT, finish
from twinsplit.execution.local import open_executor
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    with open_executor(2) as executor:
        finish(Path(sys.argv[1]), SHORT, executor)
"""


def test_two_workers_train_with_256_open_files(tmp_path: Path) -> None:
    """The least that common shells allow; every tensor once took one, and there are hundreds."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", FEW_FILES, tmp_path / "few"], check=True, timeout=240, env=environment)
    assert contents(Run.open(tmp_path / "few")) == contents(finish(tmp_path / "one"))


def test_the_ensemble_given_is_left_alone(tmp_path: Path) -> None:
    """Shards are stepped, not the parameters they began with."""
    world, run = HierarchicalWorld.of(SHORT), Run.create(tmp_path / "run", SHORT)
    ensemble = world.ensemble()
    before = {name: value.clone() for name, value in ensemble.parameters.items()}
    list(train(ensemble, world.split_samples(), world.task(), run))
    assert all(torch.equal(value, before[name]) for name, value in ensemble.parameters.items())


def test_a_member_does_not_depend_on_the_others(tmp_path: Path) -> None:
    both = finish(tmp_path / "both")
    world = HierarchicalWorld.of(SHORT)
    more = replace(SHORT, data=replace(SHORT.data, splits=3))
    three = finish(tmp_path / "three", more)
    assert HierarchicalWorld.of(more).splits.rows[:2].tolist() == world.splits.rows.tolist()
    for name, value in both.load(24).items():
        assert torch.equal(value, three.load(24)[name][:2])


def test_every_member_has_its_own_seed_and_one_seed_shares_everything_but_data() -> None:
    recipe = replace(SHORT, training=replace(SHORT.training, seeds_per_split=2))
    world = HierarchicalWorld.of(recipe)
    assert [m.seed for m in world.members] == [0, 1, 2, 3]
    start = world.ensemble().parameters["input.weight"]
    assert not torch.equal(start[0], start[2])
    shared = Ensemble.initial(world.network, (Member(0, 7), Member(1, 7)), world.root)
    assert torch.equal(shared.parameters["input.weight"][0], shared.parameters["input.weight"][1])
    first, second = deal(shared, world.split_samples(), world.task())
    assert first.noises() == second.noises()
    assert not torch.equal(first.samples, second.samples)


def test_one_step_is_adam_on_the_batchs_cross_entropy(tmp_path: Path) -> None:
    """The first step written out with torch.nn.functional and torch.optim.Adam."""
    recipe = replace(SHORT, training=replace(SHORT.training, steps=6, first_checkpoint=1, checkpoints=4, ema_decay=0.0))
    world = HierarchicalWorld.of(recipe)
    task, noise, tokens = world.task(), world.members[0].noise(world.root), world.split_samples()[0]
    rows = batch_rows(noise, 1, 6, 6, torch.device("cpu"))
    t = draw_times(noise, 1, len(rows), task.schedule, torch.device("cpu"))
    eps = noise.child("eps").normal(1, torch.arange(len(rows)), (world.grammar.length, 4), torch.float32)
    signal_, sigma = (s.float() for s in task.schedule.scales(t))
    leaves = {n: v[:1].clone().requires_grad_() for n, v in world.ensemble().parameters.items()}
    logits = world.network.outputs(leaves, noised_one_hot(tokens[rows], eps, signal_, sigma)[None], t[None])
    torch.nn.functional.cross_entropy(logits.flatten(0, 2), tokens[rows].flatten()).backward()
    torch.optim.Adam(leaves.values(), lr=recipe.training.learning_rate).step()
    run = finish(tmp_path / "run", recipe)
    for name, leaf in leaves.items():
        if not name.endswith("qkv.bias"):  # softmax ignores the keys' bias: its gradient is rounding, which Adam blows up to a full step
            torch.testing.assert_close(run.load(1)["weights." + name][:1], leaf.detach(), rtol=1e-5, atol=1e-6)


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    recipe = replace(SHORT, training=replace(SHORT.training, steps=4, first_checkpoint=1, checkpoints=9, ema_decay=0.9, save_every=1))
    run = finish(tmp_path / "run", recipe)
    average = HierarchicalWorld.of(recipe).ensemble().parameters["input.bias"].clone()
    for step in (1, 2, 3, 4):
        average.lerp_(run.load(step)["weights.input.bias"], 1 - min(0.9, step / (step + 9)))
        torch.testing.assert_close(run.load(step)["average.input.bias"], average)


def test_without_an_average_the_weights_are_evaluated(tmp_path: Path) -> None:
    recipe = replace(SHORT, training=replace(SHORT.training, ema_decay=0.0))
    run = finish(tmp_path / "run", recipe)
    names = run.load(24)
    assert all(name.startswith("weights.") for name in names)
    assert torch.equal(load_ensemble(run, HierarchicalWorld.of(recipe).network, 24).parameters["input.bias"], names["weights.input.bias"])


def test_divergence_is_said_and_earlier_checkpoints_stay(tmp_path: Path) -> None:
    recipe = replace(SHORT, training=replace(SHORT.training, learning_rate=1e30, schedule="constant", first_checkpoint=1))
    with pytest.raises(InputError, match=r"loss of split \d, seed 0 is not finite at step \d+; lower training.learning_rate"):
        finish(tmp_path / "run", recipe)
    run = Run.open(tmp_path / "run")
    assert run.steps()
    run.load(run.steps()[-1])


def test_an_altered_resume_point_is_refused_then_remade(tmp_path: Path) -> None:
    whole = contents(finish(tmp_path / "whole"))
    world, run = HierarchicalWorld.of(SHORT), Run.create(tmp_path / "run", SHORT)
    events = train(world.ensemble(), world.split_samples(), world.task(), run, Inline())
    for _ in range(5):
        step = next(events).step
    path = run.checkpoint(step, ".optimizer")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="delete this file and train again"):
        finish(tmp_path / "run")
    path.unlink()
    assert contents(finish(tmp_path / "run")) == whole


def test_dropout_is_keyed_and_acts(tmp_path: Path) -> None:
    recipe = replace(SHORT, network=replace(SHORT.network, dropout=0.3))
    dropped, again, kept = finish(tmp_path / "a", recipe), finish(tmp_path / "b", recipe), finish(tmp_path / "c")
    assert contents(dropped) == contents(again)
    assert not torch.equal(dropped.load(24)["weights.input.bias"], kept.load(24)["weights.input.bias"])


def test_bfloat16_training_stays_near_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "fast_bfloat16", lambda: True)
    half = finish(tmp_path / "half", replace(SHORT, training=replace(SHORT.training, precision="bfloat16")))
    full = finish(tmp_path / "full")
    difference = half.load(24)["weights.output.weight"] - full.load(24)["weights.output.weight"]
    moved = full.load(24)["weights.output.weight"] - HierarchicalWorld.of(SHORT).ensemble().parameters["output.weight"]
    assert 0 < float(difference.norm()) < 0.2 * float(moved.norm())


def test_every_sample_is_seen_once_an_epoch() -> None:
    noise, device = Noise(0), torch.device("cpu")
    assert steps_per_epoch(10, 4) == 3
    for epoch in range(3):
        rows = torch.cat([batch_rows(noise, 3 * epoch + i, 10, 4, device) for i in (1, 2, 3)])
        assert sorted(rows.tolist()) == list(range(10))
        assert len(batch_rows(noise, 3 * epoch + 3, 10, 4, device)) == 2


def test_published_rates() -> None:
    assert constant(7, 100, 10) == 1
    assert published(1, 20_000, 1) == 1
    assert published(26, 20_000, 1) == pytest.approx(0.75)
    assert published(51, 20_000, 1) == pytest.approx(0.5)
    assert published(20_000, 20_000, 1) == pytest.approx(0.1, abs=1e-6)
    assert published(10_025, 20_000, 1) == pytest.approx(0.3, abs=1e-3)


def test_shards_on_the_processor_are_single_members() -> None:
    world = HierarchicalWorld.of(SHORT)
    assert [len(shard.members) for shard in deal(world.ensemble(), world.split_samples(), world.task())] == [1, 1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    assert quickstart(path).wait(timeout=240) == 0
    return everything(path)


@pytest.mark.parametrize("attempt", range(3))
def test_kill_minus_nine_at_random_moments(tmp_path: Path, undisturbed: dict[str, bytes], attempt: int) -> None:
    """The same command, killed three times wherever it happens to be, ends with the bits of an undisturbed run."""
    moments = random.Random(attempt)
    for _ in range(3):
        process = quickstart(tmp_path / "killed")
        time.sleep(moments.uniform(1.0, 7.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert quickstart(tmp_path / "killed").wait(timeout=240) == 0
    assert everything(tmp_path / "killed") == undisturbed


def quickstart(out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "twinsplit.cli", "quickstart", "--scale", "smoke", "--out", str(out), "--workers", "1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def everything(path: Path) -> dict[str, bytes]:
    kinds = ("checkpoints/*.safetensors", "measurements/**/*.parquet", "measurements/*.json", "config.json", "data.json")
    return {str(p.relative_to(path)): p.read_bytes() for kind in kinds for p in path.glob(kind) if p.is_file()}
