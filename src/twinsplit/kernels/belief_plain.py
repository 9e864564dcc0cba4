"""Belief propagation on the tree, compiled, in plain float64: for evidence so even that no product
of it can leave the range of a float64.

What can happen to a message is bounded beforehand (`margin`): it is a sum of products of the
leaves' evidence, each at most 1 when its largest symbol counts as 1, and of rule probabilities.
Where that bound keeps every positive number above 1e-290, additions and multiplications are all
there is to do, and the error is that of some tens of roundings, as in `belief_wide`, which serves
the rest.

Messages of all nodes of the heap lie in one array (nodes, q, lanes): the innermost loop runs over
sequences side by side, in consecutive memory. Functions take the array and a node's number, never a
view on the node: a view holds a reference, counted by atomic instructions that cost as much as the
arithmetic on a row, and that threads contend for where they share an array.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.kernels.belief_wide import INVERSE_LN2, LN2_HIGH, LN2_LOW, ROUND, _exp_fraction, _power_of_two
from twinsplit.kernels.rules import RuleTable
from twinsplit.noise.kernel import log

Floats: TypeAlias = npt.NDArray[np.float64]

# Polynomials gain a third by fused multiply-adds; the sums of products below lose by them, so they
# do without.
FUSED = {"contract"}
DEEPEST = 660.0  # nats below 1 that a message may fall: exp(-660) is 1e-287


def margin(rules: tuple[RuleTable, RuleTable, RuleTable], transition: Floats, length: int) -> float:
    """Nats that the leaves' evidence may span in all, so that no positive message falls below
    exp(-DEEPEST).

    Every product has at most one rule for each inner node and one transition for each node of level
    k; sums can only help, and hold at most q^2 terms of each, so they cannot grow beyond the range
    either.
    """
    least_rule = min(float(table.weight[table.weight > 0].min()) for table in rules)
    least_transition = float(transition[transition > 0].min())
    lost = length * np.log(min(least_rule, 1.0)) + 2 * len(transition) * np.log(min(least_transition, 1.0))
    return float(DEEPEST + lost)


@njit(nogil=True, cache=True)
def spans(h, out, begin, end):  # type: ignore[no-untyped-def]
    """out (n,): nats that the evidence of rows begin..end of h (n, L, q) spans, largest less
    smallest symbol, summed over leaves.

    NaN where a symbol is infinite or NaN.
    """
    for row in range(begin, end):
        total = 0.0
        for leaf in range(h.shape[1]):
            top = low = h[row, leaf, 0]
            for symbol in range(h.shape[2]):
                value = h[row, leaf, symbol]
                top = value if value > top else top
                low = value if value < low else low
                total += 0.0 * value  # comparisons pass over a NaN, a product does not
            total += top - low
        out[row] = total


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(out, o, value):  # type: ignore[no-untyped-def]
    """out[o] = value."""
    for a in range(out.shape[1]):
        for lane in range(out.shape[2]):
            out[o, a, lane] = value


@njit(nogil=True, cache=True, error_model="numpy")
def _copy(source, s, out, o):  # type: ignore[no-untyped-def]
    """out[o] = source[s]."""
    for a in range(out.shape[1]):
        for lane in range(out.shape[2]):
            out[o, a, lane] = source[s, a, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(out, o, factor, f):  # type: ignore[no-untyped-def]
    """out[o] *= factor[f], entry by entry."""
    for a in range(out.shape[1]):
        for lane in range(out.shape[2]):
            out[o, a, lane] *= factor[f, a, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _contract(table, first, f, second, s, out, o):  # type: ignore[no-untyped-def]
    """out[o, target] = sum over the table's entries (i, j) for target of weight * first[f, i] *
    second[s, j].

    Two entries at a time: each sum is read and written half as often.
    """
    firsts, seconds, weights, count = table
    _fill(out, o, 0.0)
    for target in range(len(count)):
        for entry in range(1, count[target], 2):
            i, j, weight = firsts[target, entry - 1], seconds[target, entry - 1], weights[target, entry - 1]
            k, m, other = firsts[target, entry], seconds[target, entry], weights[target, entry]
            for lane in range(out.shape[2]):
                pair = weight * (first[f, i, lane] * second[s, j, lane]) + other * (first[f, k, lane] * second[s, m, lane])
                out[o, target, lane] += pair
        if count[target] % 2:
            entry = count[target] - 1
            i, j, weight = firsts[target, entry], seconds[target, entry], weights[target, entry]
            for lane in range(out.shape[2]):
                out[o, target, lane] += weight * (first[f, i, lane] * second[s, j, lane])


@njit(nogil=True, cache=True, error_model="numpy")
def _transfer(weights, w, source, s, out, o):  # type: ignore[no-untyped-def]
    """out[o, a] = sum_b weights[w, a, b] source[s, b], two terms at a time as in `_contract`."""
    last = out.shape[1] - 1
    for a in range(out.shape[1]):
        odd = weights[w, a, last] if last % 2 == 0 else 0.0
        for lane in range(out.shape[2]):
            out[o, a, lane] = odd * source[s, last, lane]
        for b in range(1, last + 1, 2):
            weight, other = weights[w, a, b - 1], weights[w, a, b]
            for lane in range(out.shape[2]):
                out[o, a, lane] += weight * source[s, b - 1, lane] + other * source[s, b, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _meet(transitions, up, down):  # type: ignore[no-untyped-def]
    """Messages down to the nodes of level k: through the root from all the others, as products from
    the left and from the right."""
    from_root, to_root = transitions
    nodes = len(from_root)
    # The nodes above level k carry no message of their own, which leaves room: in `up` for the
    # product from the left, in `down` for what the root hears.
    running = np.empty((1, up.shape[1], up.shape[2]))
    _fill(running, 0, 1.0)
    for j in range(nodes):
        _transfer(from_root, j, up, nodes + j, down, j)
        _copy(running, 0, up, j)
        _multiply(running, 0, down, j)
    _fill(running, 0, 1.0)
    for j in range(nodes - 1, -1, -1):
        _multiply(up, j, running, 0)
        _multiply(running, 0, down, j)
        _transfer(to_root, j, up, j, down, nodes + j)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
def _exponentiate(up, node, top):  # type: ignore[no-untyped-def]
    """Replace x in up[node] by exp(x - top), where x - top lies in -DEEPEST..0; top (lanes,)."""
    for symbol in range(up.shape[1]):
        for lane in range(up.shape[2]):
            x = up[node, symbol, lane] - top[lane]
            k = (x * INVERSE_LN2 + ROUND) - ROUND
            up[node, symbol, lane] = _exp_fraction((x - k * LN2_HIGH) - k * LN2_LOW) * _power_of_two(k)


@njit(nogil=True, cache=True, error_model="numpy")
def _largest(up, node, top):  # type: ignore[no-untyped-def]
    """top (lanes,) = the maximum of up[node] over symbols."""
    for lane in range(len(top)):
        top[lane] = up[node, 0, lane]
    for symbol in range(1, up.shape[1]):
        for lane in range(len(top)):
            top[lane] = up[node, symbol, lane] if up[node, symbol, lane] > top[lane] else top[lane]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FUSED)
def _normalise(down, up, leaf, total):  # type: ignore[no-untyped-def]
    """down[leaf] = log of the normalised product of down[leaf] and up[leaf]; -inf for nothing.
    total (lanes,) is scratch."""
    _multiply(down, leaf, up, leaf)
    for lane in range(len(total)):
        total[lane] = 0.0
    for a in range(down.shape[1]):
        for lane in range(len(total)):
            total[lane] += down[leaf, a, lane]
    for lane in range(len(total)):  # p <= total, so that p times the rounded reciprocal still rounds to at most 1
        total[lane] = 1.0 / total[lane]
    for a in range(down.shape[1]):
        for lane in range(len(total)):
            p = down[leaf, a, lane]
            down[leaf, a, lane] = log(p * total[lane]) if p > 0.0 else -np.inf


@njit(nogil=True, cache=True, error_model="numpy")
def _load(h, begin, up, top):  # type: ignore[no-untyped-def]
    """Fill the leaves with exp(h - max h) of the sequences from `begin` on; past the end the last
    one is repeated."""
    length, q = h.shape[1:]
    for lane in range(up.shape[2]):
        row = min(begin + lane, len(h) - 1)
        for leaf in range(length):
            for symbol in range(q):
                up[length + leaf, symbol, lane] = h[row, leaf, symbol]
    for leaf in range(length, 2 * length):
        _largest(up, leaf, top)
        _exponentiate(up, leaf, top)


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
    """From the leaves' evidence in `up` to the leaves' log marginals in `down`: climb, meet at the
    root, descend, normalise."""
    by_parent, by_left, by_right = tables
    top, length = len(transitions[0]), len(up) // 2
    for node in range(length - 1, top - 1, -1):
        _contract(by_parent, up, 2 * node, up, 2 * node + 1, up, node)
    _meet(transitions, up, down)
    for node in range(top, length):
        _contract(by_left, down, node, up, 2 * node + 1, down, 2 * node)
        _contract(by_right, down, node, up, 2 * node, down, 2 * node + 1)
    for leaf in range(length, 2 * length):
        _normalise(down, up, leaf, total)


@njit(nogil=True, cache=True, error_model="numpy")
def plain_marginals(h, out, tables, transitions, lanes, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin..end of out (n, L, q), `lanes` at a time."""
    shape = (2 * h.shape[1], h.shape[2], lanes)
    up, down, total = np.empty(shape), np.empty(shape), np.empty(lanes)
    for row in range(begin, end, lanes):
        _load(h, row, up, total)
        _propagate(tables, transitions, up, down, total)
        _unload(down, out, row, min(end, row + lanes))
