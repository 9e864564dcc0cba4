"""Machine instructions that numba does not offer by name: reinterpretations of 64 and 32 bits, and a population count."""

from typing import Any

from numba import types
from numba.extending import intrinsic


def _float_bits(typingctx: Any, value: Any) -> Any:
    """The 64 bits of a float64, as int64."""
    return types.int64(types.float64), _emit_bitcast


def _bits_float(typingctx: Any, value: Any) -> Any:
    """The float64 with these 64 bits (int64)."""
    return types.float64(types.int64), _emit_bitcast


def _bits_single(typingctx: Any, value: Any) -> Any:
    """The float32 with these 32 bits (int32)."""
    return types.float32(types.int32), _emit_bitcast


def _popcount(typingctx: Any, value: Any) -> Any:
    """The number of ones among the 64 bits of a uint64, as uint64."""
    return types.uint64(types.uint64), _emit_popcount


def _emit_bitcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


def _emit_popcount(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.ctpop(arguments[0])


float_bits: Any = intrinsic(_float_bits)
bits_float: Any = intrinsic(_bits_float)
bits_single: Any = intrinsic(_bits_single)
popcount: Any = intrinsic(_popcount)
