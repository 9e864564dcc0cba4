"""Reading a pickled array without NumPy's own unpickling: the four names that such a pickle needs stand for inert records.

An unpickler may be handed hostile bytes. It knows `_reconstruct`, `scalar`, `ndarray` and `dtype` only, none of them NumPy's: they
record what the pickle says, and the records are checked and turned into integers here. No class and no function of any library is
within reach, so there is nothing to call. Works inside the sandbox, whose module owns the unpickler itself.
"""

import math
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.errors import InputError

INTEGERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}
REMEDY = "give an object array of integer sequences, or an integer array, as `numpy.save` wrote it"


def refused(what: str) -> InputError:
    """The one way in which content is turned down."""
    return InputError(what, REMEDY)


@final
class DtypeRecord:
    """A `numpy.dtype(code, align, copy)` with its state (version, byte order, ...)."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise refused("the file holds a data type that cannot be read")
        self.order = order

    def integer(self) -> "np.dtype[Any]":
        """As a NumPy type of integers."""
        return np.dtype(self.order.replace("|", "=") + self.code)


@final
@dataclass(eq=False)
class ArrayRecord:
    """An array: its shape, and its values one after the other: a list (of objects, in C order) or an array of integers."""

    shape: tuple[int, ...] = ()
    values: "list[Any] | NDArray[Any]" = field(default_factory=list)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise refused("the file holds an array that cannot be read")
        _, shape, dtype, _, raw = state  # the flag of order says nothing of objects, nor of what has one axis
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise refused("the file holds an array whose shape is no shape")
        if not isinstance(dtype, DtypeRecord):
            raise refused("the file holds an array without a data type")
        values = _objects(raw) if dtype.code == "O8" else _integers(raw, dtype)
        if len(values) != math.prod(shape):
            raise refused(f"the file holds an array of shape {shape} with {len(values)} values")
        self.shape, self.values = shape, values


def _objects(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise refused("the file holds an object array without objects")
    return raw


def _integers(raw: Any, dtype: DtypeRecord) -> NDArray[Any]:
    if not isinstance(raw, bytes) or len(raw) % int(dtype.code[1:]):
        raise refused("the file holds an array whose bytes are missing")
    return np.frombuffer(raw, dtype.integer())


def _reconstruct(*_: Any) -> ArrayRecord:
    return ArrayRecord()


def _dtype(code: Any, *_: Any) -> DtypeRecord:
    if code != "O8" and code not in INTEGERS:
        raise refused(f"the file holds values of type {str(code)[:20]!r}, not integers")
    return DtypeRecord(code)


def _scalar(dtype: Any, raw: Any = None, *_: Any) -> int:
    if not isinstance(dtype, DtypeRecord) or dtype.code == "O8":
        raise refused("the file holds a scalar that is no integer")
    values = _integers(raw, dtype)
    if len(values) != 1:
        raise refused("the file holds a scalar without a value")
    return int(values[0])


ADMITTED: dict[tuple[str, str], Any] = {("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): _dtype}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    ADMITTED |= {(_module, "_reconstruct"): _reconstruct, (_module, "scalar"): _scalar}


def admitted(module: str, name: str) -> Any:
    """What stands for a name that the pickle asks for; InputError for all but four."""
    try:
        return ADMITTED[module, name]
    except KeyError:
        raise refused(f"the file asks for {module}.{name}, which is no NumPy array: nothing of it was carried out") from None


def sequences_of(array: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(N, L) integers from the record of an (N,) array of sequences or an (N, L) array of integers."""
    if not isinstance(array, ArrayRecord) or array.shape != shape or len(shape) not in (1, 2):
        raise refused(f"the file holds no array of shape {shape}, the one its header names, with 1 or 2 axes")
    flat = list(array.values)
    if not flat:
        raise refused("the file holds no token")
    rows = flat if len(shape) == 1 else [flat[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
    plain = [_row(i, row) for i, row in enumerate(rows)]
    odd = next((i for i, row in enumerate(plain) if len(row) != len(plain[0])), None)
    if not plain[0]:
        raise refused("the file holds no token")
    if odd is not None:
        raise refused(f"the sequences have different lengths: {len(plain[0])} in row 0, {len(plain[odd])} in row {odd}")
    try:
        return np.array(plain, dtype=np.int64)
    except OverflowError:
        raise refused("a token does not fit in 64 bits") from None


def _row(i: int, row: Any) -> "list[int]":
    if isinstance(row, ArrayRecord) and len(row.shape) == 1:
        row = row.values if isinstance(row.values, list) else row.values.tolist()
    if not isinstance(row, (list, tuple)) or not all(type(token) is int for token in row):
        raise refused(f"row {i} is no sequence of integers")
    return list(row)
