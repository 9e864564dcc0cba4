"""What a transformer needs between its matrix products, compiled: residual and norm, ReLU, dropout,
sums over rows, cross-entropy.

All arrays are contiguous; n sequences of L tokens are N = n L rows. What comes from a product or
goes into one is float32 or the bits of bfloat16 (uint16), all else float32. Sums run in a fixed
order, so a step is the same to the bit wherever it is taken on one machine. Dropout takes a 16-bit
word for every entry: an entry whose word is below `least` is dropped, others are multiplied by
`gain`.
"""

import numpy as np
from numba import njit

from twinsplit.kernels.attention import FAST, ONE, ZERO
from twinsplit.kernels.bits import single, stored


@njit(nogil=True, cache=True, fastmath=FAST)
def norm_forward(changed, x, gain, bias, unit, inverse, out):  # type: ignore[no-untyped-def]
    """out = layer_norm(x + changed); unit: before gain and bias, inverse (N,): 1 / standard deviation."""
    width = x.shape[1]
    part = np.float32(1.0 / width)
    for row in range(len(x)):
        total, squares = ZERO, ZERO
        for c in range(width):
            unit[row, c] = x[row, c] + single(changed[row, c])
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
    """out: the gradient of x + changed, out_sum (width,) its sum over rows; the gradients of gain
    and bias are added to."""
    width = unit.shape[1]
    part = np.float32(1.0 / width)
    for row in range(len(unit)):
        total, along = ZERO, ZERO
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
def relu_backward(grad, hidden, gain, total):  # type: ignore[no-untyped-def]
    """grad: times `gain`, and 0 where hidden is 0, in place; its sum over rows is added to total."""
    for row in range(len(grad)):
        for c in range(grad.shape[1]):
            value = single(grad[row, c]) * gain if single(hidden[row, c]) > ZERO else ZERO
            grad[row, c] = stored(value, grad[row, c])
            total[c] += value


@njit(nogil=True, cache=True, fastmath=FAST)
def drop(values, words, least, gain):  # type: ignore[no-untyped-def]
    """Dropout of values (N, width) in place."""
    for row in range(len(values)):
        for c in range(values.shape[1]):
            value = single(values[row, c]) * gain if words[row, c] >= least else ZERO
            values[row, c] = stored(value, values[row, c])


@njit(nogil=True, cache=True, fastmath=FAST)
def relu_drop(values, words, least, gain):  # type: ignore[no-untyped-def]
    """ReLU and dropout of values (N, width) in place."""
    for row in range(len(values)):
        for c in range(values.shape[1]):
            value = single(values[row, c])
            value = value * gain if value > ZERO and words[row, c] >= least else ZERO
            values[row, c] = stored(value, values[row, c])


@njit(nogil=True, cache=True, fastmath=FAST)
def drop_backward(grad, words, least, gain, out, total):  # type: ignore[no-untyped-def]
    """out: the gradient before dropout, from that after it; its sum over rows is added to total."""
    for row in range(len(grad)):
        for c in range(grad.shape[1]):
            value = grad[row, c] * gain if words[row, c] >= least else ZERO
            out[row, c] = stored(value, out[row, c])
            total[c] += value


@njit(nogil=True, cache=True, fastmath=FAST)
def add_rows(values, total):  # type: ignore[no-untyped-def]
    """total (width,) += the sum of values (N, width) over rows."""
    for row in range(len(values)):
        for c in range(len(total)):
            total[c] += single(values[row, c])


@njit(nogil=True, cache=True)
def cross_entropy(logits, tokens, count, grad):  # type: ignore[no-untyped-def]
    """Sum over rows of -log softmax(logits)[token] / count, in nats, and its gradient."""
    loss, part = 0.0, np.float32(1.0 / count)
    for row in range(len(logits)):
        top = logits[row, 0]
        for c in range(1, logits.shape[1]):
            top = max(top, logits[row, c])
        total = ZERO
        for c in range(logits.shape[1]):
            grad[row, c] = np.exp(logits[row, c] - top)
            total += grad[row, c]
        loss += np.log(total) - (logits[row, tokens[row]] - top)
        for c in range(logits.shape[1]):
            grad[row, c] *= part / total
        grad[row, tokens[row]] -= part
    return loss / count
