"""What a checkpoint takes after training, measured on a pilot of the run: seconds, bytes on disk, memory.

A pilot is the recipe with fewer networks, held-out samples, generated samples and sampling steps, on
untrained networks, which cost what trained ones do. Its measures and samples are the real ones, at
two sizes, so that fixed costs and costs in proportion separate.
"""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.series import KeptInMemory, Loaded, Twins
from twinsplit.execution.local import Executor
from twinsplit.pipeline.pace import Pace
from twinsplit.recipes import RunRecipe
from twinsplit.runs.files import encode_table
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.evaluator import Evaluator
from twinsplit.worlds.registry import world_of
from twinsplit.worlds.world import World

if TYPE_CHECKING:
    import pyarrow as pa

AFFORDED = 4e9  # FLOP of one network's answers to one probe of a pilot
FEWEST = 8  # samples of a pilot
STEPS = 4, 16  # reverse steps of the two pilots: what samples are measured for is no part of drawing them
LEAST = 0.02  # share of a drawing that is in proportion to its steps at least


@final
@dataclass(frozen=True)
class CheckpointCost:
    """Of one checkpoint. prepare: seconds before the first one is measured; measuring, sampling: seconds of each.

    tables: bytes of its measurements; samples: bytes, where samples are drawn; memory: bytes that
    measuring keeps, probes and predictions; networks: drawn side by side.
    """

    prepare: float
    measuring: float
    sampling: float
    tables: int
    samples: int
    memory: int
    networks: int


@final
@dataclass(frozen=True)
class Sizes:
    """What costs of a checkpoint are in proportion to. drawing: samples times reverse steps, of one network."""

    networks: int
    pairs: int
    held_out: int
    generated: int
    drawing: int

    @classmethod
    def of(cls, world: World, networks: int) -> "Sizes":
        """Of a world's recipe, with so many networks."""
        shares, repeats = world.recipe.shares, world.recipe.repeats
        drawing = repeats.generated * world.parametrisation.sampling_steps(repeats.sampling_steps)
        return cls(networks, networks * (networks - 1), shares.held_out, repeats.generated, drawing)


@final
@dataclass(frozen=True)
class Trial:
    """One pilot, measured. Seconds: prepare; per_network, per_pair: of the measures; sampling.

    tables, sampled: stored; drawn: bytes of samples; probes, predictions: bytes kept.
    """

    sizes: Sizes
    prepare: float
    per_network: float
    per_pair: float
    sampling: float
    tables: "list[pa.Table]"
    sampled: "list[pa.Table]"
    drawn: int
    probes: int
    predictions: int


def checkpoint_cost(world: World, executor: Executor) -> CheckpointCost:
    """Measure two pilots of a world, and follow the line through both to the whole."""
    rows = max(FEWEST, int(AFFORDED / world.network.flops(world.state_shape).forward))
    small, large = (world_of(pilot_of(world.recipe, *size)) for size in zip((max(FEWEST // 2, rows // 4), rows), STEPS, strict=True))
    tried(small, executor)  # pays for what is set up once
    few, many = tried(small, executor), tried(large, executor)
    whole, sizes = Sizes.of(world, len(world.members)), many.sizes
    networks, pairs, held_out = whole.networks / sizes.networks, whole.pairs / sizes.pairs, whole.held_out / sizes.held_out

    def seconds(spent: Callable[[Trial], float]) -> float:
        return Pace(few.sizes.held_out, spent(few), sizes.held_out, spent(many)).of(whole.held_out)

    return CheckpointCost(
        prepare=seconds(lambda trial: trial.prepare),
        measuring=networks * seconds(lambda trial: trial.per_network) + pairs * seconds(lambda trial: trial.per_pair),
        sampling=networks * Pace(few.sizes.drawing, few.sampling, sizes.drawing, many.sampling, LEAST).of(whole.drawing),
        tables=sum(stored(table, sizes, whole, held_out) for table in many.tables),
        samples=sum(stored(table, sizes, whole, whole.generated / sizes.generated) for table in many.sampled)
        + int(many.drawn * networks * whole.generated / sizes.generated),
        memory=int(held_out * (many.probes * (1 + executor.size) + many.predictions * networks * executor.size)),
        networks=min(executor.size, sizes.networks),
    )


def pilot_of(recipe: RunRecipe, rows: int, steps: int) -> RunRecipe:
    """Return the recipe with at most `rows` held-out samples, as much fewer of the splits to measure on, and few reverse steps."""
    data: Any = recipe.shares
    measuring: Any = recipe.repeats
    share = min(1.0, rows / data.held_out)
    fewer = {"held_out": min(rows, data.held_out)}
    drawn = {"generated": min(max(FEWEST, rows // steps), measuring.generated), "sampling_steps": min(steps, measuring.sampling_steps)}
    if hasattr(measuring, "train_images"):
        drawn["train_images"] = math.ceil(share * min(measuring.train_images, data.split_size))
    elif data.split_size < data.held_out:  # then all of a split is measured on
        fewer["split_size"] = max(2, math.ceil(share * data.split_size))
    if hasattr(measuring, "sigma_end"):
        drawn["sigma_end"] = torch.finfo(torch.float32).tiny  # so low that no ascent ends before its last step
    return replace(recipe, data=replace(data, **fewer), measuring=replace(measuring, **drawn))  # type: ignore[call-arg]


def tried(world: World, executor: Executor) -> Trial:
    """Measure one checkpoint of untrained networks, and draw samples from it, in a temporary folder."""
    members = world.members[: max(2, executor.size)]
    first = Ensemble.initial(world.network, members, world.root, world.parametrisation.denoiser)
    there = {name: value.to(executor.device) for name, value in first.parameters.items()}
    twins = Loaded(first.members, Ensemble(first.network, first.members, there, first.read_as).denoisers())
    before, evaluator = _tensor_bytes(), world.evaluator()
    started = time.perf_counter()
    evaluator = evaluator.prepare(world.standard)
    prepare, probes = time.perf_counter() - started, max(0, _tensor_bytes() - before)
    found = list(executor.map(partial(_evaluated, evaluator, world.standard), [twins] * executor.size))
    slowest = max(found, key=lambda one: one.per_network)
    started, step = time.perf_counter(), world.recipe.training.steps
    with TemporaryDirectory(prefix="twinsplit-") as folder:
        run: Run[Any] = Run(Path(folder), world.recipe)
        run.series = KeptInMemory(twins.members, {step: twins.networks})
        for _ in world.sample_stage(run, (step,), executor):
            pass
        sampling = time.perf_counter() - started
        sampled = [run.table(name) for name in world.drawn if run.measured(name)]
        drawn = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
    tables = [as_table(step, rows) for rows in found[0].rows]
    sizes = Sizes.of(world, len(members))
    return Trial(sizes, prepare, slowest.per_network, slowest.per_pair, sampling, tables, sampled, drawn, probes, found[0].kept)


@final
@dataclass(frozen=True)
class Evaluated:
    """The measures of one checkpoint: seconds in proportion to networks and to pairs, rows of each measure, bytes of predictions."""

    per_network: float
    per_pair: float
    rows: list[Rows]
    kept: int


def _evaluated(evaluator: Evaluator, names: tuple[str, ...], twins: Twins) -> Evaluated:
    """Measure everything twice: only the first time pays for predictions, which are in proportion to the networks."""
    before, spent, tables = _tensor_bytes(), [0.0, 0.0], []
    for name in names:
        first, rows = _timed(evaluator, twins, name)
        again, _ = _timed(evaluator, twins, name)
        of_pairs = "member_a" in rows[0]
        spent[of_pairs] += min(first, again)
        spent[False] += max(0.0, first - again)
        tables.append([row | {"values": row["values"].float().numpy()} for row in rows])
    return Evaluated(spent[0], spent[1], tables, max(0, _tensor_bytes() - before))


def _timed(evaluator: Evaluator, twins: Twins, name: str) -> tuple[float, Rows]:
    started = time.perf_counter()
    rows = evaluator.rows(twins, name)
    return time.perf_counter() - started, rows


def _tensor_bytes() -> int:
    """Count the bytes of all dense tensors that live in this process; other kinds (sparse, not yet made) have no storage to ask."""
    found = (one for one in gc.get_objects() if type(one) in (Tensor, torch.nn.Parameter))
    tensors = [one for one in found if one.device.type != "meta" and one.layout == torch.strided]
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())


def stored(table: "pa.Table", sizes: Sizes, whole: Sizes, longer: float) -> int:
    """Return the bytes of a table in the whole run: a file's fixed part, and its values as many times as there are more.

    longer: times as many values in a row of a network; rows of fresh data go with the held-out samples.
    """
    half = table.slice(0, max(1, len(table) // 2))
    (most, fewest), (large, small) = (tuple(map(count, (table, half))) for count in (_values, _encoded))
    each = (large - small) / (most - fewest) if most > fewest else large / most
    if "member_a" in table.column_names:
        wanted = most * longer * whole.pairs / sizes.pairs
    else:
        fresh = _values(table.filter(table.column("member").to_numpy() < 0))
        wanted = (most - fresh) * longer * whole.networks / sizes.networks
        wanted += fresh * whole.held_out / sizes.held_out
    return int(large + each * (wanted - most))


def _values(table: "pa.Table") -> int:
    return sum(map(len, table.column("values")))


def _encoded(table: "pa.Table") -> int:
    return len(encode_table(table))
