"""U-turns along training: how much of a start survives being noised to t and denoised back, by networks and by the exact oracle.

Networks and oracle begin from the very same noised starts and meet the same step noise ([BG] fig. 5, 9-11): whatever their overlaps
differ by is theirs. Train starts are a network's own sequences. Its test starts are those of the next split: they share no content with
its own and are another network's train starts, so that over all networks train and test starts are the same sequences, rare and frequent
alike (a held-out set that leaves out all that the splits contain is a little rarer, which looks like a train advantage). Splits of imported
networks may share contents: what another split holds too is no start of either kind. A third kind of start is drawn uniformly at random.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.data.splits.disjoint import content_ids
from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.sampler import Ancestral
from twinsplit.diffusion.uturn import overlap, uturn
from twinsplit.errors import InputError
from twinsplit.exact.empirical import EmpiricalDenoiser
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Executor
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.noise.reference import Noise
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.sequences.world import HierarchicalWorld

NAME, ORACLE, RANDOM, EXACT_RANDOM = "uturns", "uturns_oracle", "uturns_random", "uturns_random_exact"
FRACTIONS = (0.01, 0.03, 0.05, 0.085, 0.12)  # t/T of [BG] fig. 5
RANDOM_FRACTIONS = (0.05, 0.0625, 0.075, 0.0875, 0.1)  # and of fig. 11
RANDOM_STARTS, MEMORIZED = 100, 256  # random sequences, and training points of the empirical denoiser (fig. 11)
FEWEST_STARTS = 4  # of each split, where it has more sequences: an overlap over fewer says little about the split
DROPPED = "measurements/uturn_starts.json"
CHUNK = 1024
Case = tuple[dict[str, Any], Denoiser[Any], "Starts"]


@final
@dataclass(frozen=True, eq=False)
class Course:
    """What all U-turns share: sampler, vocabulary, repetitions of each start, and noise keyed by (start, repetition, t)."""

    sampler: Ancestral
    vocab_size: int
    repetitions: int
    noise: Noise

    @classmethod
    def of(cls, world: HierarchicalWorld) -> "Course":
        """Every time of the schedule is a step, as published."""
        return cls(Ancestral(world.schedule), world.grammar.vocab_size, world.recipe.measuring.uturn_repetitions, world.root.child("uturn"))


@final
@dataclass(frozen=True, eq=False)
class Starts:
    """Where U-turns begin. tokens (n, L) int64; ids (n,) int64: what keys their noise."""

    tokens: Tensor
    ids: Tensor


def overlaps(course: Course, denoiser: Denoiser[Any], starts: Starts, t: int) -> Tensor:
    """(n,) float64: fraction of a start's tokens found again after a U-turn to t, averaged over its repetitions; on the CPU."""
    tokens = starts.tokens.repeat_interleave(course.repetitions, 0)
    ids = (starts.ids[:, None] * course.repetitions + torch.arange(course.repetitions)).flatten()
    found = [_found(course, denoiser, *part, t) for part in zip(torch.split(tokens, CHUNK), torch.split(ids, CHUNK), strict=True)]
    return torch.cat(found).view(-1, course.repetitions).mean(1)


def _found(course: Course, denoiser: Denoiser[Any], tokens: Tensor, ids: Tensor, t: int) -> Tensor:
    tokens, ids = tokens.to(denoiser.device), ids.to(denoiser.device)
    x_0 = torch.nn.functional.one_hot(tokens, course.vocab_size).float()
    end = uturn(denoiser, x_0, t, course.sampler, course.noise.child(str(t)), sample_ids=ids)
    return overlap(tokens, end.argmax(-1)).cpu()


def times_of(world: HierarchicalWorld, fractions: tuple[float, ...]) -> tuple[int, ...]:
    """Distinct times nearest to the fractions of T, at least 1."""
    return tuple(sorted({max(1, round(fraction * world.schedule.T)) for fraction in fractions}))


@final
@dataclass(frozen=True, eq=False)
class Own:
    """Where the U-turns of a split begin: its first sequences that no other split holds, and how many of its sequences others hold."""

    starts: Starts
    dropped: int


def own_starts(world: HierarchicalWorld) -> list[Own]:
    """Of every split, in order; disjoint splits lose nothing. InputError where too few are left."""
    rows = world.splits.rows
    contents = content_ids(world.data.sequences[rows.ravel()]).reshape(rows.shape)
    shared = [np.isin(contents[split], np.delete(contents, split, 0)) for split in range(len(rows))]
    return [_own(world, split, held_twice) for split, held_twice in enumerate(shared)]


def _own(world: HierarchicalWorld, split: int, shared: NDArray[np.bool_]) -> Own:
    rows, wanted = world.splits.rows[split], world.recipe.measuring.uturn_starts
    kept = rows[~shared][:wanted]
    if len(kept) < min(FEWEST_STARTS, wanted, len(rows)):
        raise InputError(
            f"only {len(kept)} of the {len(rows)} sequences of split {split} are in no other split: too few to start U-turns from",
            f"import networks of splits that share less: {FEWEST_STARTS} sequences of each must be its own",
        )
    return Own(Starts(torch.from_numpy(world.data.sequences[kept].astype(np.int64)), torch.from_numpy(kept)), int(shared.sum()))


def random_starts(world: HierarchicalWorld) -> Starts:
    """Uniformly random sequences; most are forbidden by the grammar."""
    ids = torch.arange(RANDOM_STARTS)
    tokens = [world.root.child("random starts").integers(i, ids, 0, world.grammar.vocab_size - 1) for i in range(world.grammar.length)]
    return Starts(torch.stack(tokens, 1), ids)


def networks_of(run: Run, world: HierarchicalWorld, step: int, device: str = "cpu") -> list[tuple[dict[str, Any], NetworkDenoiser, int]]:
    """Name, denoiser and split of every network; they compute as they do where samples are drawn, in the precision of training."""
    ensemble, precision = world.load(run, step, device), world.recipe.training.precision
    found: list[tuple[dict[str, Any], NetworkDenoiser, int]] = []
    for k, member in enumerate(ensemble.members):
        denoiser = ensemble.member(k)
        assert isinstance(denoiser, NetworkDenoiser)
        found.append(({"member": k, "split": member.split, "seed": member.seed}, denoiser.computing(precision), member.split))
    return found


def measure_uturns(run: Run, world: HierarchicalWorld, steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
    """U-turns of every network from its own split and from the next one at the given checkpoints, and the oracle's, once."""
    times, count = times_of(world, FRACTIONS), world.recipe.data.splits
    found = own_starts(world)
    own = [one.starts for one in found]
    if 0 not in run.measured(ORACLE):
        run.write_json(DROPPED, [{"split": i, "starts": len(one.starts.ids), "shared": one.dropped} for i, one in enumerate(found)])
        oracle = world.oracle()
        cases: list[Case] = [({"starts": split}, oracle, starts) for split, starts in enumerate(own)]
        run.write_table(ORACLE, 0, as_table(0, _rows(world, cases, times, executor)))
        yield Measured(0, (ORACLE,))
    for step in (s for s in steps if s not in run.measured(NAME)):
        named = networks_of(run, world, step, executor.device)
        kinds = (("train", 0), ("test", 1))
        cases = [
            (name | {"data": data, "starts": (split + shift) % count}, model, own[(split + shift) % count])
            for data, shift in kinds
            for name, model, split in named
        ]
        run.write_table(NAME, step, as_table(step, _rows(world, cases, times, executor)))
        yield Measured(step, (NAME,))


def measure_random_uturns(run: Run, world: HierarchicalWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """U-turns from random sequences by the networks at one checkpoint, the empirical denoiser, and BP_k for every k ([BG] fig. 11)."""
    times, starts = times_of(world, RANDOM_FRACTIONS), random_starts(world)
    if 0 not in run.measured(EXACT_RANDOM):
        points = world.split_samples()[0][:MEMORIZED]
        cases: list[Case] = [({"model": "empirical"}, EmpiricalDenoiser(points, world.schedule, world.grammar.vocab_size), starts)]
        cases += [({"model": f"BP_{k}"}, TreeOracle(world.grammar, world.schedule, k), starts) for k in range(world.grammar.depth + 1)]
        run.write_table(EXACT_RANDOM, 0, as_table(0, _rows(world, cases, times, executor)))
        yield Measured(0, (EXACT_RANDOM,))
    if step not in run.measured(RANDOM):
        cases = [(name, model, starts) for name, model, _ in networks_of(run, world, step, executor.device)]
        run.write_table(RANDOM, step, as_table(step, _rows(world, cases, times, executor)))
        yield Measured(step, (RANDOM,))


def _rows(world: HierarchicalWorld, cases: list[Case], times: tuple[int, ...], executor: Executor) -> Rows:
    tasks = [(name | {"t": t}, denoiser, starts, t) for name, denoiser, starts in cases for t in times]
    return list(executor.map(partial(_row, Course.of(world)), tasks))


def _row(course: Course, task: tuple[dict[str, Any], Denoiser[Any], Starts, int]) -> dict[str, Any]:
    name, denoiser, starts, t = task
    return name | {"values": overlaps(course, denoiser, starts, t).float().numpy()}
