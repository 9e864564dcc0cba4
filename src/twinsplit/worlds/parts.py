"""Samples of several networks, drawn side by side: a worker takes some samples of one network at a time, so that workers beyond the number
of networks have work, too. Samples are keyed by their names, so that no sample depends on its part.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.execution.local import Executor

Drawn = TypeVar("Drawn")
Draw = Callable[[Any, Tensor], Drawn]


def names_in_parts(count: int, at_once: int, device: torch.device) -> tuple[Tensor, ...]:
    """0..count-1, at most `at_once` in a part."""
    return torch.split(torch.arange(count, device=device), at_once)


def draw_parts(draw: Draw[Drawn], denoisers: Iterable[Denoiser[Any]], count: int, at_once: int, executor: Executor) -> list[list[Drawn]]:
    """For each denoiser, the parts of its samples 0..count-1 in order; draw: from a denoiser and names (n,) to its samples of them."""
    tasks = [(denoiser, names) for denoiser in denoisers for names in names_in_parts(count, at_once, denoiser.device)]
    found, parts = list(executor.map(partial(_draw, draw), tasks)), -(-count // at_once)
    return [found[first : first + parts] for first in range(0, len(found), parts)]


def _draw(draw: Draw[Drawn], task: tuple[Denoiser[Any], Tensor]) -> Drawn:
    return draw(*task)
