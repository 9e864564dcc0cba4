"""A pretended accelerator, for machines without one: its tensors say that they are elsewhere, and refuse to be mixed with the CPU's.

Values are kept on the CPU, so results can be compared. As on a real device, an operation on tensors of both places is refused (a number
without axes may come along), and so is `numpy()`. It shows that no tensor is left behind; of speed, memory and rounding it says nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

PLACE = torch.device("lazy")  # a name that PyTorch knows and that needs no driver to be spoken of
BUILDERS = (torch.tensor, torch.as_tensor)  # they fill a tensor on its device before any mode can see it
MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


@final
class Elsewhere(Tensor):
    """A tensor on PLACE. values: what it holds, on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "Elsewhere":
        layout = (values.shape, values.stride(), values.storage_offset())
        made: Elsewhere = Tensor._make_wrapper_subclass(cls, *layout, dtype=values.dtype, device=PLACE)  # type: ignore[attr-defined]
        made.values = values
        return made

    def __getitem__(self, index: Any) -> Tensor:
        """PyTorch's own builds a tensor from a list on the device, which no mode can see; nor can it what `__setitem__` builds."""
        found: Tensor = super().__getitem__(torch.tensor(index).to(PLACE) if isinstance(index, list) else index)
        return found

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, Tensor):
            self.index_put_((index,), torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else self.dtype))
        else:
            self[index].copy_(value)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@final
class _Made(TorchDispatchMode):
    """What is made on PLACE, or moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@final
class _Built(TorchFunctionMode):
    """What is built on PLACE from numbers: built on the CPU, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func in BUILDERS and options.get("device") == PLACE:
            del options["device"]
            return func(*args, **options).to(PLACE)
        return func(*args, **options)


@contextmanager
def pretended() -> Iterator[None]:
    """While it lasts, PLACE is a device."""
    with _Made(), _Built():
        yield


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """The operation on the values. Its result is elsewhere where that was asked for, or where what it works on is."""
    if func not in MOVES:
        _refuse_two_places(func, tree_leaves((args, kwargs)))
    options = kwargs.get("device")
    plain_args, plain_kwargs = tree_map_only(Elsewhere, lambda t: t.values, (args, kwargs))
    result = func(*plain_args, **plain_kwargs | ({} if options is None else {"device": torch.device("cpu")}))
    looked_at = tree_leaves(args[:1] if func in MOVES else (args, kwargs))
    arrives = options == PLACE if options is not None else any(isinstance(t, Elsewhere) for t in looked_at)
    in_place = {id(plain): given for given, plain in zip(tree_leaves(args), tree_leaves(plain_args), strict=True)}
    return tree_map_only(Tensor, lambda t: in_place[id(t)] if id(t) in in_place else Elsewhere(t) if arrives else t, result)


def _refuse_two_places(func: Any, leaves: list[Any]) -> None:
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim]
    if len({tensor.device for tensor in tensors}) > 1:
        raise RuntimeError(f"{func} on tensors of two devices: {[(tuple(t.shape), t.device.type) for t in tensors]}")
