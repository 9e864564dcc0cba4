"""Sampling from a tree grammar, compiled: one sequence at a time, its 32-bit words and its symbols
in two small rows."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.kernels import over_rows
from twinsplit.noise.kernel import fill_words

Integers: TypeAlias = npt.NDArray[np.int64]
GRAIN = 1024


@njit(inline="always")
def _outcome(thresholds, word):  # type: ignore[no-untyped-def]
    """The number of thresholds at most `word`."""
    outcome = 0
    for threshold in thresholds:
        outcome += threshold <= word
    return outcome


@njit(nogil=True, cache=True)
def _sample(out, start, depth, level, tables, k0, k1, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin..end of out (n, L): fill level `level` of the heap `node`, then expand to the leaves."""
    left, right, expansion, transition = tables
    length, top = 1 << depth, 1 << level
    words = np.empty((length + (top if level else 0) + 3) // 4 * 4, np.int64)
    node = np.empty(2 * length, np.int64)
    for i in range(begin, end):
        fill_words(words, 0, start + i, k0, k1)
        root = (words[0] * len(left)) >> 32
        node[1] = root
        if level:
            for j in range(top):
                node[top + j] = _outcome(transition[j, root], words[length + j])
        for parent in range(top, length):
            symbol = node[parent]
            rule = _outcome(expansion[symbol], words[parent])
            node[2 * parent], node[2 * parent + 1] = left[symbol, rule], right[symbol, rule]
        for leaf in range(length):
            out[i, leaf] = node[length + leaf]


def sample(
    key: tuple[int, int], start: int, n: int, depth: int, level: int, tables: tuple[Integers, Integers, Integers, Integers]
) -> npt.NDArray[np.int8]:
    """(n, L) int8, samples start..start+n-1. tables: left, right (q, R); thresholds over rules and
    over transitions."""
    out = np.empty((n, 1 << depth), np.int8)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    over_rows(lambda begin, end: _sample(out, start, depth, level, tables, k0, k1, begin, end), n, GRAIN)
    return out
