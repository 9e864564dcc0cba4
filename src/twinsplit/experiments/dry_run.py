"""What a training run takes, before it begins: exact counts, and hours from a few real steps. Nothing is written."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from twinsplit.experiments.pipeline import disk_needed
from twinsplit.experiments.world import World
from twinsplit.networks.flops import forward_flops, training_flops
from twinsplit.recipes import RunRecipe
from twinsplit.training.batches import epoch_size, steps_per_epoch
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal
from twinsplit.training.shard import Shard, Stepper, advance
from twinsplit.workers import Crew

CARD = "NVIDIA H200"
PEAK = {"bfloat16": 989e12, "float32": 67e12}  # FLOP/s without sparsity, from the card's data sheet
SHARE = 0.2  # of the peak, assumed: small batches and much that is no matrix product
LONG = 0.7  # seconds that a measured step may take before its batch is no longer doubled
FIRST_ROWS = 8
MOST_STEPS = 200


def sequences_seen(steps: int, n: int, batch: int) -> int:
    """Training sequences of one member, partial batches counted as they are; n: samples in an epoch."""
    epochs, rest = divmod(steps, steps_per_epoch(n, batch))
    return epochs * n + rest * min(batch, n)


@final
@dataclass(frozen=True)
class Costs:
    """Counts that follow from the recipe alone. sequences: seen by one member; sampling: at every checkpoint; disk: bytes."""

    members: int
    parameters: int
    epochs: float
    sequences: int
    training_flops: int
    sampling_flops: int
    disk: int


def costs_of(world: World) -> Costs:
    """Of a whole run."""
    recipe, network, members = world.recipe, world.network, len(world.members)
    training, measuring = recipe.training, recipe.repeats
    n = epoch_size(training, recipe.shares.split_size)
    seen = sequences_seen(training.steps, n, training.batch)
    evaluations = members * len(recipe.checkpoint_steps()) * measuring.generated * min(measuring.sampling_steps, world.schedule.T)
    return Costs(
        members=members,
        parameters=network.parameter_count(),
        epochs=training.steps / steps_per_epoch(n, training.batch),
        sequences=seen,
        training_flops=members * seen * training_flops(network),
        sampling_flops=evaluations * forward_flops(network),
        disk=disk_needed(world),
    )


@final
@dataclass(frozen=True)
class Pace:
    """Measured steps of one shard: seconds of a step of `few` and of `rows` sequences a member; equal where a full batch is quick."""

    few: int
    seconds_few: float
    rows: int
    seconds: float

    def of(self, batch: int) -> float:
        """Seconds of a step of `batch` sequences: a fixed part, and a part in proportion.

        Measuring on a busy machine can make the fixed part negative or absurdly large: it is held between nothing and one half.
        """
        proportional = self.seconds / self.rows
        each = (self.seconds - self.seconds_few) / (self.rows - self.few) if self.rows > self.few else proportional
        return self.seconds + (batch - self.rows) * min(max(each, proportional / 2), proportional)


@final
@dataclass(frozen=True)
class Speed:
    """paces: measured, of the shards that step side by side; batch: sequences of a full step; at_once: members stepped side by side.

    hours: of the whole training; memory: bytes, an estimate (see `memory_needed`).
    """

    device: str
    paces: tuple[Pace, ...]
    batch: int
    at_once: int
    hours: float
    memory: int

    @property
    def seconds(self) -> float:
        """Of a full step, for the slowest shard."""
        return max(pace.of(self.batch) for pace in self.paces)


def speed_of(world: World, crew: Crew) -> Speed:
    """Measure on as many members at once as training would step: one a worker on the CPU, all of them on an accelerator."""
    device = crew.device
    at_once = min(crew.size, len(world.members)) if device == "cpu" else len(world.members)
    shards = _shards(world, at_once, device)
    memory = memory_needed(world, kept_bytes(shards[0]) * len(shards), at_once)
    speed = Speed(device, tuple(crew.map(pace_of, shards)), full_batch(shards[0]), at_once, 0.0, memory)
    training, rounds = world.recipe.training, math.ceil(len(world.members) / at_once)
    full_steps = sequences_seen(training.steps, epoch_size(training, world.recipe.shares.split_size), training.batch) / speed.batch
    return replace(speed, hours=rounds * full_steps * speed.seconds / 3600)


def _shards(world: World, members: int, device: str) -> list[Shard]:
    """As training deals them, with their initial weights."""
    ensemble = Ensemble.initial(world.network, world.members[:members], world.root)
    shards = deal(ensemble, world.split_samples(device), world.task())
    weights = {f"weights.{name}": value for name, value in ensemble.parameters.items()}
    for k, shard in enumerate(shards):
        shard.load(weights, slice(k, k + len(shard.members)))
    return shards


def full_batch(shard: Shard) -> int:
    """Sequences of a member's step: a split smaller than the batch is one batch."""
    return min(shard.task.training.batch, epoch_size(shard.task.training, shard.samples.shape[1]))


def with_rows(shard: Shard, rows: int) -> Shard:
    """The same shard stepping batches of `rows`."""
    return replace(shard, task=replace(shard.task, training=replace(shard.task.training, batch=rows)))


def pace_of(shard: Shard) -> Pace:
    """Rows are doubled until they are the full batch or a step takes `LONG`; then that many, and a quarter of them, are timed."""
    rows, batch = min(FIRST_ROWS, full_batch(shard)), full_batch(shard)
    _seconds(with_rows(shard, rows), 1)  # pays for what is set up once
    seconds = _seconds(with_rows(shard, rows), 1)
    while rows < batch and seconds < LONG:
        rows = min(2 * rows, batch)
        seconds = _seconds(with_rows(shard, rows), 1)
    few = rows if rows == batch else rows // 4
    steps = min(MOST_STEPS, math.ceil(LONG / seconds))
    return Pace(few, _typical(with_rows(shard, few), steps), rows, _typical(with_rows(shard, rows), steps))


def _typical(shard: Shard, steps: int) -> float:
    return statistics.median(_seconds(shard, steps) for _ in range(3))


def _seconds(shard: Shard, steps: int) -> float:
    started = time.perf_counter()
    advance(shard, 1, steps)
    return (time.perf_counter() - started) / steps


def kept_bytes(shard: Shard) -> int:
    """Bytes that a full step keeps for its backward pass, extrapolated from steps of one and of two sequences a member."""
    one, two = (_kept(with_rows(shard, rows)) for rows in (1, 2))
    return one + (two - one) * (full_batch(shard) - 1)


def _kept(shard: Shard) -> int:
    """By the general path; the step written out for small networks has a workspace of about that size."""
    stepper, kept = Stepper.on(shard, 0), dict[int, int]()
    weights = shard.buffers["weights"].untyped_storage().data_ptr()
    with torch.autograd.graph.saved_tensors_hooks(_counting(kept), lambda tensor: tensor):
        stepper.autograd(1)
    return sum(size for address, size in kept.items() if address != weights)


def _counting(kept: dict[int, int]) -> Callable[[Tensor], Tensor]:
    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    return note


def memory_needed(world: World, kept: int, at_once: int) -> int:
    """Bytes at the peak, roughly. Per member: weights, two moments, average, the initial weights, and two kinds copied twice while a
    checkpoint is written; per member being stepped: gradient and what the backward pass needs (`kept`, for all of them); the splits twice,
    and all the data once. Python and PyTorch themselves come on top, about 0.3 GiB a process.
    """
    stack = 4 * world.network.size_in_numbers()
    samples = 2 * world.split_samples().untyped_storage().nbytes()
    return 9 * stack * len(world.members) + stack * at_once + kept + samples + world.data_bytes


def render(recipe: RunRecipe, costs: Costs, speed: Speed) -> str:
    """The plan in lines for a terminal."""
    steps, kept = recipe.training.steps, len(recipe.checkpoint_steps())
    splits = f"{recipe.shares.splits} splits of {recipe.shares.split_size:,}"
    lines = {
        "networks": f"{costs.members} ({splits}), {costs.parameters:,} parameters each",
        "training": f"{steps:,} steps of {speed.batch} samples = {costs.epochs:,.0f} epochs; {kept} checkpoints",
        "work": f"{costs.training_flops:.2e} FLOP, forward and backward, all networks",
        "sampling": f"{costs.sampling_flops:.2e} FLOP more, if samples are drawn at every checkpoint (twinsplit measure RUN ...)",
        "disk": f"{_size(costs.disk)} of checkpoints",
        "memory": f"about {_size(speed.memory)}",
        speed.device: _measured(speed),
        "GPU": _assumed(recipe, costs),
    }
    return "\n".join([f"{recipe.name}: what training takes; nothing is written", *(f"  {k:<10}{v}" for k, v in lines.items())])


def _measured(speed: Speed) -> str:
    pace = speed.paces[0]
    how = "" if pace.rows == speed.batch else f" (measured on {pace.few} and {pace.rows} of {speed.batch} samples and extrapolated)"
    side_by_side = f"networks at once: {speed.at_once}" + (", one thread each" if speed.device == "cpu" else "")
    return f"{_duration(speed.hours)}: {speed.seconds:.3g} s a step{how}, {side_by_side}"


def _assumed(recipe: RunRecipe, costs: Costs) -> str:
    precision = recipe.training.precision
    hours = costs.training_flops / (SHARE * PEAK[precision]) / 3600
    peak = f"{PEAK[precision] / 1e12:.0f} TFLOP/s ({precision})"
    return f"{_duration(hours)}: not measured; assumes {SHARE:.0%} of the {peak} of one {CARD}"


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.1g} seconds"
