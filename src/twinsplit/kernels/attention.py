"""Softmax attention over few tokens and its gradient, compiled: one sequence and head at a time,
dropout on the attention weights or not.

Queries, keys, values and their gradients are float32 or the bits of bfloat16 (uint16); weights and
sums are float32. Sums run in a fixed order, so a step is the same to the bit wherever it is taken
on one machine. Lengths and head sizes are constants of the compiled code. Sums run over a constant
number of terms, so that they unroll; the loops around them run over a number known only at run
time, or the compiler would unroll those, too, and miss the vector registers.

What a kernel is made for are numbers, never compiled functions: numba names those anew in every
process, and would find none of the kernels that it has kept on disk.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from twinsplit.kernels.bits import bits_single, single, stored

LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST = np.float32(-87.0)
HALF = np.float32(0.5)
C7, C6, C5, C4, C3, C2 = (np.float32(v) for v in (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665795e-2, 1.6666665e-1, 0.5))
ZERO, ONE = np.float32(0.0), np.float32(1.0)
FAST = {"contract", "reassoc", "nsz"}  # vector sums in the compiler's order, always the same one; no NaN or infinity is assumed away
UNROLLED = 32  # numbers in a head up to which a sum over them unrolls; beyond, neighbouring numbers fill the vector registers


@njit(inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x <= 0 in float32, within two units in the last place (Cephes' polynomial); below
    -87 as at -87."""
    x = x if x > SMALLEST else SMALLEST
    k = np.floor(x * LOG2_E + HALF)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    tail = ((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2
    return ((tail * r) * r + r + ONE) * bits_single((np.int32(k) + np.int32(127)) << np.int32(23))


@njit(inline="always")
def _products_of_columns(left, a, right, b, first, size, tokens, factor, work, score):  # type: ignore[no-untyped-def]
    """score[j, i] = factor * (left row i . right row j), from columns a and b on, of the sequence
    that starts at row `first`.

    Side by side in a register: the rows of `left`, transposed into work (size, tokens).
    """
    for i in range(tokens):
        for c in range(work.shape[0]):
            work[c, i] = single(left[first + i, a + c])
    for j in range(tokens):
        for i in range(tokens):
            value = ZERO
            for c in range(size):
                value += work[c, i] * single(right[first + j, b + c])
            score[j, i] = value * factor


@njit(inline="always")
def _products_of_rows(left, a, right, b, first, size, tokens, factor, score):  # type: ignore[no-untyped-def]
    """As `_products_of_columns`, with neighbouring numbers of a row side by side in a register."""
    for j in range(tokens):
        for i in range(tokens):
            value = ZERO
            for c in range(size):
                value += single(left[first + i, a + c]) * single(right[first + j, b + c])
            score[j, i] = value * factor


@njit(inline="always")
def _products(left, a, right, b, first, size, tokens, factor, work, score):  # type: ignore[no-untyped-def]
    """Call the faster of the two for heads of `size` numbers; the choice is made at compile time."""
    if size <= UNROLLED:
        _products_of_columns(left, a, right, b, first, size, tokens, factor, work, score)
    else:
        _products_of_rows(left, a, right, b, first, size, tokens, factor, score)


@njit(inline="always")
def _softmax(score, length, tokens, work):  # type: ignore[no-untyped-def]
    """Over keys, the first axis of score (length, tokens), in place; `length` is known to the
    compiler, `tokens` equals it."""
    for i in range(tokens):
        value = score[0, i]
        for j in range(1, length):
            value = score[j, i] if score[j, i] > value else value
        work[i] = value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] = _exp(score[j, i] - work[i])
    for i in range(tokens):
        value = ZERO
        for j in range(length):
            value += score[j, i]
        work[i] = ONE / value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] *= work[i]


@njit(inline="always")
def _mix(weight, values, b, first, length, tokens, columns, mixed, at):  # type: ignore[no-untyped-def]
    """mixed row i = sum over j of weight[j, i] * values row j, from columns `at` and b on."""
    for i in range(tokens):
        for c in range(columns):
            value = ZERO
            for j in range(length):
                value += weight[j, i] * single(values[first + j, b + c])
            mixed[first + i, at + c] = stored(value, mixed[first + i, at + c])


@njit(inline="always")
def _through_softmax(weight, score, factor, length, tokens, work):  # type: ignore[no-untyped-def]
    """score: the gradient of the attention weights, replaced by that of the products they come from."""
    for i in range(tokens):
        value = ZERO
        for j in range(length):
            value += weight[j, i] * score[j, i]
        work[i] = value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] = weight[j, i] * (score[j, i] - work[i]) * factor


@njit(inline="always")
def _through_dropped_softmax(weight, kept, score, factor, length, tokens, work):  # type: ignore[no-untyped-def]
    """score: the gradient of the weights that dropout has left, replaced likewise. What was dropped
    is 0 in `kept`."""
    for i in range(tokens):
        value = ZERO
        for j in range(length):
            value += kept[j, i] * score[j, i]
        work[i] = value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] = (kept[j, i] * score[j, i] - weight[j, i] * work[i]) * factor


@njit(inline="always")
def _spread_at_once(grad, at, qkv, score, kept, first, length, tokens, width, columns, out):  # type: ignore[no-untyped-def]
    """out: the gradients of queries, keys and values, from that of the products (score) and of what
    was mixed (grad)."""
    for j in range(tokens):
        for c in range(columns):
            to_query, to_key, to_value = ZERO, ZERO, ZERO
            for i in range(length):
                to_query += score[i, j] * single(qkv[first + i, width + at + c])
                to_key += score[j, i] * single(qkv[first + i, at + c])
                to_value += kept[j, i] * single(grad[first + i, at + c])
            row = first + j
            out[row, at + c] = stored(to_query, out[row, at + c])
            out[row, width + at + c] = stored(to_key, out[row, at + c])
            out[row, 2 * width + at + c] = stored(to_value, out[row, at + c])


@njit(inline="always")
def _spread_in_turn(grad, at, qkv, score, kept, first, length, tokens, width, columns, out):  # type: ignore[no-untyped-def]
    """As `_spread_at_once`, one gradient after the other: faster for wide heads, four times so with
    bfloat16."""
    _mix(score, qkv, width + at, first, length, tokens, columns, out, at)
    _mix(score.T, qkv, at, first, length, tokens, columns, out, width + at)
    _mix(kept.T, grad, at, first, length, tokens, columns, out, 2 * width + at)


@njit(inline="always")
def _spread(grad, at, qkv, score, kept, first, length, size, tokens, width, columns, out):  # type: ignore[no-untyped-def]
    """Call the faster of the two for heads of `size` numbers."""
    if size <= UNROLLED:
        _spread_at_once(grad, at, qkv, score, kept, first, length, tokens, width, columns, out)
    else:
        _spread_in_turn(grad, at, qkv, score, kept, first, length, tokens, width, columns, out)


@cache
def attention_forward(length: int, heads: int, size: int) -> Any:
    """Compiled for `length` tokens and `heads` heads of `size` numbers."""
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def forward(qkv, weights, mixed):  # type: ignore[no-untyped-def]
        """weights (n, H, key L, query L) and mixed (N, width) from qkv (N, 3 width)."""
        columns, tokens = mixed.shape[1] // weights.shape[1], weights.shape[3]
        query, work = np.empty((size, length), np.float32), np.empty(length, np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, score = s * length, h * size, weights[s, h]
                _products(qkv, at, qkv, width + at, first, size, tokens, scale, query, score)
                _softmax(score, length, tokens, work)
                _mix(score, qkv, 2 * width + at, first, length, tokens, columns, mixed, at)

    return forward


@cache
def attention_backward(length: int, heads: int, size: int) -> Any:
    """Compiled for `length` tokens and `heads` heads of `size` numbers."""
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def backward(grad, qkv, weights, out):  # type: ignore[no-untyped-def]
        """out (N, 3 width), the gradient of qkv, from that of mixed."""
        columns, tokens = grad.shape[1] // weights.shape[1], weights.shape[3]
        upward, work = np.empty((size, length), np.float32), np.empty(length, np.float32)
        score = np.empty((length, length), np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, weight = s * length, h * size, weights[s, h]
                _products(grad, at, qkv, 2 * width + at, first, size, tokens, ONE, upward, score)
                _through_softmax(weight, score, scale, length, tokens, work)
                _spread(grad, at, qkv, score, weight, first, length, size, tokens, width, columns, out)

    return backward


@cache
def dropped_forward(length: int, heads: int, size: int) -> Any:
    """`attention_forward` with dropout on the attention weights."""
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def forward(qkv, words, least, gain, weights, kept, mixed):  # type: ignore[no-untyped-def]
        """words (n, H, query L, key L) int16: a weight below `least` is dropped, others are
        multiplied by `gain` (kept)."""
        columns, tokens = mixed.shape[1] // weights.shape[1], weights.shape[3]
        query, work = np.empty((size, length), np.float32), np.empty(length, np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, score, left = s * length, h * size, weights[s, h], kept[s, h]
                _products(qkv, at, qkv, width + at, first, size, tokens, scale, query, score)
                _softmax(score, length, tokens, work)
                for i in range(tokens):
                    for j in range(tokens):
                        left[j, i] = score[j, i] * gain if words[s, h, i, j] >= least else ZERO
                _mix(left, qkv, 2 * width + at, first, length, tokens, columns, mixed, at)

    return forward


@cache
def dropped_backward(length: int, heads: int, size: int) -> Any:
    """`attention_backward` with dropout on the attention weights."""
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def backward(grad, qkv, weights, kept, out):  # type: ignore[no-untyped-def]
        """weights and kept as `dropped_forward` left them."""
        columns, tokens = grad.shape[1] // weights.shape[1], weights.shape[3]
        upward, work = np.empty((size, length), np.float32), np.empty(length, np.float32)
        score = np.empty((length, length), np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, weight, left = s * length, h * size, weights[s, h], kept[s, h]
                _products(grad, at, qkv, 2 * width + at, first, size, tokens, ONE, upward, score)
                _through_dropped_softmax(weight, left, score, scale, length, tokens, work)
                _spread(grad, at, qkv, score, left, first, length, size, tokens, width, columns, out)

    return backward
