"""Time profiles and the excess on fresh data equal their definitions; what is 0 for the exact posterior is measured as 0."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twinsplit.diffusion.denoiser import Categorical
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Inline, open_executor
from twinsplit.measures.decomposition import decompose
from twinsplit.papers.bg.claims import profile
from twinsplit.pipeline.landmarks import landmarks_of
from twinsplit.pipeline.measuring import measure
from twinsplit.runs.store import Run
from twinsplit.training.loop import load_ensemble
from twinsplit.worlds.sequences import profiles
from twinsplit.worlds.sequences.predictions import CHUNK, Predictions, fixed_time_decomposition_rows, train_oracle_divergence_rows
from twinsplit.worlds.sequences.probes import probe_over_times
from twinsplit.worlds.sequences.profiles import FRESH_FACTOR, FRESH_SEED, fresh_probes, measure_fresh, measure_profile, profile_times
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.fixture(scope="module")
def world(middle: Run) -> HierarchicalWorld:
    return HierarchicalWorld.of(middle.recipe)


@pytest.fixture(scope="module")
def measured(middle: Run, world: HierarchicalWorld, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The middle run with a profile and the excess on fresh data at its last checkpoint."""
    run = copied(middle, tmp_path_factory.mktemp("profiles") / "run")
    list(measure_profile(run, world, run.steps()[-1:], Inline()))
    list(measure_fresh(run, world, run.steps()[-1:], Inline()))
    return run


def copied(run: Run, to: Path) -> Run:
    (to / "checkpoints").mkdir(parents=True)
    for file in [run.path / "config.json", *(run.path / "checkpoints").iterdir()]:
        (to / file.relative_to(run.path)).write_bytes(file.read_bytes())
    return Run.open(to)


def kl_by_loops(first: np.ndarray, second: np.ndarray) -> list[float]:
    """KL in nats between posteriors given as logarithms (n, L, q), summed over sites."""
    n, L, q = first.shape
    return [
        sum(np.exp(first[i, s, a]) * (first[i, s, a] - second[i, s, a]) for s in range(L) for a in range(q) if np.isfinite(first[i, s, a]))
        for i in range(n)
    ]


@torch.no_grad()
def log_posterior(denoiser: object, x: torch.Tensor, t: torch.Tensor) -> np.ndarray:
    return denoiser(x, t).log_probs.double().numpy()  # type: ignore[operator]


@pytest.mark.parametrize("k", [0, 1])
def test_a_profile_is_the_divergence_at_that_time(measured: Run, world: HierarchicalWorld, k: int) -> None:
    step, t = measured.steps()[-1], profile_times(world)[3]
    rows = world.splits.held_out[:24]
    ids, tokens = torch.from_numpy(rows), torch.from_numpy(world.data.sequences[rows]).long()
    eps = world.root.child("profile").child("eps").normal(0, ids, (world.grammar.length, world.grammar.vocab_size), torch.float32)
    x_t = world.schedule.noised(torch.nn.functional.one_hot(tokens, world.grammar.vocab_size).float(), t, eps)
    times = torch.full((len(rows),), t)
    exact = log_posterior(TreeOracle(world.grammar, world.schedule, k), x_t.double(), times)
    ensemble = load_ensemble(measured, world.network, step)
    for member in range(3):
        model = log_posterior(ensemble.member(member), x_t, times)
        values = kl_by_loops(exact, model)
        (row,) = (
            r
            for r in measured.table("time_profile").to_pylist()
            if (r["member"], r["t"], r["truncation"], r["step"]) == (member, t, k, step)
        )
        assert row["values"] == [pytest.approx(np.mean(values), rel=1e-4)]
        assert row["standard_error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(24), rel=1e-3)


def test_profiles_are_read_as_they_were_measured(measured: Run, world: HierarchicalWorld) -> None:
    step = measured.steps()[-1]
    times, means = profile(measured, step, 2)
    assert times.tolist() == list(profile_times(world))
    assert means.shape == (len(times), 3)
    for row in measured.table("time_profile").to_pylist():
        if row["truncation"] == 2:
            assert means[times.tolist().index(row["t"]), row["member"]] == pytest.approx(row["values"][0])


def test_profile_times_span_the_schedule(world: HierarchicalWorld) -> None:
    times = profile_times(world)
    assert (times[0], times[-1], len(times)) == (1, 50, 12)
    assert len(set(np.diff(times))) <= 2


def test_the_exact_posterior_has_no_excess_on_fresh_data(world: HierarchicalWorld) -> None:
    """Its expectation is 0: within 4 standard errors (false alarm 1 in 16,000), and the standard error resolves what networks have."""
    n = 4_000
    tokens = torch.from_numpy(world.grammar.sample(n, 5).numpy().astype(np.int64))
    probe = probe_over_times(tokens, torch.arange(n), 1, world.schedule, world.grammar.vocab_size, world.root.child("test"))
    exact = world.oracle()(probe.x_t.double(), probe.t)
    excess = decompose(exact, exact, tokens).excess_term.numpy()
    error = excess.std(ddof=1) / np.sqrt(n)
    assert abs(excess.mean()) < 4 * error
    assert error < 0.01


def test_the_excess_on_fresh_data_is_loss_less_cross_entropy(measured: Run, world: HierarchicalWorld) -> None:
    count = FRESH_FACTOR * world.recipe.data.held_out
    tokens = torch.from_numpy(world.grammar.sample(count, world.recipe.seed + FRESH_SEED).numpy().astype(np.int64))
    noise = world.root.child("fresh")
    probe = probe_over_times(tokens, torch.arange(count), 1, world.schedule, world.grammar.vocab_size, noise)
    exact = log_posterior(world.oracle(), probe.x_t.double(), probe.t)
    model = log_posterior(load_ensemble(measured, world.network, measured.steps()[-1]).member(2), probe.x_t, probe.t)
    length = world.grammar.length
    expected = [
        sum(-model[i, s, int(tokens[i, s])] + sum(np.exp(exact[i, s]) * model[i, s]) for s in range(length)) / length for i in range(count)
    ]
    (row,) = (r for r in measured.table("fresh_excess").to_pylist() if r["member"] == 2)
    np.testing.assert_allclose(row["values"], expected, rtol=1e-3, atol=1e-5)


def test_pieces_of_fresh_sequences_are_what_one_piece_is(
    middle: Run, measured: Run, world: HierarchicalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, step = copied(middle, tmp_path / "again"), middle.steps()[-1]
    monkeypatch.setattr(profiles, "AT_ONCE", CHUNK)
    assert len(list(fresh_probes(world, torch.zeros(FRESH_FACTOR * world.recipe.data.held_out, world.grammar.length)))) == 4
    list(measure_fresh(again, world, (step,), Inline()))
    name = f"measurements/fresh_excess.parquet/step_{step:08d}.parquet"
    assert (again.path / name).read_bytes() == (measured.path / name).read_bytes()


def test_draws_of_fresh_sequences_follow_each_other(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = replace(world, recipe=replace(world.recipe, measuring=replace(world.recipe.measuring, noise_draws=2)))
    tokens = torch.from_numpy(world.grammar.sample(50, 5).numpy()).long()
    monkeypatch.setattr(profiles, "AT_ONCE", 20)
    pieces = list(fresh_probes(twice, tokens))
    assert [len(piece.t) for piece in pieces] == [20, 20, 10, 20, 20, 10]
    whole = probe_over_times(tokens, torch.arange(50), 2, world.schedule, world.grammar.vocab_size, world.root.child("fresh"))
    for part in ("tokens", "x_t", "t"):
        assert torch.equal(torch.cat([getattr(piece, part) for piece in pieces]), getattr(whole, part))


def test_fresh_sequences_are_not_those_of_the_run(world: HierarchicalWorld) -> None:
    drawn = world.grammar.sample(world.recipe.data.held_out, world.recipe.seed + FRESH_SEED).numpy()
    assert not np.array_equal(drawn, world.data.sequences[: len(drawn)])
    assert not np.array_equal(drawn, world.held_out_samples().numpy())


def test_measurements_do_not_depend_on_the_crew_and_resume(middle: Run, measured: Run, world: HierarchicalWorld, tmp_path: Path) -> None:
    again, last = copied(middle, tmp_path / "again"), middle.steps()[-1:]
    with open_executor(2) as executor:
        list(measure_profile(again, world, last, executor))
    name = f"measurements/time_profile.parquet/step_{last[0]:08d}.parquet"
    assert (again.path / name).read_bytes() == (measured.path / name).read_bytes()
    assert list(measure_profile(again, world, last, Inline())) == []
    assert [m.step for m in measure_profile(again, world, middle.steps()[-2:], Inline())] == [middle.steps()[-2]]
    assert list(measure_fresh(measured, world, last, Inline())) == []


def test_the_figures_profile_is_at_the_test_loss_minimum(middle: Run) -> None:
    assert middle.measured("time_profile") == (landmarks_of(middle).loss,)


@pytest.fixture(scope="module")
def predictions(middle: Run, world: HierarchicalWorld) -> Predictions:
    return Predictions(load_ensemble(middle, world.network, middle.steps()[-1]), world.probes())


def test_divergences_on_training_data_are_on_ones_own_split(
    middle: Run, world: HierarchicalWorld, predictions: Predictions, tmp_path: Path
) -> None:
    run, step = copied(middle, tmp_path / "run"), middle.steps()[-1]
    list(measure(run, world, ("train_split_divergence", "train_oracle_divergence"), Inline()))
    pairs = [row for row in run.table("train_split_divergence").to_pylist() if row["step"] == step]
    assert [(r["member_a"], r["member_b"]) for r in pairs] == [(a, b) for a in range(3) for b in range(3) if a != b]
    for row in pairs[1::3]:
        probe = predictions.probes.splits_fixed[row["split_a"]]
        a, b = (log_posterior(predictions.twins.member(row[f"member_{side}"]), probe.x_t, probe.t) for side in "ab")
        np.testing.assert_allclose(row["values"], kl_by_loops(a, b), rtol=1e-3, atol=1e-5)
        assert {tuple(s) for s in probe.tokens.tolist()} == {tuple(s) for s in world.split_samples()[row["split_a"]].tolist()}
    for row in train_oracle_divergence_rows(predictions)[::4]:
        probe = predictions.probes.splits_fixed[row["split"]]
        oracle = log_posterior(TreeOracle(world.grammar, world.schedule, row["truncation"]), probe.x_t.double(), probe.t)
        expected = kl_by_loops(oracle, log_posterior(predictions.twins.member(row["member"]), probe.x_t, probe.t))
        np.testing.assert_allclose(row["values"], expected, rtol=1e-3, atol=1e-4)


def test_the_terms_at_the_later_time_sum_to_the_loss_there(world: HierarchicalWorld, predictions: Predictions) -> None:
    rows, t = fixed_time_decomposition_rows(predictions), world.recipe.decomposed_time
    assert t == 15
    for member in range(3):
        for data in ("test", "train"):
            terms = {r["term"]: r["values"] for r in rows if (r["member"], r["data"]) == (member, data)}
            probe = predictions.probes.held_out_later if data == "test" else predictions.probes.splits_later[member]
            assert bool((probe.t == t).all())
            model = log_posterior(predictions.twins.member(member), probe.x_t, probe.t)
            loss = [-np.mean([model[i, s, int(a)] for s, a in enumerate(seq)]) for i, seq in enumerate(probe.tokens)]
            np.testing.assert_allclose((terms["oracle"] + terms["excess"]).numpy(), loss, rtol=1e-4)
            exact = Categorical(world.oracle()(probe.x_t.double(), probe.t).log_probs)
            np.testing.assert_allclose(terms["oracle"], exact.cross_entropy(Categorical(torch.from_numpy(model))) / 4, rtol=1e-3)
