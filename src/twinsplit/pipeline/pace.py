"""How long training takes, foretold from a few real steps of the real networks."""

import math
import statistics
import time
from dataclasses import dataclass, replace
from typing import final

from twinsplit.execution.local import CPU, Executor
from twinsplit.training.batches import epoch_size, steps_per_epoch
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal
from twinsplit.training.step import Shard, advance
from twinsplit.worlds.world import World

LONG = 0.7  # seconds that a measured step may take before its batch is no longer doubled
FIRST_ROWS = 8
MOST_STEPS = 200
ASSUMED = 1e10  # FLOP/s of a core; decides only whether it is worth measuring
WORTH_SAYING = 120.0  # seconds that a training is expected to take


def samples_seen(steps: int, n: int, batch: int) -> int:
    """Count the training samples of one network, partial batches as they are; n: samples in an epoch."""
    epochs, rest = divmod(steps, steps_per_epoch(n, batch))
    return epochs * n + rest * min(batch, n)


def seen_in(world: World) -> int:
    """Count the samples that one network of a run sees in its whole training."""
    training = world.recipe.training
    return samples_seen(training.steps, epoch_size(training, world.recipe.shares.split_size), training.batch)


@final
@dataclass(frozen=True)
class Pace:
    """Seconds of `few` and of `rows` units of work, such as samples in a step; equal where all of them are measured.

    least: the share of the time that is in proportion at least.
    """

    few: float
    seconds_few: float
    rows: float
    seconds: float
    least: float = 0.5

    def of(self, units: float) -> float:
        """Return the seconds of so many units: a fixed part, and a part in proportion.

        Measuring on a busy machine can make the fixed part negative or absurdly large: it is held
        between nothing and all but `least`.
        """
        proportional = self.seconds / self.rows
        each = (self.seconds - self.seconds_few) / (self.rows - self.few) if self.rows > self.few else proportional
        return self.seconds + (units - self.rows) * min(max(each, proportional * self.least), proportional)


@final
@dataclass(frozen=True)
class Speed:
    """Measured speed of training.

    paces: of the shards that step side by side; batch: samples of a full step; at_once: networks
    stepped side by side; hours: of the whole training.
    """

    paces: tuple[Pace, ...]
    batch: int
    at_once: int
    hours: float

    @property
    def seconds(self) -> float:
        """Seconds of a full step of the slowest shard."""
        return max(pace.of(self.batch) for pace in self.paces)


def shards_of(world: World, executor: Executor) -> list[Shard]:
    """Deal as many networks as train side by side: one a worker on the CPU, all of them on an accelerator; untrained."""
    at_once = min(executor.size, len(world.members)) if executor.device == CPU else len(world.members)
    ensemble = Ensemble.initial(world.network, world.members[:at_once], world.root)
    shards = deal(ensemble, world.split_samples(executor.device), world.task())
    weights = {f"weights.{name}": value for name, value in ensemble.parameters.items()}
    for k, shard in enumerate(shards):
        shard.load(weights, slice(k, k + len(shard.members)))
    return shards


def speed_of(world: World, shards: list[Shard], executor: Executor) -> Speed:
    """Measure the shards of `shards_of` side by side."""
    at_once = sum(len(shard.members) for shard in shards)
    speed = Speed(tuple(executor.map(pace_of, shards)), full_batch(shards[0]), at_once, 0.0)
    rounds = math.ceil(len(world.members) / at_once)
    return replace(speed, hours=rounds * seen_in(world) / speed.batch * speed.seconds / 3600)


def full_batch(shard: Shard) -> int:
    """Return the samples of a network's step: a split smaller than the batch is one batch."""
    return min(shard.task.training.batch, epoch_size(shard.task.training, shard.samples.shape[1]))


def with_rows(shard: Shard, rows: int) -> Shard:
    """Return the same shard stepping batches of `rows`."""
    return replace(shard, task=replace(shard.task, training=replace(shard.task.training, batch=rows)))


def pace_of(shard: Shard) -> Pace:
    """Double the rows until they are the full batch or a step takes `LONG`; then time that many, and a quarter of them."""
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


def foretold(world: World, executor: Executor, done: int) -> str:
    """Say how long the training after step `done` takes; nothing where it is short.

    Operations at an assumed speed decide whether a few seconds of measuring are worth it. Measured
    are networks of its own, so that no bit of the training depends on it.
    """
    left = 1 - done / world.recipe.training.steps
    operations = left * len(world.members) * seen_in(world) * world.network.flops(world.state_shape).training
    if operations < ASSUMED * WORTH_SAYING:
        return ""
    speed = speed_of(world, shards_of(world, executor), executor)
    networks = f"{speed.at_once} network{'s' if speed.at_once > 1 else ''} at once"
    return f"about {duration(left * speed.hours)} ({speed.seconds:.2g} s a step, {networks})"


def duration(hours: float) -> str:
    """Return hours in words of a fitting unit."""
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.2g} seconds"
