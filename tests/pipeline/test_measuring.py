"""Probes are fixed, disjoint and keyed; examinations agree with the definitions; curves are read back as they were measured."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twinsplit.diffusion.denoiser import Categorical
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Inline, open_executor
from twinsplit.measures.neighbours import nearest_hamming
from twinsplit.noise.reference import Noise
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.curves import curves_of, data_shares
from twinsplit.pipeline.measuring import measure
from twinsplit.recipes import SMOKE
from twinsplit.runs.rows import Table, values
from twinsplit.runs.store import Run
from twinsplit.training.loop import load_ensemble, train
from twinsplit.worlds.sequences.generation import generate, measure_neighbours
from twinsplit.worlds.sequences.predictions import MEASURES, SequenceEvaluator
from twinsplit.worlds.sequences.probes import probe_at, probe_over_times
from twinsplit.worlds.sequences.world import HierarchicalWorld

RECIPE = replace(
    SMOKE,
    data=replace(SMOKE.data, splits=3),
    training=replace(SMOKE.training, steps=20, seeds_per_split=2),
    measuring=replace(SMOKE.measuring, noise_draws=2),
)


@pytest.fixture(scope="module")
def world() -> HierarchicalWorld:
    return HierarchicalWorld.of(RECIPE)


@pytest.fixture(scope="module")
def run(world: HierarchicalWorld, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("measuring") / "run", RECIPE)
    list(train(world.ensemble(), world.split_samples(), world.task(), run))
    list(measure(run, world, tuple(MEASURES), Inline()))
    return run


def test_probes_do_not_depend_on_their_company(world: HierarchicalWorld) -> None:
    tokens, ids = world.held_out_samples(), torch.from_numpy(world.splits.held_out)
    noise = Noise(0, "probe")
    whole = probe_over_times(tokens, ids, 2, world.schedule, 4, noise)
    part = probe_over_times(tokens[5:9], ids[5:9], 2, world.schedule, 4, noise)
    rows = [5, 6, 7, 8, 53, 54, 55, 56]
    assert torch.equal(whole.x_t[rows], part.x_t)
    assert torch.equal(whole.t[rows], part.t)
    assert not torch.equal(whole.x_t[:48], whole.x_t[48:])


def test_probes_are_the_noised_tokens(world: HierarchicalWorld) -> None:
    tokens, ids = world.held_out_samples(), torch.from_numpy(world.splits.held_out)
    probe = probe_at(tokens, ids, 7, 1, world.schedule, 4, Noise(0, "probe"))
    eps = Noise(0, "probe").child("eps").normal(0, ids, (4, 4))
    expected = world.schedule.noised(torch.nn.functional.one_hot(tokens, 4).double(), 7, eps)
    torch.testing.assert_close(probe.x_t.double(), expected, atol=1e-6, rtol=1e-6)
    assert bool((probe.t == 7).all())


def test_held_out_and_splits_share_no_content(world: HierarchicalWorld) -> None:
    world.splits.check(world.data.sequences)


def test_measures_equal_their_definitions(run: Run, world: HierarchicalWorld) -> None:
    step = run.steps()[3]
    ensemble = load_ensemble(run, world.network, step)
    probe = world.probes().held_out_fixed
    models = [ensemble.member(k)(probe.x_t, probe.t) for k in range(6)]
    oracle = TreeOracle(world.grammar, world.schedule, 1)(probe.x_t.double(), probe.t)
    split = run.table("sample_split_divergence").to_pylist()
    row = next(r for r in split if (r["step"], r["member_a"], r["member_b"]) == (step, 4, 1))
    np.testing.assert_allclose(row["values"], models[4].kl(models[1]), rtol=1e-4, atol=1e-6)
    assert (row["split_a"], row["split_b"], row["seed_a"]) == (2, 0, 4)
    rows = run.table("oracle_divergence").to_pylist()
    row = next(r for r in rows if (r["step"], r["member"], r["truncation"]) == (step, 2, 1))
    np.testing.assert_allclose(row["values"], Categorical(oracle.log_probs.float()).kl(models[2]), rtol=1e-4, atol=1e-5)


def test_parts_of_the_loss_sum_to_it(run: Run) -> None:
    parts = Table.read(run, "loss_decomposition").where(times="all")
    for data, name in (("test", "test_loss"), ("train", "train_loss")):
        oracle, excess = (parts.where(data=data, term=term) for term in ("oracle", "excess"))
        np.testing.assert_allclose(oracle.means + excess.means, Table.read(run, name).means, rtol=1e-5)


def test_no_model_beats_the_exact_posterior(run: Run, world: HierarchicalWorld) -> None:
    """The oracle term is a cross-entropy against the exact posterior, so at least its entropy; and so is the mean divergence."""
    assert (Table.read(run, "oracle_divergence").where(truncation=0).means > 0).all()
    bayes = SequenceEvaluator(world.probes()).lowest_losses()
    assert 0 < bayes["fixed_time_loss"] < bayes["test_loss"] < np.log(4)


def test_curves_average_directions_and_draws(run: Run) -> None:
    curves = curves_of(run)
    assert curves.divergence.shape == (len(run.steps()), 12, 48)
    assert curves.test_loss.shape == (len(run.steps()), 6, 48)
    table = run.table("sample_split_divergence")
    rows, all_values = table.drop_columns(["values"]).to_pylist(), values(table)
    a, b = curves.pairs[5]
    both = [i for i, r in enumerate(rows) if r["step"] == run.steps()[-1] and {r["member_a"], r["member_b"]} == {a, b}]
    np.testing.assert_allclose(curves.divergence[-1, 5], all_values[both].reshape(2, 2, 48).mean((0, 1)))
    assert all(a // 2 != b // 2 for a, b in curves.pairs)


def test_the_share_of_the_data_is_what_seeds_do_not_explain(run: Run) -> None:
    shares = data_shares(run)
    assert [share["step"] for share in shares] == list(run.steps())
    table = Table.read(run, "sample_split_divergence").where(step=run.steps()[-1])
    apart = table.columns["split_a"] != table.columns["split_b"]
    assert shares[-1]["excess"] == pytest.approx(table.means[apart].mean() - table.means[~apart].mean(), rel=1e-5)
    low, high = shares[-1]["interval"]
    assert low < shares[-1]["excess"] < high


def test_measuring_is_resumable_and_independent_of_workers(run: Run, world: HierarchicalWorld, tmp_path: Path) -> None:
    again = Run.create(tmp_path / "again", RECIPE)
    list(train(world.ensemble(), world.split_samples(), world.task(), again))
    events = measure(again, world, ("test_loss",), Inline())
    next(events)
    events.close()
    assert len(again.measured("test_loss")) == 1
    with open_executor(2) as executor:
        list(measure(again, world, tuple(MEASURES), executor))
    for part in (run.path / "measurements").glob("*.parquet/*"):
        assert (again.path / part.relative_to(run.path)).read_bytes() == part.read_bytes()


def test_a_decision_on_some_of_the_checkpoints_is_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = Run.open(shutil.copytree(run.path, tmp_path / "run"))
    pipeline.decide(copied)
    whole = (copied.path / pipeline.ONSET).read_bytes()
    for name, step in (("test_loss", run.steps()[-1]), ("sample_split_divergence", run.steps()[1])):
        (copied.path / "measurements" / f"{name}.parquet" / f"step_{step:08d}.parquet").unlink()
    wanted = rf"2 of {len(run.steps())} checkpoints .* the first at step {run.steps()[1]}; run: twinsplit measure"
    with pytest.raises(InputError, match=wanted):
        pipeline.decide(copied)
    assert (copied.path / pipeline.ONSET).read_bytes() == whole
    with copied.hold():
        pipeline.decide(copied)
    assert "decided without them" in capsys.readouterr().err
    assert (copied.path / pipeline.ONSET).read_bytes() != whole


def test_unknown_measures_are_refused(run: Run, world: HierarchicalWorld) -> None:
    with pytest.raises(InputError, match="choose among sample_split_divergence"):
        list(measure(run, world, ("fid",), Inline()))


def test_samples_do_not_depend_on_their_batch_and_distances_are_exact(
    run: Run, world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation, denoiser = world.generation(), load_ensemble(run, world.network, run.steps()[-1]).member(0)
    whole = generate(generation, denoiser)
    monkeypatch.setattr("twinsplit.worlds.sequences.generation.TOKENS_AT_ONCE", 5 * generation.shape[0])
    assert torch.equal(generate(generation, denoiser), whole)
    step = run.steps()[-1]
    list(measure_neighbours(run, world, generation, (step,), Inline()))
    row = next(r for r in run.table("nearest_neighbours").to_pylist() if r["member"] == 0)
    assert row["values"] == nearest_hamming(whole, world.split_samples()[0].to(torch.int8))[0].tolist()
