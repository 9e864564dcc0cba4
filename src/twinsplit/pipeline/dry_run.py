"""What a run takes, before it begins: exact counts, and what a few real steps and a pilot of the run measure. Nothing is written."""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.execution.local import CPU, Executor
from twinsplit.networks import fused
from twinsplit.networks.arithmetic import product_dtype
from twinsplit.pipeline.pace import Speed, duration, full_batch, seen_in, shards_of, speed_of, with_rows
from twinsplit.pipeline.pilot import CheckpointCost, Sizes, checkpoint_cost
from twinsplit.recipes import RunRecipe
from twinsplit.training.batches import epoch_size, steps_per_epoch
from twinsplit.training.loop import milestones
from twinsplit.training.step import Shard, Stepper
from twinsplit.worlds.registry import world_of
from twinsplit.worlds.world import World

CARD = "NVIDIA H200"
PEAK = {"bfloat16": 989e12, "float32": 67e12}  # FLOP/s without sparsity, from the card's data sheet
SHARE = 0.2  # of the peak, assumed: small batches and much that is no matrix product
MOMENTS = 2  # checkpoints at which `quickstart` draws samples
LEFT_OUT = "U-turns, profiles and what else single figures measure; page and figures, about 2 MiB"


@final
@dataclass(frozen=True)
class Plan:
    """What a run takes. training_flops, sampling_flops: of all networks; checkpoints, data: bytes on disk; memory: bytes, roughly.

    workers: checkpoints that are measured side by side.
    """

    recipe: RunRecipe
    device: str
    parameters: int
    training_flops: int
    sampling_flops: int
    speed: Speed
    cost: CheckpointCost
    checkpoints: int
    data: int
    memory: int
    workers: int

    @property
    def kept(self) -> int:
        """Number of checkpoints that are kept."""
        return len(self.recipe.checkpoint_steps())

    @property
    def epochs(self) -> float:
        """Passes over a split."""
        training = self.recipe.training
        return training.steps / steps_per_epoch(epoch_size(training, self.recipe.shares.split_size), training.batch)

    @property
    def measurements(self) -> int:
        """Bytes of the standard measures at all checkpoints, and of data.json."""
        return self.kept * self.cost.tables + self.data

    @property
    def disk(self) -> int:
        """Bytes of a run folder as `quickstart` makes it, without page and figures."""
        return self.checkpoints + self.measurements + min(MOMENTS, self.kept) * self.cost.samples

    @property
    def hours_measuring(self) -> float:
        """Hours of the standard measures at all checkpoints."""
        return (self.cost.prepare + -(-self.kept // self.workers) * self.cost.measuring) / 3600

    @property
    def hours_sampling(self) -> float:
        """Hours of drawing samples at every checkpoint and measuring them."""
        return self.kept * self.cost.sampling / 3600


def dry_run(recipe: RunRecipe, executor: Executor) -> Plan:
    """Plan a run. Nothing but a temporary folder is written, and that is removed.

    Raises:
        InputError: where the recipe does not fit its data.

    Examples:
        >>> print(render(dry_run(recipe, Inline())))  # doctest: +SKIP
    """
    world = world_of(recipe)
    held, sizes, flops = resident(), Sizes.of(world, len(world.members)), world.network.flops(world.state_shape)
    shards = shards_of(world, executor)
    speed, cost = speed_of(world, shards, executor), checkpoint_cost(world, executor)
    training = training_memory(world, kept_bytes(shards[0]) * len(shards), speed.at_once)
    return Plan(
        recipe=recipe,
        device=executor.device,
        parameters=world.network.parameter_count(),
        training_flops=sizes.networks * seen_in(world) * flops.training,
        sampling_flops=sizes.networks * len(recipe.checkpoint_steps()) * sizes.drawing * flops.forward,
        speed=speed,
        cost=cost,
        checkpoints=checkpoint_bytes(world),
        data=len(json.dumps(world.describe())),
        memory=held * (1 + executor.size if executor.size > 1 else 1) + max(training, cost.memory),
        workers=executor.size,
    )


def checkpoint_bytes(world: World) -> int:
    """Count the bytes of checkpoints when a run is done: those kept, and the last two resume points with two moments each."""
    recipe, kinds = world.recipe, 2 if world.recipe.training.ema_decay else 1
    last = milestones(recipe)[-2:]
    files = kinds * len({*recipe.checkpoint_steps(), *last}) + 2 * len(last)
    return 4 * world.network.size_in_numbers() * len(world.members) * files


def resident() -> int:
    """Return the bytes that this process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def training_memory(world: World, kept: int, at_once: int) -> int:
    """Count the bytes of training, beside what processes and data take anyway.

    Per network: weights, two moments, average, the initial weights, and two kinds copied twice while
    a checkpoint is written; per network being stepped: gradient and what the backward pass needs
    (`kept`, for all of them); the splits twice.
    """
    stack = 4 * world.network.size_in_numbers()
    return 9 * stack * len(world.members) + stack * at_once + kept + 2 * world.split_samples().untyped_storage().nbytes()


def kept_bytes(shard: Shard) -> int:
    """Count what a full step keeps for its backward pass.

    Where the step is written out, those are its arrays; else they are extrapolated from steps of one
    and of two samples a network.
    """
    training, weights, network = shard.task.training, shard.buffers["weights"], shard.network
    if fused.serves(network, len(shard.members), weights, training):
        return fused.kept_bytes(network, full_batch(shard), product_dtype(training.precision, weights.device))
    one, two = (_kept(with_rows(shard, rows)) for rows in (1, 2))
    return one + (two - one) * (full_batch(shard) - 1)


def _kept(shard: Shard) -> int:
    """Count by the general path."""
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


def render(plan: Plan) -> str:
    """Return the plan in lines for a terminal."""
    recipe, cost = plan.recipe, plan.cost
    steps, networks = recipe.training.steps, len(recipe.members)
    splits = f"{recipe.shares.splits} splits of {recipe.shares.split_size:,}"
    lines = {
        "networks": f"{networks} ({splits}), {plan.parameters:,} parameters each",
        "training": f"{steps:,} steps of {plan.speed.batch} samples = {plan.epochs:,.0f} epochs; {plan.kept} checkpoints",
        "work": f"{plan.training_flops:.2e} FLOP, forward and backward, all networks",
        "disk": f"{size(plan.checkpoints)} of checkpoints, {size(plan.measurements)} of measurements, "
        f"and {size(cost.samples)} at each checkpoint that samples are drawn from",
        "memory": f"about {size(plan.memory)}, of all processes",
        plan.device: _measured(plan),
        "samples": f"{duration(plan.hours_sampling)} more, if they are drawn at every checkpoint: {cost.sampling:.3g} s each, "
        f"networks at once: {cost.networks}; {plan.sampling_flops:.2e} FLOP",
        "measures": f"{duration(plan.hours_measuring)} more for the standard ones: {cost.measuring:.3g} s a checkpoint, "
        f"checkpoints at once: {plan.workers}",
        "left out": LEFT_OUT,
        "GPU": _assumed(plan),
    }
    return "\n".join([f"{recipe.name}: what the run takes; nothing is written", *(f"  {k:<10}{v}" for k, v in lines.items())])


def _measured(plan: Plan) -> str:
    speed, pace = plan.speed, plan.speed.paces[0]
    how = "" if pace.rows == speed.batch else f" (measured on {pace.few} and {pace.rows} of {speed.batch} samples and extrapolated)"
    side_by_side = f"networks at once: {speed.at_once}" + (", one thread each" if plan.device == CPU else "")
    return f"{duration(speed.hours)}: {speed.seconds:.3g} s a step{how}, {side_by_side}"


def _assumed(plan: Plan) -> str:
    precision = plan.recipe.training.precision
    each = SHARE * PEAK[precision] * 3600
    hours = f"training {duration(plan.training_flops / each)}, samples {duration(plan.sampling_flops / each)}"
    return f"{hours}: not measured; assumes {SHARE:.0%} of the {PEAK[precision] / 1e12:.0f} TFLOP/s ({precision}) of one {CARD}"


def size(count: int) -> str:
    """Return bytes in words of a fitting unit."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def total(plans: list[Plan]) -> str:
    """Return a line that sums several runs made one after another."""
    hours = sum(plan.speed.hours + plan.hours_measuring for plan in plans)
    disk, memory = sum(plan.disk for plan in plans), max(plan.memory for plan in plans)
    count = "1 run" if len(plans) == 1 else f"{len(plans)} runs"
    return f"{count}: {duration(hours)} of training and standard measures, {size(disk)} of disk, {size(memory)} of memory"
