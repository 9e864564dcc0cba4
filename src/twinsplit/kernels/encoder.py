"""What a small transformer needs between its matrix products, compiled: attention over few tokens, residual and norm, cross-entropy.

All arrays are float32 and contiguous; n sequences of L tokens are N = n L rows. Sums run in a fixed order, so a step is the same to the
bit wherever it is taken on one machine. Lengths and head sizes are constants of the compiled code: loops of 8 or 16 turns unroll.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from twinsplit.kernels.bits import bits_single

LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST = np.float32(-87.0)
HALF = np.float32(0.5)
C7, C6, C5, C4, C3, C2 = (np.float32(v) for v in (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665795e-2, 1.6666665e-1, 0.5))
ONE = np.float32(1.0)
FAST = {"contract", "reassoc", "nsz"}  # vector sums in the compiler's order, always the same one; no NaN or infinity is assumed away


@njit(inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x <= 0 in float32, within two units in the last place (Cephes' polynomial); below -87 as at -87."""
    x = x if x > SMALLEST else SMALLEST
    k = np.floor(x * LOG2_E + HALF)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    tail = ((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2
    return ((tail * r) * r + r + ONE) * bits_single((np.int32(k) + np.int32(127)) << np.int32(23))


@njit(inline="always")
def _transpose(source, first, column, out):  # type: ignore[no-untyped-def]
    """out (columns, rows) from the part of `source` that starts at (first, column)."""
    for j in range(out.shape[1]):
        for c in range(out.shape[0]):
            out[c, j] = source[first + j, column + c]


@njit(inline="always")
def _softmax(score, length, tokens, work):  # type: ignore[no-untyped-def]
    """Over keys, the first axis of score (length, tokens), in place; `length` is known to the compiler, `tokens` equals it."""
    for i in range(tokens):
        value = score[0, i]
        for j in range(1, length):
            value = score[j, i] if score[j, i] > value else value
        work[i] = value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] = _exp(score[j, i] - work[i])
    for i in range(tokens):
        value = np.float32(0.0)
        for j in range(length):
            value += score[j, i]
        work[i] = ONE / value
    for j in range(tokens):
        for i in range(tokens):
            score[j, i] *= work[i]


@cache
def attention_forward(length: int, heads: int, size: int) -> Any:
    """Compiled for `length` tokens and `heads` heads of `size` numbers.

    Sums run over a constant number of terms, so that they unroll; the loops around them run over a number known only at run time, or
    the compiler would unroll those, too, and miss the vector registers.
    """
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def forward(qkv, weights, mixed):  # type: ignore[no-untyped-def]
        """weights (n, H, key L, query L) and mixed (N, width) from qkv (N, 3 width)."""
        tokens, columns = weights.shape[3], mixed.shape[1] // weights.shape[1]
        query, work = np.empty((size, length), np.float32), np.empty(length, np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, score = s * length, h * size, weights[s, h]
                _transpose(qkv, first, at, query)
                for j in range(tokens):
                    for i in range(tokens):
                        value = np.float32(0.0)
                        for c in range(size):
                            value += query[c, i] * qkv[first + j, width + at + c]
                        score[j, i] = value * scale
                _softmax(score, length, tokens, work)
                for i in range(tokens):
                    for c in range(columns):
                        value = np.float32(0.0)
                        for j in range(length):
                            value += score[j, i] * qkv[first + j, 2 * width + at + c]
                        mixed[first + i, at + c] = value

    return forward


@cache
def attention_backward(length: int, heads: int, size: int) -> Any:
    """Compiled for `length` tokens and `heads` heads of `size` numbers, with loops as in `attention_forward`."""
    scale, width = np.float32(size**-0.5), heads * size

    @njit(nogil=True, cache=True, fastmath=FAST)
    def backward(grad, qkv, weights, out):  # type: ignore[no-untyped-def]
        """out (N, 3 width), the gradient of qkv, from that of mixed."""
        tokens, columns = weights.shape[3], grad.shape[1] // weights.shape[1]
        upward, inner = np.empty((size, length), np.float32), np.empty(length, np.float32)
        score = np.empty((length, length), np.float32)
        for s in range(len(weights)):
            for h in range(heads):
                first, at, weight = s * length, h * size, weights[s, h]
                _transpose(grad, first, at, upward)
                for j in range(tokens):
                    for i in range(tokens):
                        value = np.float32(0.0)
                        for c in range(size):
                            value += upward[c, i] * qkv[first + j, 2 * width + at + c]
                        score[j, i] = value
                for i in range(tokens):
                    value = np.float32(0.0)
                    for j in range(length):
                        value += weight[j, i] * score[j, i]
                    inner[i] = value
                for j in range(tokens):
                    for i in range(tokens):
                        score[j, i] = weight[j, i] * (score[j, i] - inner[i]) * scale
                for j in range(tokens):
                    for c in range(columns):
                        to_query, to_key, to_value = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                        for i in range(length):
                            to_query += score[i, j] * qkv[first + i, width + at + c]
                            to_key += score[j, i] * qkv[first + i, at + c]
                            to_value += weight[j, i] * grad[first + i, at + c]
                        out[first + j, at + c] = to_query
                        out[first + j, width + at + c] = to_key
                        out[first + j, 2 * width + at + c] = to_value

    return backward


@njit(nogil=True, cache=True, fastmath=FAST)
def norm_forward(changed, x, gain, bias, unit, inverse, out):  # type: ignore[no-untyped-def]
    """out = layer_norm(x + changed); unit: before gain and bias, inverse (N,): 1 / standard deviation."""
    width = x.shape[1]
    part = np.float32(1.0 / width)
    for row in range(len(x)):
        total, squares = np.float32(0.0), np.float32(0.0)
        for c in range(width):
            unit[row, c] = x[row, c] + changed[row, c]
            total += unit[row, c]
        mean = total * part
        for c in range(width):
            unit[row, c] -= mean
            squares += unit[row, c] * unit[row, c]
        inverse[row] = ONE / np.sqrt(squares * part + np.float32(1e-5))
        for c in range(width):
            unit[row, c] *= inverse[row]
            out[row, c] = unit[row, c] * gain[c] + bias[c]


@njit(nogil=True, cache=True, fastmath=FAST)
def norm_backward(grad, gain, unit, inverse, gain_grad, bias_grad, out, out_sum):  # type: ignore[no-untyped-def]
    """out: the gradient of x + changed, out_sum (width,) its sum over rows; the gradients of gain and bias are added to."""
    width = unit.shape[1]
    part = np.float32(1.0 / width)
    for row in range(len(unit)):
        total, along = np.float32(0.0), np.float32(0.0)
        for c in range(width):
            g = grad[row, c] * gain[c]
            total += g
            along += g * unit[row, c]
        total, along = total * part, along * part
        for c in range(width):
            value = inverse[row] * (grad[row, c] * gain[c] - total - unit[row, c] * along)
            out[row, c] = value
            out_sum[c] += value
        for c in range(width):
            gain_grad[c] += grad[row, c] * unit[row, c]
            bias_grad[c] += grad[row, c]


@njit(nogil=True, cache=True, fastmath=FAST)
def relu_backward(grad, hidden, total):  # type: ignore[no-untyped-def]
    """grad = 0 where hidden is 0, in place; its sum over rows is added to total."""
    for row in range(len(grad)):
        for c in range(grad.shape[1]):
            value = grad[row, c] if hidden[row, c] > np.float32(0.0) else np.float32(0.0)
            grad[row, c] = value
            total[c] += value


@njit(nogil=True, cache=True, fastmath=FAST)
def add_rows(values, total):  # type: ignore[no-untyped-def]
    """total (width,) += the sum of values (N, width) over rows."""
    for row in range(len(values)):
        for c in range(len(total)):
            total[c] += values[row, c]


@njit(nogil=True, cache=True)
def cross_entropy(logits, tokens, grad):  # type: ignore[no-untyped-def]
    """Mean over rows of -log softmax(logits)[token], in nats, and its gradient."""
    loss, part = 0.0, np.float32(1.0 / len(logits))
    for row in range(len(logits)):
        top = logits[row, 0]
        for c in range(1, logits.shape[1]):
            top = max(top, logits[row, c])
        total = np.float32(0.0)
        for c in range(logits.shape[1]):
            grad[row, c] = np.exp(logits[row, c] - top)
            total += grad[row, c]
        loss += np.log(total) - (logits[row, tokens[row]] - top)
        for c in range(logits.shape[1]):
            grad[row, c] *= part / total
        grad[row, tokens[row]] -= part
    return loss / len(logits)
