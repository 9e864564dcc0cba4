"""U-turns equal their definition, oracle and networks begin alike, and nothing depends on crew, chunk or resumption."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twinsplit.diffusion.sampler import Ancestral
from twinsplit.exact.empirical import EmpiricalDenoiser
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Executor, Inline, open_executor
from twinsplit.networks import arithmetic
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.papers.bg.claims import overlap_ratios
from twinsplit.pipeline.landmarks import landmarks_of
from twinsplit.runs.store import Run
from twinsplit.training.loop import load_ensemble
from twinsplit.worlds.sequences.uturns import (
    FRACTIONS,
    RANDOM_FRACTIONS,
    Course,
    Starts,
    measure_random_uturns,
    measure_uturns,
    networks_of,
    overlaps,
    own_starts,
    random_starts,
    times_of,
)
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.fixture(scope="module")
def world(middle: Run) -> HierarchicalWorld:
    return HierarchicalWorld.of(middle.recipe)


def rows_of(run: Run, name: str, **wanted: object) -> list[dict[str, object]]:
    return [row for row in run.table(name).to_pylist() if all(row[key] == value for key, value in wanted.items())]


def by_hand(world: HierarchicalWorld, denoiser: object, sequence: np.ndarray, row: int, t: int) -> float:
    """The overlap of one start: noised, walked back step by step, compared token by token; repetition by repetition."""
    repetitions, noise = world.recipe.measuring.uturn_repetitions, world.root.child("uturn").child(str(t))
    kept = []
    for repetition in range(repetitions):
        one = torch.tensor([row * repetitions + repetition])
        x_0 = torch.zeros(1, world.grammar.length, world.grammar.vocab_size)
        for site, token in enumerate(sequence):
            x_0[0, site, token] = 1.0
        x = world.schedule.noised(x_0, t, noise.child("forward").normal(t, one, tuple(x_0.shape[1:]), torch.float32))
        for s in range(t, 0, -1):
            mean, variance = world.schedule.reverse(x, denoiser(x, s).mean.float(), s, s - 1)  # type: ignore[operator]
            x = mean + variance.sqrt() * noise.child("backward").normal(s, one, tuple(x_0.shape[1:]), torch.float32)
        kept.append(np.mean([int(x[0, site].argmax()) == token for site, token in enumerate(sequence)]))
    return float(np.mean(kept))


def test_the_oracles_overlaps_are_what_they_are_defined_as(middle: Run, world: HierarchicalWorld) -> None:
    times, oracle = times_of(world, FRACTIONS), TreeOracle(world.grammar, world.schedule)
    for split, rows in ((0, world.splits.rows[0]), (2, world.splits.rows[2])):
        for t in times[-2:]:
            (found,) = rows_of(middle, "uturns_oracle", starts=split, t=t)
            expected = [by_hand(world, oracle, world.data.sequences[row], int(row), t) for row in rows[:6]]
            np.testing.assert_allclose(found["values"], expected, atol=1e-6)


def test_a_networks_overlaps_are_what_they_are_defined_as(middle: Run, world: HierarchicalWorld) -> None:
    step, t = landmarks_of(middle).loss, times_of(world, FRACTIONS)[-1]
    denoiser = load_ensemble(middle, world.network, step).member(1)
    for data, split in (("train", 1), ("test", 2)):
        (found,) = rows_of(middle, "uturns", step=step, member=1, data=data, t=t)
        with torch.no_grad():
            expected = [by_hand(world, denoiser, world.data.sequences[row], int(row), t) for row in world.splits.rows[split][:6]]
        np.testing.assert_allclose(found["values"], expected, atol=1e-6)


def test_networks_turn_in_the_precision_that_they_trained_in(
    middle: Run, world: HierarchicalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do where samples are drawn; in float32 nothing is converted."""
    monkeypatch.setattr(arithmetic, "fast_bfloat16", lambda: True)
    step, t = middle.steps()[-1], times_of(world, FRACTIONS)[-1]
    kept = load_ensemble(middle, world.network, step).member(1)
    assert isinstance(kept, NetworkDenoiser)
    same = networks_of(middle, world, step)[1][1].parameters
    assert all(torch.equal(same[name], value) and same[name].dtype == torch.float32 for name, value in kept.parameters.items())
    rough = replace(world, recipe=replace(world.recipe, training=replace(world.recipe.training, precision="bfloat16")))
    run = copied(middle, tmp_path / "run")
    list(measure_uturns(run, rough, (step,), Inline()))
    (found,) = rows_of(run, "uturns", step=step, member=1, data="train", t=t)
    expected = overlaps(Course.of(rough), kept.computing("bfloat16"), own_starts(rough)[1].starts, t)
    np.testing.assert_allclose(found["values"], expected, atol=1e-6)
    assert {value.dtype for value in networks_of(run, rough, step)[1][1].parameters.values()} == {torch.bfloat16}


def test_every_network_meets_every_start(middle: Run, world: HierarchicalWorld) -> None:
    rows, times = middle.table("uturns").to_pylist(), times_of(world, FRACTIONS)
    marks = landmarks_of(middle)
    expected = {(s, m, d, t) for s in (marks.nearest, marks.loss) for m in range(3) for d in ("test", "train") for t in times}
    assert {(r["step"], r["member"], r["data"], r["t"]) for r in rows} == expected
    assert len(rows) == len(expected)
    assert all(len(r["values"]) == 6 for r in rows)
    assert {(r["data"], r["member"], r["starts"]) for r in rows} == {
        (d, m, (m + (d == "test")) % 3) for d in ("test", "train") for m in range(3)
    }
    assert len(middle.table("uturns_oracle")) == 3 * len(times)


class Recorder:
    """A denoiser that keeps the first states it meets."""

    device = torch.device("cpu")

    def __init__(self, inner: object) -> None:
        self.inner, self.seen = inner, []

    def __call__(self, x: torch.Tensor, t: int) -> object:
        self.seen.append(x.clone())
        return self.inner(x, t)  # type: ignore[operator]


def test_oracle_and_network_begin_from_the_same_noised_starts(middle: Run, world: HierarchicalWorld) -> None:
    course, starts = Course.of(world), own_starts(world)[1].starts
    first = [Recorder(model) for model in (world.oracle(), load_ensemble(middle, world.network, middle.steps()[-1]).member(0))]
    for denoiser in first:
        overlaps(course, denoiser, starts, 6)  # type: ignore[arg-type]
    assert torch.equal(first[0].seen[0], first[1].seen[0])
    assert not torch.equal(first[0].seen[-1], first[1].seen[-1])


def test_a_start_does_not_depend_on_its_company_or_the_chunk(world: HierarchicalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    course, oracle, starts = Course.of(world), world.oracle(), own_starts(world)[1].starts
    whole = overlaps(course, oracle, starts, 5)
    part = overlaps(course, oracle, Starts(starts.tokens[2:4], starts.ids[2:4]), 5)
    assert torch.equal(whole[2:4], part)
    monkeypatch.setattr("twinsplit.worlds.sequences.uturns.CHUNK", 5)
    assert torch.equal(overlaps(course, oracle, starts, 5), whole)


def test_repetitions_are_not_the_same_uturn(world: HierarchicalWorld) -> None:
    course = Course(Ancestral(world.schedule), world.grammar.vocab_size, 40, world.root.child("uturn"))
    assert len(set(overlaps(course, world.oracle(), own_starts(world)[1].starts, 25).tolist())) > 1


def test_random_starts_are_uniform_and_forgotten_alike(middle: Run, world: HierarchicalWorld) -> None:
    starts = random_starts(world)
    assert starts.tokens.shape == (100, world.grammar.length)
    counts = torch.bincount(starts.tokens.flatten(), minlength=world.grammar.vocab_size)
    assert counts.min() > 60  # of 100 expected, standard deviation 8.7
    times = times_of(world, RANDOM_FRACTIONS)
    points = EmpiricalDenoiser(world.split_samples()[0][:256], world.schedule, world.grammar.vocab_size)
    for name, denoiser in (("empirical", points), ("BP_1", TreeOracle(world.grammar, world.schedule, 1))):
        (found,) = rows_of(middle, "uturns_random_exact", model=name, t=times[0])
        expected = [by_hand(world, denoiser, starts.tokens[i].numpy(), i, times[0]) for i in range(4)]
        np.testing.assert_allclose(found["values"][:4], expected, atol=1e-6)  # type: ignore[index]
    names = [row["model"] for row in rows_of(middle, "uturns_random_exact", t=times[0])]
    assert names == ["empirical", "BP_0", "BP_1", "BP_2"]


def test_ratios_compare_with_the_oracle_from_the_same_starts(middle: Run, world: HierarchicalWorld) -> None:
    step = landmarks_of(middle).loss
    for data in ("train", "test"):
        ratios = overlap_ratios(middle, step, data)
        for i, t in enumerate(times_of(world, FRACTIONS)):
            for member in range(3):
                (row,) = rows_of(middle, "uturns", step=step, member=member, data=data, t=t)
                (exact,) = rows_of(middle, "uturns_oracle", t=t, starts=(member + (data == "test")) % 3)
                assert ratios[i, member] == pytest.approx(np.mean(row["values"]) / np.mean(exact["values"]), rel=1e-6)


def copied(run: Run, to: Path) -> Run:
    """The run without its U-turns; checkpoints are shared."""
    (to / "checkpoints").mkdir(parents=True)
    for file in [run.path / "config.json", *(run.path / "checkpoints").iterdir()]:
        (to / file.relative_to(run.path)).write_bytes(file.read_bytes())
    return Run.open(to)


def everything(run: Run, world: HierarchicalWorld, executor: Executor) -> Iterator[object]:
    step = run.steps()[-1]
    yield from measure_uturns(run, world, (step,), executor)
    yield from measure_random_uturns(run, world, step, executor)


def tables(run: Run) -> dict[Path, bytes]:
    return {p.relative_to(run.path): p.read_bytes() for p in (run.path / "measurements").rglob("step_*.parquet")}


def test_nothing_depends_on_the_crew_and_a_lost_file_comes_back(middle: Run, world: HierarchicalWorld, tmp_path: Path) -> None:
    alone, together = copied(middle, tmp_path / "alone"), copied(middle, tmp_path / "together")
    assert len(list(everything(alone, world, Inline()))) == 4
    with open_executor(2) as executor:
        list(everything(together, world, executor))
    files = tables(alone)
    assert len(files) == 4
    assert files == tables(together)
    stamps = {name: (alone.path / name).stat().st_mtime_ns for name in files}
    lost = next(name for name in files if "uturns.parquet" in str(name))
    (alone.path / lost).unlink()
    assert len(list(everything(alone, world, Inline()))) == 1
    assert (alone.path / lost).read_bytes() == files[lost]
    assert all((alone.path / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items() if name != lost)
    assert list(everything(alone, world, Inline())) == []


def test_times_are_the_published_fractions(world: HierarchicalWorld) -> None:
    assert times_of(world, FRACTIONS) == (1, 2, 4, 6)  # of T = 50: 0.5 is raised to 1, 1.5 rounds to 2
    assert times_of(world, (1.0,)) == (50,)


def test_starts_are_whose_they_say(world: HierarchicalWorld) -> None:
    for split in range(3):
        np.testing.assert_array_equal(own_starts(world)[split].starts.ids, world.splits.rows[split])
        np.testing.assert_array_equal(own_starts(world)[split].starts.tokens, world.split_samples()[split])
