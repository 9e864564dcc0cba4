"""Philox-4x32-10 and Box-Muller, compiled: bit for bit the numbers of `twinsplit.noise`.

Every operation is the one of the torch code in the same order; numba neither reorders nor fuses
floating-point operations unless asked. The error model "numpy" lets a quotient by zero pass, as
IEEE 754 does: with Python's exception in the way the loops would not vectorise.
"""

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.kernels import over_rows
from twinsplit.kernels.bits import bits_float, float_bits
from twinsplit.noise import constants

M0, M1 = (np.uint64(m) for m in constants.MULTIPLIERS)
W0, W1 = (np.uint64(w) for w in constants.WEYL)
WORD, HALF_WORD = np.uint64(constants.WORD), np.uint64(32)
ROUNDS = constants.ROUNDS
L0, L1, L2, L3, L4, L5, L6 = constants.LOG
S0, S1, S2, S3, S4, S5 = constants.SIN
C0, C1, C2, C3, C4, C5 = constants.COS
LN2_HIGH, LN2_LOW, SQRT_HALF = constants.LN2_HIGH, constants.LN2_LOW, constants.SQRT_HALF
TURN = constants.TWO_PI / 2**32
FRACTION, HALF_EXPONENT = (1 << 52) - 1, 1022 << 52
GRAIN_WORDS = 1 << 14


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four 32-bit words from a counter and a key, all uint64."""
    for _ in range(ROUNDS):
        p0, p1 = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (p1 >> HALF_WORD) ^ c1 ^ k0, p1 & WORD, (p0 >> HALF_WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + W0) & WORD, (k1 + W1) & WORD
    return c0, c1, c2, c3


@njit(nogil=True, cache=True, error_model="numpy")
def fill_words(words, step, sample_id, k0, k1):  # type: ignore[no-untyped-def]
    """words (4 b,) int64: the first b blocks of one sample."""
    step, low, high = np.uint64(step), np.uint64(sample_id) & WORD, np.uint64(sample_id) >> HALF_WORD
    for block in range(len(words) // 4):
        w0, w1, w2, w3 = philox(np.uint64(block), step, low, high, k0, k1)
        words[4 * block], words[4 * block + 1] = np.int64(w0), np.int64(w1)
        words[4 * block + 2], words[4 * block + 3] = np.int64(w2), np.int64(w3)


@njit(inline="always")
def log(u):  # type: ignore[no-untyped-def]
    """Natural logarithm of a normal float64 above 0 (fdlibm)."""
    bits = float_bits(u)
    mantissa = bits_float((bits & FRACTION) | HALF_EXPONENT)
    exponent = float((bits >> 52) - 1022)
    small = mantissa < SQRT_HALF
    f = (mantissa + mantissa if small else mantissa) - 1.0
    k = exponent - (1.0 if small else 0.0)
    s = f / (f + 2.0)
    z = s * s
    r = z * ((((((L6 * z + L5) * z + L4) * z + L3) * z + L2) * z + L1) * z + L0)
    half = f * f * 0.5
    return k * LN2_HIGH - ((half - (s * (half + r) + k * LN2_LOW)) - f)


@njit(inline="always")
def box_muller(first, second):  # type: ignore[no-untyped-def]
    """Two standard normals from two words (int64)."""
    radius = sqrt(-2.0 * log((float(first) + 0.5) * 2.0**-32))
    quadrant = (second + (1 << 29)) >> 30
    x = float(second - (quadrant << 30)) * TURN
    z = x * x
    sin = x + x * z * (((((S5 * z + S4) * z + S3) * z + S2) * z + S1) * z + S0)
    cos = 1.0 - (z * 0.5 - z * z * (((((C5 * z + C4) * z + C3) * z + C2) * z + C1) * z + C0))
    first_axis, second_axis = (sin, cos) if quadrant & 1 else (cos, sin)
    return (
        radius * (-first_axis if (quadrant + 1) & 2 else first_axis),
        radius * (-second_axis if quadrant & 2 else second_axis),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _bits(out, steps, sample_ids, k0, k1, begin, end):  # type: ignore[no-untyped-def]
    count = out.shape[1]
    words = np.empty((count + 3) // 4 * 4, np.int64)
    for i in range(begin, end):
        fill_words(words, steps[i if len(steps) > 1 else 0], sample_ids[i], k0, k1)
        for column in range(count):  # a loop: numba takes seconds to compile the assignment of a slice
            out[i, column] = words[column]


@njit(nogil=True, cache=True, error_model="numpy")
def _normal(out, steps, sample_ids, k0, k1, begin, end):  # type: ignore[no-untyped-def]
    count = out.shape[1]
    words = np.empty((count + 3) // 4 * 4, np.int64)
    for i in range(begin, end):
        fill_words(words, steps[i if len(steps) > 1 else 0], sample_ids[i], k0, k1)
        for pair in range(count // 2):
            out[i, 2 * pair], out[i, 2 * pair + 1] = box_muller(words[2 * pair], words[2 * pair + 1])
        if count % 2:
            out[i, count - 1] = box_muller(words[count - 1], words[count])[0]


def _fill(
    kernel: Any, out: npt.NDArray[Any], key: tuple[int, int], steps: npt.NDArray[np.int64], sample_ids: npt.NDArray[np.int64]
) -> None:
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    grain = max(1, GRAIN_WORDS // max(1, out.shape[1]))
    over_rows(lambda begin, end: kernel(out, steps, sample_ids, k0, k1, begin, end), len(out), grain)


def bits(key: tuple[int, int], steps: npt.NDArray[np.int64], sample_ids: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """(n, count) int64 words; steps (1,) or (n,), sample_ids (n,)."""
    out = np.empty((len(sample_ids), count), np.int64)
    _fill(_bits, out, key, steps, sample_ids)
    return out


def normal(key: tuple[int, int], steps: npt.NDArray[np.int64], sample_ids: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """(n, count) float64 standard normals; steps (1,) or (n,), sample_ids (n,)."""
    out = np.empty((len(sample_ids), count))
    _fill(_normal, out, key, steps, sample_ids)
    return out
