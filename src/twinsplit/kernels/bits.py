"""Machine instructions that numba does not offer by name: reinterpretations of 64 and 32 bits, a
population count, and bfloat16.

numba has no bfloat16. Its bits travel as uint16: they are the upper half of a float32's. Where an
array may hold either, a kernel reads it through `single` and writes it through `stored`, which in
float32 do nothing.
"""

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


def _single(typingctx: Any, value: Any) -> Any:
    """What a float32, or the bits of a bfloat16 (uint16), stand for, as float32."""
    return types.float32(value), _emit_widened if value == types.uint16 else _emit_same


def _stored(typingctx: Any, value: Any, like: Any) -> Any:
    """A float32 as it is kept beside `like`: itself, or rounded to the nearest bfloat16 (ties to
    even), of which it gives the bits.

    Of the NaN, those whose bits are nearly all ones would be lost; a processor makes none of them.
    """
    return like(types.float32, like), _emit_rounded if like == types.uint16 else _emit_same


def _emit_same(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return arguments[0]


def _emit_widened(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    word = context.get_value_type(types.int32)
    return builder.bitcast(builder.shl(builder.zext(arguments[0], word), word(16)), context.get_value_type(types.float32))


def _emit_rounded(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    word = context.get_value_type(types.int32)
    bits = builder.bitcast(arguments[0], word)
    odd = builder.and_(builder.lshr(bits, word(16)), word(1))
    half = builder.add(odd, word(0x7FFF))  # just below a half, or a half where that makes the last kept bit even
    return builder.trunc(builder.lshr(builder.add(bits, half), word(16)), context.get_value_type(types.uint16))


def _emit_bitcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


def _emit_popcount(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.ctpop(arguments[0])


float_bits: Any = intrinsic(_float_bits)
bits_float: Any = intrinsic(_bits_float)
bits_single: Any = intrinsic(_bits_single)
popcount: Any = intrinsic(_popcount)
single: Any = intrinsic(_single)
stored: Any = intrinsic(_stored)
