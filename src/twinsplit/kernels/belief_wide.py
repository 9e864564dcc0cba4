"""Belief propagation on the tree, compiled, in numbers of unbounded range: many sequences side by
side.

A message entry is mantissa * 2^exponent, the exponent a whole number in a float64 of its own.
Products multiply mantissas and add exponents; a sum shifts its terms to the largest exponent.
Unlike logarithms this needs no transcendental function between the leaves' exponentials and the
final logarithms, and unlike plain linear space nothing underflows at any noise level: the relative
error is that of some tens of roundings. Zero is a number with exponent NOTHING, far below all
others, and needs no special case.

Many sequences share every instruction: the innermost loop runs over them, in consecutive memory, so
that the compiler uses vector registers. Messages of all nodes of the heap lie in one array (nodes,
2, q, lanes): mantissas, then exponents. Functions take the array and a node's number, never a view
on the node (`belief_plain` says why).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.kernels.bits import bits_float, float_bits
from twinsplit.noise.kernel import log

Floats: TypeAlias = npt.NDArray[np.float64]

NOTHING = -(2.0**50)
LEAST = -1e12  # log-likelihoods below count as -inf
SMALLEST = -1022.0
ROUND = 1.5 * 2.0**52  # added to a float64 of moderate size, it leaves the nearest whole number in the low bits
FRACTION, ONE = (1 << 52) - 1, 1023 << 52
WHOLE = 1075 << 52  # the bits of 2^52: with a small whole number in the low bits, the bits of 2^52 plus that number
INVERSE_LN2 = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2 = 0.6931471805599453


@njit(inline="always")
def _larger(a, b):  # type: ignore[no-untyped-def]
    """The maximum; NaN is not handled, which would keep the loop out of vector registers."""
    return a if a > b else b


@njit(inline="always")
def _power_of_two(exponent):  # type: ignore[no-untyped-def]
    """2^exponent for a whole exponent up to 1023; anything below -1022 counts as -1022."""
    return bits_float(float_bits(_larger(exponent, SMALLEST) + (ROUND + 1023.0)) << 52)


@njit(inline="always")
def _exp_fraction(r):  # type: ignore[no-untyped-def]
    """exp(r) for |r| <= 0.35, Taylor's series to the 13th power: the remainder is below 1e-17."""
    tail = 1.0 / 479001600 + r * (1.0 / 6227020800)
    tail = 1.0 / 3628800 + r * (1.0 / 39916800 + r * tail)
    tail = 1.0 / 40320 + r * (1.0 / 362880 + r * tail)
    tail = 1.0 / 720 + r * (1.0 / 5040 + r * tail)
    tail = 1.0 / 24 + r * (1.0 / 120 + r * tail)
    return 1.0 + (r + r * r * (0.5 + r * (1.0 / 6 + r * tail)))


@njit(nogil=True, cache=True, error_model="numpy")
def _exponentiate(up, node):  # type: ignore[no-untyped-def]
    """Replace the logarithms x among the mantissas by exp(x) = mantissa * 2^exponent; -inf gives nothing."""
    for a in range(up.shape[2]):
        for lane in range(up.shape[3]):
            x = up[node, 0, a, lane]
            possible = x > LEAST
            x = x if possible else 0.0
            k = (x * INVERSE_LN2 + ROUND) - ROUND
            up[node, 0, a, lane] = _exp_fraction((x - k * LN2_HIGH) - k * LN2_LOW)
            up[node, 1, a, lane] = k if possible else NOTHING


@njit(nogil=True, cache=True)
def _copy(source, s, out, o):  # type: ignore[no-untyped-def]
    """out[o] = source[s]; a loop, because numba takes seconds to compile the assignment of a slice,
    with all its errors."""
    for part in range(2):
        for a in range(out.shape[2]):
            for lane in range(out.shape[3]):
                out[o, part, a, lane] = source[s, part, a, lane]


@njit(nogil=True, cache=True)
def _one(out, o):  # type: ignore[no-untyped-def]
    """out[o] = the empty product."""
    for a in range(out.shape[2]):
        for lane in range(out.shape[3]):
            out[o, 0, a, lane] = 1.0
            out[o, 1, a, lane] = 0.0


@njit(nogil=True, cache=True)
def _clear(top, total):  # type: ignore[no-untyped-def]
    """A sum before its first term."""
    for lane in range(len(top)):
        top[lane] = NOTHING
        total[lane] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _raise(top, first, f, i, second, s, j):  # type: ignore[no-untyped-def]
    """top = max(top, the exponent of first[f, i] second[s, j])."""
    for lane in range(len(top)):
        top[lane] = _larger(top[lane], first[f, 1, i, lane] + second[s, 1, j, lane])


@njit(nogil=True, cache=True, error_model="numpy")
def _add(total, top, weight, first, f, i, second, s, j):  # type: ignore[no-untyped-def]
    """total += weight * first[f, i] second[s, j] 2^-top."""
    for lane in range(len(total)):
        mantissa = weight * (first[f, 0, i, lane] * second[s, 0, j, lane])
        total[lane] += mantissa * _power_of_two(first[f, 1, i, lane] + second[s, 1, j, lane] - top[lane])


@njit(nogil=True, cache=True, error_model="numpy")
def _store(out, o, a, total, top):  # type: ignore[no-untyped-def]
    """out[o, a] = total * 2^top with the mantissa in [1, 2)."""
    for lane in range(len(total)):
        bits = float_bits(total[lane])
        out[o, 1, a, lane] = _larger(top[lane] + (bits_float((bits >> 52) | WHOLE) - (2.0**52 + 1023.0)), NOTHING)
        out[o, 0, a, lane] = bits_float((bits & FRACTION) | ONE)


@njit(nogil=True, cache=True, error_model="numpy")
def _contract(table, first, f, second, s, out, o, scratch):  # type: ignore[no-untyped-def]
    """out[o, target] = sum over the table's entries (i, j) for target of weight * first[f, i] *
    second[s, j]."""
    firsts, seconds, weights, count = table
    top, total, _ = scratch
    for target in range(len(count)):
        _clear(top, total)
        for entry in range(count[target]):
            _raise(top, first, f, firsts[target, entry], second, s, seconds[target, entry])
        for entry in range(count[target]):
            _add(total, top, weights[target, entry], first, f, firsts[target, entry], second, s, seconds[target, entry])
        _store(out, o, target, total, top)


@njit(nogil=True, cache=True, error_model="numpy")
def _sum(weights, w, a, source, s, scratch):  # type: ignore[no-untyped-def]
    """total * 2^top = sum_b weights[w, a, b] source[s, b]; entries of weight 0 do not take part."""
    top, total, unit = scratch
    _clear(top, total)
    for b in range(source.shape[2]):
        if weights[w, a, b] > 0.0:
            _raise(top, source, s, b, unit, 0, 0)
    for b in range(source.shape[2]):
        if weights[w, a, b] > 0.0:
            _add(total, top, weights[w, a, b], source, s, b, unit, 0, 0)


@njit(nogil=True, cache=True, error_model="numpy")
def _transfer(weights, w, source, s, out, o, scratch):  # type: ignore[no-untyped-def]
    """out[o, a] = sum_b weights[w, a, b] source[s, b]."""
    top, total, _ = scratch
    for a in range(out.shape[2]):
        _sum(weights, w, a, source, s, scratch)
        _store(out, o, a, total, top)


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(out, o, factor, f, scratch):  # type: ignore[no-untyped-def]
    """out[o] *= factor[f], entry by entry."""
    top, total, _ = scratch
    for a in range(out.shape[2]):
        _clear(top, total)
        _raise(top, out, o, a, factor, f, a)
        _add(total, top, 1.0, out, o, a, factor, f, a)
        _store(out, o, a, total, top)


@njit(nogil=True, cache=True, error_model="numpy")
def _meet(transitions, up, down, scratch):  # type: ignore[no-untyped-def]
    """Messages down to the nodes of level k: through the root from all the others, as products from
    the left and from the right."""
    from_root, to_root = transitions
    nodes = len(from_root)
    # The nodes above level k carry no message of their own, which leaves room: in `up` for the
    # product from the left, in `down` for what the root hears.
    running = np.empty((1, 2, up.shape[2], up.shape[3]))
    _one(running, 0)
    for j in range(nodes):
        _transfer(from_root, j, up, nodes + j, down, j, scratch)
        _copy(running, 0, up, j)
        _multiply(running, 0, down, j, scratch)
    _one(running, 0)
    for j in range(nodes - 1, -1, -1):
        _multiply(up, j, running, 0, scratch)
        _multiply(running, 0, down, j, scratch)
        _transfer(to_root, j, up, j, down, nodes + j, scratch)


@njit(nogil=True, cache=True, error_model="numpy")
def _normalise(down, up, leaf, ones, scratch):  # type: ignore[no-untyped-def]
    """down[leaf, 0] = log of the normalised product of down[leaf] and up[leaf]; -inf for nothing,
    NaN for nothing out of nothing."""
    top, total, _ = scratch
    _multiply(down, leaf, up, leaf, scratch)
    _sum(ones, 0, 0, down, leaf, scratch)
    for a in range(down.shape[2]):
        for lane in range(len(total)):
            exponent = down[leaf, 1, a, lane]
            value = (exponent - top[lane]) * LN2 + log(down[leaf, 0, a, lane] / total[lane])
            value = value if exponent > NOTHING / 2 else -np.inf
            down[leaf, 0, a, lane] = value if top[lane] > NOTHING / 2 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _load(h, begin, up):  # type: ignore[no-untyped-def]
    """Fill the leaves with exp(h) of the sequences from `begin` on; past the end the last one is repeated."""
    length, q = h.shape[1:]
    for lane in range(up.shape[3]):
        row = min(begin + lane, len(h) - 1)
        for leaf in range(length):
            for symbol in range(q):
                up[length + leaf, 0, symbol, lane] = h[row, leaf, symbol]
    for leaf in range(length, 2 * length):
        _exponentiate(up, leaf)


@njit(nogil=True, cache=True, error_model="numpy")
def _unload(down, out, begin, end):  # type: ignore[no-untyped-def]
    """Write the leaves' logarithms to rows begin..end of out."""
    length, q = out.shape[1:]
    for row in range(begin, end):
        for leaf in range(length):
            for symbol in range(q):
                out[row, leaf, symbol] = down[length + leaf, 0, symbol, row - begin]


@njit(nogil=True, cache=True, error_model="numpy")
def _propagate(tables, transitions, up, down, scratch):  # type: ignore[no-untyped-def]
    """From the leaves' evidence in `up` to the leaves' log marginals in `down`: climb, meet at the
    root, descend, normalise."""
    by_parent, by_left, by_right = tables
    top, length = len(transitions[0]), len(up) // 2
    ones = np.ones((1, 1, up.shape[2]))
    for node in range(length - 1, top - 1, -1):
        _contract(by_parent, up, 2 * node, up, 2 * node + 1, up, node, scratch)
    _meet(transitions, up, down, scratch)
    for node in range(top, length):
        _contract(by_left, down, node, up, 2 * node + 1, down, 2 * node, scratch)
        _contract(by_right, down, node, up, 2 * node, down, 2 * node + 1, scratch)
    for leaf in range(length, 2 * length):
        _normalise(down, up, leaf, ones, scratch)


@njit(nogil=True, cache=True, error_model="numpy")
def wide_marginals(h, out, tables, transitions, lanes, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin..end of out (n, L, q), `lanes` at a time."""
    shape = (2 * h.shape[1], 2, h.shape[2], lanes)
    up, down = np.empty(shape), np.empty(shape)
    unit = np.ones((1, 2, 1, lanes))
    for lane in range(lanes):
        unit[0, 1, 0, lane] = 0.0
    scratch = np.empty(lanes), np.empty(lanes), unit
    for row in range(begin, end, lanes):
        _load(h, row, up)
        _propagate(tables, transitions, up, down, scratch)
        _unload(down, out, row, min(end, row + lanes))
