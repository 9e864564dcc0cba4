"""Belief propagation on the tree, compiled, in plain float64: for evidence so even that no product of it can leave the range of a float64.

What can happen to a message is bounded beforehand (`margin`): it is a sum of products of the leaves' evidence, each at most 1 when its
largest symbol counts as 1, and of rule probabilities. Where that bound keeps every positive number above 1e-290, additions and
multiplications are all there is to do, and the error is that of some tens of roundings, as in `belief_wide`, which serves the rest.

A message is an array (q, lanes): the innermost loop runs over sequences side by side, in consecutive memory.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.data.grammar import RuleTable
from twinsplit.kernels.belief_wide import INVERSE_LN2, LN2_HIGH, LN2_LOW, ROUND, _exp_fraction, _power_of_two, copy, fill
from twinsplit.kernels.philox import log

Floats: TypeAlias = npt.NDArray[np.float64]

DEEPEST = 660.0  # nats below 1 that a message may fall: exp(-660) is 1e-287


def margin(rules: tuple[RuleTable, RuleTable, RuleTable], transition: Floats, length: int) -> float:
    """Nats that the leaves' evidence may span in all, so that no positive message falls below exp(-DEEPEST).

    Every product has at most one rule for each inner node and one transition for each node of level k; sums can only help, and hold at
    most q^2 terms of each, so they cannot grow beyond the range either.
    """
    least_rule = min(float(table.weight[table.weight > 0].min()) for table in rules)
    least_transition = float(transition[transition > 0].min())
    lost = length * np.log(min(least_rule, 1.0)) + 2 * len(transition) * np.log(min(least_transition, 1.0))
    return float(DEEPEST + lost)


@njit(nogil=True, cache=True)
def spans(h, out, begin, end):  # type: ignore[no-untyped-def]
    """out (n,): nats that the evidence of rows begin..end of h (n, L, q) spans, largest less smallest symbol, summed over leaves.

    inf where a symbol is -inf, NaN where all of a leaf are.
    """
    for row in range(begin, end):
        total = 0.0
        for leaf in range(h.shape[1]):
            top = low = h[row, leaf, 0]
            for symbol in range(1, h.shape[2]):
                value = h[row, leaf, symbol]
                top = value if value > top else top
                low = value if value < low else low
            total += top - low
        out[row] = total


@njit(nogil=True, cache=True, error_model="numpy")
def _accumulate(total, weight, first, second):  # type: ignore[no-untyped-def]
    """total += weight * first * second."""
    for lane in range(len(total)):
        total[lane] += weight * (first[lane] * second[lane])


@njit(nogil=True, cache=True, error_model="numpy")
def _contract(table, first, second, out):  # type: ignore[no-untyped-def]
    """out[target] = sum over the table's entries (i, j) for target of weight * first[i] * second[j]."""
    firsts, seconds, weights, count = table
    fill(out, 0.0)
    for target in range(len(count)):
        for entry in range(count[target]):
            _accumulate(out[target], weights[target, entry], first[firsts[target, entry]], second[seconds[target, entry]])


@njit(nogil=True, cache=True, error_model="numpy")
def _scale(total, weight, source):  # type: ignore[no-untyped-def]
    """total += weight * source."""
    for lane in range(len(total)):
        total[lane] += weight * source[lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _transfer(weights, source, out):  # type: ignore[no-untyped-def]
    """out[a] = sum_b weights[a, b] source[b]."""
    fill(out, 0.0)
    for a in range(len(weights)):
        for b in range(weights.shape[1]):
            if weights[a, b] > 0.0:
                _scale(out[a], weights[a, b], source[b])


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(target, factor):  # type: ignore[no-untyped-def]
    """target *= factor, entry by entry."""
    for a in range(len(target)):
        for lane in range(target.shape[1]):
            target[a, lane] *= factor[a, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _meet(transitions, up, down):  # type: ignore[no-untyped-def]
    """Messages down to the nodes of level k: through the root from all the others, as products from the left and from the right."""
    from_root, to_root = transitions
    nodes = len(from_root)
    at_root = np.empty((nodes, up.shape[1], up.shape[2]))
    running = np.empty((up.shape[1], up.shape[2]))
    fill(running, 1.0)
    for j in range(nodes):
        _transfer(from_root[j], up[nodes + j], at_root[j])
        copy(up[j], running)  # the nodes above level k carry no message of their own: room for the product from the left
        _multiply(running, at_root[j])
    fill(running, 1.0)
    for j in range(nodes - 1, -1, -1):
        _multiply(up[j], running)
        _multiply(running, at_root[j])
        _transfer(to_root[j], up[j], down[nodes + j])


@njit(nogil=True, cache=True, error_model="numpy")
def _exponentiate(row):  # type: ignore[no-untyped-def]
    """Replace x in -DEEPEST..0 by exp(x)."""
    for lane in range(len(row)):
        x = row[lane]
        k = (x * INVERSE_LN2 + ROUND) - ROUND
        row[lane] = _exp_fraction((x - k * LN2_HIGH) - k * LN2_LOW) * _power_of_two(k)


@njit(nogil=True, cache=True, error_model="numpy")
def _logarithm(row, total):  # type: ignore[no-untyped-def]
    """Replace p by log(p / total); -inf for nothing."""
    for lane in range(len(row)):
        p = row[lane]
        row[lane] = log(p / total[lane]) if p > 0.0 else -np.inf


@njit(nogil=True, cache=True, error_model="numpy")
def _normalise(message, evidence, total):  # type: ignore[no-untyped-def]
    """message = log of the normalised product of `message` and `evidence`."""
    _multiply(message, evidence)
    total[:] = 0.0
    for a in range(len(message)):
        _scale(total, 1.0, message[a])
    for a in range(len(message)):
        _logarithm(message[a], total)


@njit(nogil=True, cache=True, error_model="numpy")
def _load(h, begin, up):  # type: ignore[no-untyped-def]
    """Fill the leaves with exp(h - max h) of the sequences from `begin` on; past the end the last one is repeated."""
    length, q = h.shape[1:]
    for lane in range(up.shape[2]):
        row = h[min(begin + lane, len(h) - 1)]
        for leaf in range(length):
            top = row[leaf, 0]
            for symbol in range(1, q):
                top = row[leaf, symbol] if row[leaf, symbol] > top else top
            for symbol in range(q):
                up[length + leaf, symbol, lane] = row[leaf, symbol] - top
    for leaf in range(length):
        for symbol in range(q):
            _exponentiate(up[length + leaf, symbol])


@njit(nogil=True, cache=True, error_model="numpy")
def _unload(down, out, begin, end):  # type: ignore[no-untyped-def]
    """Write the leaves' logarithms to rows begin..end of out."""
    length, q = out.shape[1:]
    for row in range(begin, end):
        for leaf in range(length):
            for symbol in range(q):
                out[row, leaf, symbol] = down[length + leaf, symbol, row - begin]


@njit(nogil=True, cache=True, error_model="numpy")
def _propagate(tables, transitions, up, down, total):  # type: ignore[no-untyped-def]
    """From the leaves' evidence in `up` to the leaves' log marginals in `down`: climb, meet at the root, descend, normalise."""
    by_parent, by_left, by_right = tables
    top, length = len(transitions[0]), len(up) // 2
    for node in range(length - 1, top - 1, -1):
        _contract(by_parent, up[2 * node], up[2 * node + 1], up[node])
    _meet(transitions, up, down)
    for node in range(top, length):
        _contract(by_left, down[node], up[2 * node + 1], down[2 * node])
        _contract(by_right, down[node], up[2 * node], down[2 * node + 1])
    for leaf in range(length, 2 * length):
        _normalise(down[leaf], up[leaf], total)


@njit(nogil=True, cache=True, error_model="numpy")
def plain_marginals(h, out, tables, transitions, lanes, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin..end of out (n, L, q), `lanes` at a time."""
    shape = (2 * h.shape[1], h.shape[2], lanes)
    up, down, total = np.empty(shape), np.empty(shape), np.empty(lanes)
    for row in range(begin, end, lanes):
        _load(h, row, up)
        _propagate(tables, transitions, up, down, total)
        _unload(down, out, row, min(end, row + lanes))
