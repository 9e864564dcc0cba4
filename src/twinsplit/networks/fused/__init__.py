"""A transformer's loss and gradient on the CPU, written out: no graph, no allocation, compiled loops between the matrix products.

The same function as `Transformer.outputs`, `token_cross_entropy`, `Dropout` and autograd, to rounding (the tests compare them); products
are of float32 or, where a recipe allows it and the processor gains by it, of bfloat16, and all else is float32. It serves one member
with the plain loss where the kernels do; everything else takes the general path.
"""

from typing import TypeGuard

from torch import Tensor

from twinsplit import kernels
from twinsplit.networks.arithmetic import PRECISIONS
from twinsplit.networks.fused.backward import FusedLoss, kept_bytes
from twinsplit.networks.fused.forward import evaluate
from twinsplit.networks.network import Network
from twinsplit.networks.transformer import Transformer
from twinsplit.recipes import Training

__all__ = ["FusedLoss", "evaluate", "evaluates", "kept_bytes", "serves"]


def evaluates(network: Network, weight: Tensor) -> bool:
    """Whether `evaluate` may stand for the network's own forward pass."""
    return isinstance(network, Transformer) and weight.dtype in PRECISIONS.values() and kernels.serves(weight)


def serves(network: Network, members: int, weight: Tensor, training: Training) -> TypeGuard[Transformer]:
    """Whether a step may go through here: one member, and the plain loss that is written out."""
    plain = (training.loss, training.weighting) == ("cross_entropy", "uniform")
    return members == 1 and plain and evaluates(network, weight)
