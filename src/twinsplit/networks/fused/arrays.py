"""Arrays that a written-out step works in, used again at every step, and what is done to them in more than one place.

Factors of matrix products have the products' type; where that is float32, an array and the factor made of it are one.
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.networks.transformer import Transformer


def raw(tensor: Tensor) -> Any:
    """As a kernel takes it: a NumPy view, of a bfloat16's bits as uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def refresh(factor: Tensor, x: Tensor) -> None:
    """Round x into its factor, unless they are one."""
    if factor is not x:
        factor.copy_(x)


def accumulate(out: Tensor, left: Tensor, right: Tensor) -> None:
    """out += left right; out is float32."""
    if left.dtype == out.dtype:
        out.addmm_(left, right)
    else:
        out.add_(torch.mm(left, right))


def layer_views(tensors: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    """One layer's tensors under their names within it."""
    prefix = f"layers.{i}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def nbytes(*holders: object) -> int:
    """Bytes of all tensors that objects hold, in lists and dictionaries, too; one that is held twice counts once."""
    found: dict[int, int] = {}
    rest: list[Any] = [vars(holder) for holder in holders]
    while rest:
        item = rest.pop()
        if isinstance(item, Tensor):
            found[id(item)] = item.nbytes
        elif isinstance(item, Mapping):
            rest += item.values()
        elif isinstance(item, list | tuple):
            rest += item
    return sum(found.values())


@final
class Workspace:
    """What the forward pass of n sequences leaves. Training keeps every layer's, evaluation has one set for all of them."""

    def __init__(self, spec: Transformer, n: int, kept: int, dtype: torch.dtype) -> None:
        """kept: layers whose arrays are kept, all of them or 1; dtype: of products."""

        def each(*shape: int, of: torch.dtype = torch.float32) -> list[Tensor]:
            return [torch.empty(shape, dtype=of) for _ in range(kept)] * (spec.layers // kept)

        rows, d, f = n * spec.length, spec.width, spec.feedforward
        self.n = n
        self.x = [*each(rows, d), torch.empty(rows, d)]  # the layers' inputs, and the last one's output
        self.middle = each(rows, d)
        single = dtype == torch.float32
        self.x_factor = self.x[:-1] if single else each(rows, d, of=dtype)
        self.middle_factor = self.middle if single else each(rows, d, of=dtype)
        self.mixed, self.qkv, self.hidden = each(rows, d, of=dtype), each(rows, 3 * d, of=dtype), each(rows, f, of=dtype)
        self.weights = each(n, spec.heads, spec.length, spec.length)
        self.kept_weights = each(n, spec.heads, spec.length, spec.length) if spec.dropout else self.weights
        self.unit = list(zip(each(rows, d), each(rows, d), strict=True))
        self.inverse = list(zip(each(rows), each(rows), strict=True))
        self.logits, self.changed = torch.empty(rows, spec.vocab_size), torch.empty(rows, d, dtype=dtype)


@final
class Gradients:
    """What the backward pass of n sequences writes on its way: a, b along the stream, the others as factors of products."""

    def __init__(self, spec: Transformer, n: int, dtype: torch.dtype) -> None:
        rows, d = n * spec.length, spec.width
        self.logits, self.a, self.b = torch.empty(rows, spec.vocab_size), torch.empty(rows, d), torch.empty(rows, d)
        self.wide, self.qkv = torch.empty(rows, spec.feedforward, dtype=dtype), torch.empty(rows, 3 * d, dtype=dtype)
        self.mixed = torch.empty(rows, d, dtype=dtype)
        same = dtype == torch.float32 and not spec.dropout
        self.branch_a, self.branch_b = (stream if same else torch.empty(rows, d, dtype=dtype) for stream in (self.a, self.b))
        self.unused = torch.zeros(d)
