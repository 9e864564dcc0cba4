"""Pack objects into one buffer each, for another process of this program; tensors become raw bytes.

PyTorch's own way gives every tensor a file descriptor and a piece of shared memory: a few hundred tensors pass the limit on open
files that most shells set, and many containers have 64 MiB of shared memory. Nothing packed here is ever kept as data: it lives in
memory, or in a private file for as long as one `Executor.map` lasts.
"""

import pickle
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.errors import InputError

if TYPE_CHECKING:
    import torch

LINE = 64  # bytes of a cache line, to which PyTorch aligns what it allocates


def pack(value: object) -> memoryview:
    """One buffer that holds the value. Functions and classes must be importable by name; InputError where not.

    Tensors on the CPU keep dtype, shape, and whether a leaf wants a gradient; one tensor met twice stays one object. Each is on its
    own afterwards: views of one storage no longer share it.
    """
    buffer = BytesIO()
    try:
        _Packer(buffer, protocol=5).dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"this cannot be sent to a worker process: {reason}",
            "define its class at the top of an importable file, or use 1 worker",
        ) from error
    return buffer.getbuffer()


def unpack(packed: bytes | memoryview) -> Any:
    """The value, in memory of its own that may be written to."""
    return pickle.loads(packed)


@final
class _Packer(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """Tensors as bytes; all else, and tensors of foreign kinds (sparse, quantised, subclasses), in the way of its class.

        A process that never loaded torch holds no tensor, and does not load it here.
        """
        torch = sys.modules.get("torch")
        if torch is None or type(obj) not in (torch.Tensor, torch.nn.Parameter) or not _is_raw(obj):
            return NotImplemented
        return _tensor, (type(obj) is torch.nn.Parameter, obj.requires_grad and obj.is_leaf, *_raw(obj.detach()))


def _is_raw(tensor: "torch.Tensor") -> bool:
    import torch

    plain = tensor.device.type == "cpu" and tensor.layout == torch.strided
    return plain and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _raw(tensor: "torch.Tensor") -> tuple[pickle.PickleBuffer, "torch.dtype", tuple[int, ...], tuple[int, ...], int]:
    """Bytes, dtype, shape, strides, and the place of the first number within its cache line.

    Strides and place are kept because products and sums may round differently where they differ: a task is to give the same bits in
    another process. What has gaps or overlaps is copied into one piece.
    """
    import torch

    if torch.empty_like(tensor, device="meta").stride() != tensor.stride():
        tensor = tensor.contiguous()
    place = tensor.data_ptr() % LINE // tensor.element_size()
    numbers = tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()
    return pickle.PickleBuffer(numbers.data), tensor.dtype, tuple(tensor.shape), tensor.stride(), place


def _tensor(
    parameter: bool, gradient: bool, data: bytearray, dtype: "torch.dtype", shape: tuple[int, ...], strides: tuple[int, ...], place: int
) -> "torch.Tensor":
    import torch

    numbers = torch.empty(place + len(data) // dtype.itemsize, dtype=dtype)
    numbers[place:].view(torch.uint8).copy_(torch.from_numpy(np.frombuffer(data, np.uint8)))
    tensor = numbers.as_strided(shape, strides, place)
    return torch.nn.Parameter(tensor, gradient) if parameter else tensor.requires_grad_(gradient)
