"""What a run takes after its training: hours of drawing samples and of measuring, from a few real evaluations, and the disk they fill.

Measured on untrained networks, which cost what trained ones do. Left out, because the networks have little part in them: exact posteriors,
divergences, nearest neighbours; and what single figures measure at single checkpoints (U-turns, profiles, bases).
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.execution.local import Executor
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.world import World

LONG = 0.7  # seconds that a measurement may take before its rows are no longer doubled
FIRST_ROWS, MOST_ROWS = 8, 512
STEPS = 4  # reverse steps of a measured drawing
Work = Callable[[Denoiser[Any]], object]


@final
@dataclass(frozen=True)
class SamplingCost:
    """rows: samples at once, as measured; drawing: seconds of one step of one sample; answering: of one question to one network.

    hours_drawing: of all samples at every checkpoint; hours_answering: of the standard measures; at_once: tasks side by side.
    """

    rows: int
    drawing: float
    answering: float
    hours_drawing: float
    hours_answering: float
    at_once: int


def sampling_steps(world: World) -> int:
    """Reverse steps of a sample; of an ascent, which needs no schedule, at most."""
    return world.parametrisation.sampling_steps(world.recipe.repeats.sampling_steps)


def sampling_cost_of(world: World, executor: Executor) -> SamplingCost:
    """Measure on as many networks side by side as the crew has workers; the slowest counts."""
    checkpoints, generated = len(world.recipe.checkpoint_steps()), world.recipe.repeats.generated
    parts = math.ceil(generated / world.drawn_at_once(executor.device))
    tasks = len(world.members) * parts
    networks = _networks(world, min(executor.size, tasks), executor.device)
    rows, drawing = _slowest(executor, {rows: world.drawing(rows, STEPS) for rows in _ladder(generated)}, networks)
    _, answering = _slowest(executor, {rows: partial(_answer, *_question(world, rows)) for rows in _ladder(MOST_ROWS)}, networks)
    per_task = checkpoints * (generated / parts) * sampling_steps(world) * drawing / STEPS
    per_checkpoint = world.measurement_cost().answers * answering
    return SamplingCost(
        rows=rows,
        drawing=drawing / STEPS,
        answering=answering,
        hours_drawing=math.ceil(tasks / executor.size) * per_task / 3600,  # workers take some samples of a network each,
        hours_answering=math.ceil(checkpoints / executor.size) * per_checkpoint / 3600,  # and a checkpoint each
        at_once=len(networks),
    )


def _networks(world: World, count: int, device: str) -> list[Denoiser[Any]]:
    """Untrained, on the device; where there are fewer members, some more than once."""
    first = Ensemble.initial(world.network, world.members[:count], world.root, world.parametrisation.denoiser)
    there = {name: value.to(device) for name, value in first.parameters.items()}
    networks = Ensemble(first.network, first.members, there, first.read_as).denoisers()
    return [networks[i % len(networks)] for i in range(count)]


def _ladder(most: int) -> list[int]:
    """Rows, doubled up to the most there are."""
    last = min(most, MOST_ROWS)
    doubled = [FIRST_ROWS << i for i in range((MOST_ROWS // FIRST_ROWS).bit_length())]
    return [*(rows for rows in doubled if rows < last), last]


def _question(world: World, rows: int) -> tuple[Tensor, Tensor]:
    """Pure noise in the shape of a noised state, and times: values do not change what an answer costs."""
    ids = torch.arange(rows)
    shape = world.parametrisation.state(world.sample_shape)
    return world.root.child("dry run").normal(0, ids, shape, torch.float32), 1 + ids % world.schedule.T


def _answer(x_t: Tensor, t: Tensor, denoiser: Denoiser[Any]) -> Tensor:
    mean: Tensor = denoiser(x_t.to(denoiser.device), t.to(denoiser.device)).mean
    return mean.cpu()


def _slowest(executor: Executor, ladder: Mapping[int, Work], networks: list[Denoiser[Any]]) -> tuple[int, float]:
    """Rows of the slowest network, and seconds for each of them."""
    return max(executor.map(partial(pace, ladder), networks), key=lambda found: found[1])


def pace(ladder: Mapping[int, Work], denoiser: Denoiser[Any]) -> tuple[int, float]:
    """The first rows that take `LONG`, or the last ones, and seconds for each row there: the median of three."""
    _seconds(next(iter(ladder.values())), denoiser)  # pays for what is set up once
    rows = next((rows for rows, work in ladder.items() if _seconds(work, denoiser) >= LONG), max(ladder))
    return rows, statistics.median(_seconds(ladder[rows], denoiser) for _ in range(3)) / rows


def _seconds(work: Work, denoiser: Denoiser[Any]) -> float:
    started = time.perf_counter()
    work(denoiser)
    return time.perf_counter() - started
