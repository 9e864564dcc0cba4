"""What each step trains on: the epoch's order, the noised batch, its times. All keyed by (seed, step), nothing drawn from a state."""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import Noising
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training

CRITICAL = 0.15


def steps_per_epoch(n: int, batch: int) -> int:
    """Batches in a pass over n samples; the last one may be partial."""
    return -(-n // batch)


def epoch_size(training: Training, n: int) -> int:
    """Samples that an epoch shows of a split of n: each once, or, repeated, the recipe's `epoch_samples`."""
    return training.epoch_samples or n


@lru_cache(maxsize=64)
def _order(noise: Noise, epoch: int, n: int, size: int, device: torch.device) -> Tensor:
    order = noise.child("order").permutation(epoch, size, device)
    return order if size == n else noise.child("repeat").permutation(epoch, n, device)[order % n]


def batch_rows(noise: Noise, step: int, n: int, batch: int, device: torch.device, size: int | None = None) -> Tensor:
    """(b,) positions in the split of step 1, 2, ...; each epoch is a fresh permutation and its last batch is kept.

    size: samples in an epoch (default n). Every position then comes size // n times, and size % n of them, other ones in every epoch,
    once more.
    """
    size = n if size is None else size
    epoch, i = divmod(step - 1, steps_per_epoch(size, batch))
    return _order(noise, epoch, n, size, device)[i * batch : (i + 1) * batch]


def draw_times(noise: Noise, step: int, count: int, schedule: Noising, device: torch.device) -> Tensor:
    """(count,) int64 times, uniform on 1..T."""
    return noise.child("time").integers(step, torch.arange(count, device=device), 1, schedule.T)


def critical_law(T: int) -> Tensor:
    """(T,) float64 probabilities of t = 1..T around the critical time: a Gaussian of mean and deviation 0.15 T ([BG]'s code).

    It is rounded to whole times and conditioned on 1..T: what falls outside is drawn again, not moved to the nearest end, where at t = 1
    it would pile up a sixth of all samples.
    """
    edges = (torch.arange(T + 1, dtype=torch.float64) + 0.5 - CRITICAL * T) / (CRITICAL * T)
    below = torch.tensor([0.5 * math.erfc(-float(z) / math.sqrt(2.0)) for z in edges], dtype=torch.float64)
    return below.diff() / (below[-1] - below[0])


@lru_cache(maxsize=8)
def _critical_cumulative(T: int, device: torch.device) -> Tensor:
    return critical_law(T).cumsum(0)[:-1].to(device)


def draw_critical_times(noise: Noise, step: int, count: int, schedule: Noising, device: torch.device) -> Tensor:
    """(count,) int64 times by `critical_law`: its inverse at one uniform number each, so a redraw needs no loop and no state."""
    u = noise.child("time").uniform(step, torch.arange(count, device=device))
    return 1 + torch.searchsorted(_critical_cumulative(schedule.T, device), u, right=True)


def draw_fixed_times(noise: Noise, step: int, count: int, schedule: Noising, device: torch.device, t: int = 1) -> Tensor:
    """(count,) int64, all t: the loss of one time alone."""
    return torch.full((count,), t, device=device)


Draw = Callable[[Noise, int, int, Noising, torch.device], Tensor]


TIMES: dict[str, Callable[[Training], Draw]] = {
    "uniform": lambda training: draw_times,
    "critical": lambda training: draw_critical_times,
    "fixed": lambda training: partial(draw_fixed_times, t=training.fixed_time),
}


def times_of(training: Training) -> Draw:
    """How the recipe draws times."""
    return TIMES[training.times](training)


def draw_eps(noise: Noise, step: int, count: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(count, *shape) float32 standard normals."""
    return noise.child("eps").normal(step, torch.arange(count, device=device), shape, torch.float32)
