"""What a run takes, before it begins: exact counts, and hours from a few real steps. Nothing is written."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from twinsplit.execution.local import Executor
from twinsplit.networks import fused
from twinsplit.networks.arithmetic import product_dtype
from twinsplit.networks.transformer import Transformer
from twinsplit.pipeline.sampling_cost import SamplingCost, sampling_steps
from twinsplit.pipeline.stages import disk_needed
from twinsplit.recipes import RunRecipe
from twinsplit.training.batches import epoch_size, steps_per_epoch
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal
from twinsplit.training.step import Shard, Stepper, advance
from twinsplit.worlds.world import World

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
    """Counts that follow from the recipe alone. sequences: seen by one member; sampling, answering: at every checkpoint; disk: bytes of
    checkpoints; measurements: bytes of what is measured, before compression.
    """

    members: int
    parameters: int
    epochs: float
    sequences: int
    training_flops: int
    sampling_flops: int
    answering_flops: int
    disk: int
    measurements: int


def costs_of(world: World) -> Costs:
    """Of a whole run."""
    recipe, network, members = world.recipe, world.network, len(world.members)
    training, measuring = recipe.training, recipe.repeats
    n = epoch_size(training, recipe.shares.split_size)
    seen = sequences_seen(training.steps, n, training.batch)
    checkpoints, measurement_cost, flops = len(recipe.checkpoint_steps()), world.measurement_cost(), world.flops()
    return Costs(
        members=members,
        parameters=network.parameter_count(),
        epochs=training.steps / steps_per_epoch(n, training.batch),
        sequences=seen,
        training_flops=members * seen * flops.training,
        sampling_flops=members * checkpoints * measuring.generated * sampling_steps(world) * flops.forward,
        answering_flops=checkpoints * measurement_cost.answers * flops.forward,
        disk=disk_needed(world),
        measurements=checkpoints * measurement_cost.kept,
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


def speed_of(world: World, executor: Executor) -> Speed:
    """Measure on as many members at once as training would step: one a worker on the CPU, all of them on an accelerator."""
    device = executor.device
    at_once = min(executor.size, len(world.members)) if device == "cpu" else len(world.members)
    shards = _shards(world, at_once, device)
    memory = memory_needed(world, kept_bytes(shards[0]) * len(shards), at_once)
    speed = Speed(device, tuple(executor.map(pace_of, shards)), full_batch(shards[0]), at_once, 0.0, memory)
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
    """Bytes that a full step keeps for its backward pass: where it is written out, those of its arrays; else extrapolated from steps of one
    and of two sequences a member.
    """
    training, weights = shard.task.training, shard.buffers["weights"]
    if fused.serves(shard.network, len(shard.members), weights, training):
        assert isinstance(shard.network, Transformer)
        return fused.kept_bytes(shard.network, full_batch(shard), product_dtype(training.precision, weights.device))
    one, two = (_kept(with_rows(shard, rows)) for rows in (1, 2))
    return one + (two - one) * (full_batch(shard) - 1)


def _kept(shard: Shard) -> int:
    """By the general path."""
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


def render(recipe: RunRecipe, costs: Costs, speed: Speed, after: SamplingCost) -> str:
    """The plan in lines for a terminal."""
    steps, kept = recipe.training.steps, len(recipe.checkpoint_steps())
    splits = f"{recipe.shares.splits} splits of {recipe.shares.split_size:,}"
    lines = {
        "networks": f"{costs.members} ({splits}), {costs.parameters:,} parameters each",
        "training": f"{steps:,} steps of {speed.batch} samples = {costs.epochs:,.0f} epochs; {kept} checkpoints",
        "work": f"{costs.training_flops:.2e} FLOP, forward and backward, all networks",
        "disk": f"{_size(costs.disk)} of checkpoints; about {_size(costs.measurements)} of measurements, before compression",
        "memory": f"about {_size(speed.memory)}",
        speed.device: _measured(speed),
        "samples": _drawn(costs, after),
        "measures": _answered(costs, after),
        "left out": "exact posteriors, divergences, nearest neighbours; U-turns, profiles and what else single figures measure",
        "GPU": _assumed(recipe, costs),
    }
    return "\n".join([f"{recipe.name}: what the run takes; nothing is written", *(f"  {k:<10}{v}" for k, v in lines.items())])


def _measured(speed: Speed) -> str:
    pace = speed.paces[0]
    how = "" if pace.rows == speed.batch else f" (measured on {pace.few} and {pace.rows} of {speed.batch} samples and extrapolated)"
    side_by_side = f"networks at once: {speed.at_once}" + (", one thread each" if speed.device == "cpu" else "")
    return f"{_duration(speed.hours)}: {speed.seconds:.3g} s a step{how}, {side_by_side}"


def _drawn(costs: Costs, after: SamplingCost) -> str:
    each = f"{1000 * after.drawing:.3g} ms a sample and step ({after.rows} at once), networks at once: {after.at_once}"
    return f"{_duration(after.hours_drawing)} more, if they are drawn at every checkpoint: {each}; {costs.sampling_flops:.2e} FLOP"


def _answered(costs: Costs, after: SamplingCost) -> str:
    each = f"{1000 * after.answering:.3g} ms a noised sample and network"
    return f"{_duration(after.hours_answering)} more for the networks' part of the standard ones: {each}; {costs.answering_flops:.2e} FLOP"


def _assumed(recipe: RunRecipe, costs: Costs) -> str:
    """What is measured is computed in float32, whatever the precision of training."""
    precision = recipe.training.precision
    work = {"training": (costs.training_flops, precision), "samples": (costs.sampling_flops, precision)}
    work["measures"] = costs.answering_flops, "float32"
    hours = ", ".join(f"{name} {_duration(flops / (SHARE * PEAK[kind]) / 3600)}" for name, (flops, kind) in work.items())
    peaks = " and ".join(f"{PEAK[kind] / 1e12:.0f} TFLOP/s ({kind})" for kind in dict.fromkeys((precision, "float32")))
    return f"{hours}: not measured; assumes {SHARE:.0%} of the {peaks} of one {CARD}"


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.2g} seconds"
