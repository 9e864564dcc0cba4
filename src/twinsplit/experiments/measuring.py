"""Measurements along the checkpoints: each step and measure is one file, so an interrupted pass goes on where it stopped."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical
from twinsplit.errors import InputError
from twinsplit.exact.belief import TreeOracle
from twinsplit.experiments.examination import MEASURES, Examination, Later, Questions, Rows
from twinsplit.experiments.probes import Probe, probe_at, probe_over_times
from twinsplit.experiments.world import World
from twinsplit.measures.decomposition import token_loss
from twinsplit.store import Run
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import load_ensemble
from twinsplit.workers import Crew

if TYPE_CHECKING:
    import pyarrow as pa


@final
@dataclass(frozen=True)
class Measured:
    """One checkpoint measured and on disk."""

    step: int
    names: tuple[str, ...]


def questions_of(world: World) -> Questions:
    """The probes of a world and the exact posteriors on them."""
    recipe, t = world.recipe, world.recipe.measured_time
    draws = recipe.measuring.noise_draws
    held_ids, held = _ids_tokens(world, world.splits.held_out)
    noise = world.root.child("measuring")
    common = (world.schedule, world.grammar.vocab_size)
    held_fixed = probe_at(held, held_ids, t, draws, *common, noise.child("fixed"))
    held_out = probe_over_times(held, held_ids, draws, *common, noise.child("averaged"))
    # a small split is noised several times, so that all of them together weigh about as much as the held-out set
    repeats = max(1, len(held) * draws // (recipe.data.splits * recipe.data.split_size))
    own = [_ids_tokens(world, rows[: recipe.data.held_out]) for rows in world.splits.rows]
    splits = tuple(probe_over_times(tokens, ids, repeats, *common, noise.child("averaged")) for ids, tokens in own)
    splits_fixed = tuple(probe_at(tokens, ids, t, repeats, *common, noise.child("fixed")) for ids, tokens in own)
    t_later, noise_later = recipe.decomposed_time, noise.child("later")
    held_later = probe_at(held, held_ids, t_later, draws, *common, noise_later)
    splits_later = tuple(probe_at(tokens, ids, t_later, repeats, *common, noise_later) for ids, tokens in own)
    return Questions(
        held_fixed,
        held_out,
        splits_fixed,
        splits,
        tuple(_posterior(world.oracle(k), held_fixed) for k in range(world.grammar.depth + 1)),
        _posterior(world.oracle(), held_out),
        tuple(_posterior(world.oracle(), probe) for probe in splits),
        tuple(_posterior(world.oracle(), probe) for probe in splits_fixed),
        tuple(tuple(_posterior(world.oracle(k), probe) for k in range(world.grammar.depth + 1)) for probe in splits_fixed),
        Later(held_later, splits_later, *_exact_later(world, held_later, splits_later)),
        world.data.factorised,
    )


def _ids_tokens(world: World, rows: "np.typing.NDArray[np.int64]") -> tuple[Tensor, Tensor]:
    return torch.from_numpy(rows), torch.from_numpy(world.data.sequences[rows].astype(np.int64))


def _exact_later(world: World, held_out: Probe, splits: tuple[Probe, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    return _posterior(world.oracle(), held_out), tuple(_posterior(world.oracle(), probe) for probe in splits)


def _posterior(oracle: TreeOracle, probe: Probe) -> Tensor:
    return oracle(probe.x_t.double(), probe.t).log_probs.float()


def measure(run: Run, world: World, names: tuple[str, ...], crew: Crew) -> Iterator[Measured]:
    """Measure what is missing of `names` at every checkpoint there is; yields as each step is on disk."""
    unknown = sorted(set(names) - set(MEASURES))
    if unknown:
        raise InputError(f"no measure named {unknown[0]!r}", f"choose among {', '.join(MEASURES)}")
    todo = {step: tuple(n for n in names if step not in run.measured(n)) for step in run.steps()}
    todo = {step: missing for step, missing in todo.items() if missing}
    if not todo:
        return
    questions = questions_of(world)
    run.write_json("measurements/bayes.json", bayes_losses(questions))
    tasks = ((load_ensemble(run, world.network, step), missing) for step, missing in todo.items())
    for step, tables in zip(todo, crew.map(partial(_examine, questions), tasks), strict=True):
        for name, rows in tables.items():
            run.write_table(name, step, as_table(step, rows))
        yield Measured(step, tuple(tables))


def bayes_losses(questions: Questions) -> dict[str, float]:
    """The loss of the exact posterior on the held-out probes, nats per token: no model can be expected to do better."""
    exact = {
        "test_loss": (questions.exact_held_out, questions.held_out),
        "fixed_time_loss": (questions.exact_held_out_fixed, questions.held_out_fixed),
    }
    return {name: float(token_loss(Categorical(log_probs), probe.tokens).mean()) for name, (log_probs, probe) in exact.items()}


def _examine(questions: Questions, task: tuple[Ensemble, tuple[str, ...]]) -> dict[str, Rows]:
    ensemble, names = task
    exam = Examination(ensemble, questions)
    return {name: _plain(MEASURES[name](exam)) for name in names}


def _plain(rows: Rows) -> Rows:
    return [row | {"values": row["values"].float().numpy()} for row in rows]


def as_table(step: int, rows: Rows) -> "pa.Table":
    """Rows as a table: the step, the naming columns, and `values` as a list of float32 (the replicates)."""
    import pyarrow as pa

    columns: dict[str, object] = {"step": pa.array([step] * len(rows), pa.int64())}
    columns |= {name: pa.array([row[name] for row in rows]) for name in rows[0] if name != "values"}
    columns["values"] = pa.array([row["values"] for row in rows], pa.list_(pa.float32()))
    return pa.table(columns)


def values(table: "pa.Table") -> "np.typing.NDArray[np.float64]":
    """(rows, n) replicates of a table whose lists have one length, as those of measurements on one probe have."""
    column = table.column("values").combine_chunks()
    assert len(set(np.diff(column.offsets.to_numpy()))) <= 1, "rows of different lengths: read them one by one"
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(column), -1)
