"""Count floating-point operations of networks: matrix products and convolutions only, 2 a b c for (a, b) times (b, c).

That is how `torch.utils.flop_counter` counts. Sums, norms, softmax, masks and the optimiser are
left out; at width 512 they are below 1% of the operations (not of the time).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


@final
@dataclass(frozen=True)
class Flops:
    """Operations for one sample and one network. training: forward and backward."""

    forward: int
    training: int


def counted(
    outputs: Callable[[Mapping[str, Tensor], Tensor, Tensor], Tensor], shapes: Mapping[str, tuple[int, ...]], state: tuple[int, ...]
) -> Flops:
    """Count with PyTorch's counter on tensors without values.

    Args:
        outputs: `Network.outputs` of one network.
        shapes: its parameters, name -> shape.
        state: the shape of one noised state.
    """
    parameters = {name: torch.empty(1, *shape, device="meta", requires_grad=True) for name, shape in shapes.items()}
    x_t = torch.empty(1, 1, *state, device="meta")
    with FlopCounterMode(display=False) as counter:
        predicted = outputs(parameters, x_t, torch.ones(1, 1, dtype=torch.int64, device="meta"))
        forward = counter.get_total_flops()
        predicted.sum().backward()  # type: ignore[no-untyped-call]
        return Flops(forward, counter.get_total_flops())
