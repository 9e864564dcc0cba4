"""At one checkpoint: the divergence to the oracle against diffusion time ([BG] fig. 3b), and the excess term on fresh sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical
from twinsplit.diffusion.series import Twins
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Executor
from twinsplit.measures.decomposition import decompose
from twinsplit.measures.divergence import oracle_divergence
from twinsplit.noise.reference import Noise
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.sequences.predictions import CHUNK, answer
from twinsplit.worlds.sequences.probes import Probe, drawn_over_times, probe_at
from twinsplit.worlds.sequences.world import HierarchicalWorld

PROFILE, FRESH = "time_profile", "fresh_excess"
COARSEST = 2  # k = 0, 1, 2 as in the figure
FRESH_FACTOR = 80  # fresh sequences for each held-out one: their excess is to be told from a tenth of that on training data
AT_ONCE = 16 * CHUNK  # fresh sequences in memory at once, as many as whole chunks of answers
FRESH_SEED = 7_919  # of the fresh sequences: apart from the seeds of data sets


@final
@dataclass(frozen=True, eq=False)
class Sequences:
    """Held-out sequences (n, L) int64 with the ids (n,) that key their noise, and the oracles to compare with."""

    tokens: Tensor
    ids: Tensor
    oracles: tuple[TreeOracle, ...]
    noise: Noise


def profile_times(world: HierarchicalWorld) -> tuple[int, ...]:
    """Evenly spaced times from 1 to T."""
    T, count = world.schedule.T, world.recipe.measuring.profile_times
    return tuple(sorted({round(t) for t in np.linspace(1, T, min(count, T))}))


def measure_profile(run: Run, world: HierarchicalWorld, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """KL(BP_k || network) at every profile time and member: rows hold the mean over sequences and its standard error."""
    rows = world.splits.held_out[: world.recipe.measuring.profile_sequences]
    shown = sorted({world.data.factorised, *range(min(COARSEST, world.grammar.depth) + 1)})
    oracles = tuple(world.oracle(k) for k in shown)
    held_out = torch.from_numpy(world.data.sequences[rows].astype(np.int64))
    sequences = Sequences(held_out, torch.from_numpy(rows), oracles, world.root.child("profile"))
    for step in (s for s in steps if s not in run.measured(PROFILE)):
        ensemble = world.load(run, step, executor.device)
        found = executor.map(partial(_at_time, ensemble, sequences), profile_times(world))
        run.write_table(PROFILE, step, as_table(step, [row for rows in found for row in rows]))
        yield Measured(step, (PROFILE,))


def _at_time(ensemble: Twins, sequences: Sequences, t: int) -> Rows:
    grammar, schedule = sequences.oracles[0].grammar, sequences.oracles[0].schedule
    probe = probe_at(sequences.tokens, sequences.ids, t, 1, schedule, grammar.vocab_size, sequences.noise)
    exact = {oracle.truncation: oracle(probe.x_t.double(), probe.t) for oracle in sequences.oracles}
    return [
        {"member": m, "split": member.split, "seed": member.seed, "t": t, "truncation": k} | _summary(oracle_divergence(oracle, model))
        for m, member in enumerate(ensemble.members)
        for model in [Categorical(answer(ensemble.member(m), probe).log_probs.double())]
        for k, oracle in exact.items()
    ]


def _summary(values: Tensor) -> dict[str, Any]:
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")
    return {"standard_error": error, "values": np.array([float(values.mean())], dtype=np.float32)}


def measure_fresh(run: Run, world: HierarchicalWorld, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """The excess term on sequences drawn afresh from the grammar, repeats and all: there its expectation is 0 (claim C4).

    The held-out set leaves out what the splits contain, so it is a little rarer than fresh data and its excess is above 0.
    """
    count = FRESH_FACTOR * world.recipe.data.held_out
    drawn = world.grammar.sample(count, world.recipe.seed + FRESH_SEED, factorised=world.data.factorised)
    for step in (s for s in steps if s not in run.measured(FRESH)):
        ensemble = world.load(run, step, executor.device)
        pieces = [_excesses(world, ensemble, probe) for probe in fresh_probes(world, drawn)]
        rows = [
            {"member": m, "split": member.split, "seed": member.seed, "values": torch.cat([piece[m] for piece in pieces]).numpy()}
            for m, member in enumerate(ensemble.members)
        ]
        run.write_table(FRESH, step, as_table(step, rows))
        yield Measured(step, (FRESH,))


def fresh_probes(world: HierarchicalWorld, drawn: Tensor) -> Iterator[Probe]:
    """Fresh sequences (n, L), draw after draw, at most AT_ONCE of them in memory with their noised versions."""
    noise, common = world.root.child("fresh"), (world.schedule, world.grammar.vocab_size)
    for draw in range(world.recipe.measuring.noise_draws):
        for ids in torch.split(torch.arange(len(drawn)), AT_ONCE):
            yield drawn_over_times(drawn[ids].long(), ids, draw, *common, noise)


def _excesses(world: HierarchicalWorld, ensemble: Twins, probe: Probe) -> list[Tensor]:
    """Of every member, (n,) float32 excess terms."""
    exact = world.oracle()(probe.x_t.double(), probe.t)
    models = (Categorical(answer(denoiser, probe).log_probs.double()) for denoiser in ensemble.denoisers())
    return [decompose(model, exact, probe.tokens).excess_term.float() for model in models]
