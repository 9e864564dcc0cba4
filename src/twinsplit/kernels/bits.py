"""Three machine instructions that numba does not offer by name: two reinterpretations of 64 bits, and a population count."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def float_bits(typingctx: Any, value: Any) -> Any:
    """The 64 bits of a float64, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic
def bits_float(typingctx: Any, value: Any) -> Any:
    """The float64 with these 64 bits (int64)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), emit


@intrinsic
def popcount(typingctx: Any, value: Any) -> Any:
    """The number of ones among the 64 bits of a uint64, as uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit
