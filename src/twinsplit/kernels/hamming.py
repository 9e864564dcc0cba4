"""Nearest neighbours in Hamming distance, compiled: many tokens compared by one exclusive or.

A token takes a field of w bits of a 64-bit word, w one more than its number needs, so that the top
bit of every field is 0. After an exclusive or, a field is 0 exactly where two tokens agree; adding
2^(w-1) - 1 to every field carries into its top bit exactly where they differ, and never beyond. The
distance is the number of these bits. The smallest distance of a block of training sequences is
found first; the first block that has the least of these is then searched for the first sequence at
that distance. Where a sequence fits one word, four queries go through a block together, so that
each word of it is loaded once for four comparisons.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from twinsplit.kernels import over_rows
from twinsplit.kernels.bits import popcount

BLOCK, NARROW, TOGETHER = 512, 128, 4  # training sequences in a block, and in one of one-word sequences; queries that share it
FAR = np.uint64(0xFFFFFFFF)
GRAIN = 64


@njit(inline="always")
def _differing(a, b, low, high):  # type: ignore[no-untyped-def]
    """The number of fields in which two words differ."""
    return popcount(((a ^ b) + low) & high)


@njit(nogil=True, cache=True)
def _smallest_of_one_word(word, column, low, high):  # type: ignore[no-untyped-def]
    """The smallest distance of `word` to column (m,), when a sequence fits one word."""
    best = FAR
    for i in range(len(column)):  # by index: numba's iterator carries a stride, and strided loads are slow gathers
        distance = _differing(word, column[i], low, high)
        best = distance if distance < best else best
    return best


@njit(nogil=True, cache=True)
def _add_distances(total, word, column, low, high):  # type: ignore[no-untyped-def]
    """total (m,) += the distances of `word` to column (m,)."""
    for i in range(len(total)):
        total[i] += _differing(word, column[i], low, high)


@njit(nogil=True, cache=True)
def _smallest(query, training, start, stop, low, high, scratch):  # type: ignore[no-untyped-def]
    """The smallest distance of query (words,) to the sequences start..stop of training (words, N)."""
    if len(query) == 1:
        return _smallest_of_one_word(query[0], training[0, start:stop], low, high)
    total = scratch[: stop - start]
    total[:] = np.uint64(0)
    for word in range(len(query)):
        _add_distances(total, query[word], training[word, start:stop], low, high)
    best = FAR
    for i in range(len(total)):
        best = total[i] if total[i] < best else best
    return best


@njit(nogil=True, cache=True)
def _first(query, training, start, low, high, wanted):  # type: ignore[no-untyped-def]
    """The first sequence of training (words, N) from `start` on at this distance of query (words,)."""
    for i in range(start, training.shape[1]):
        distance = np.uint64(0)
        for word in range(len(query)):
            distance += _differing(query[word], training[word, i], low, high)
        if distance == wanted:
            return i
    return -1


@njit(nogil=True, cache=True)
def _smallest_of_four(words, column, low, high, out):  # type: ignore[no-untyped-def]
    """out (4,): the smallest distance of each of words (4,) to column (m,)."""
    word_0, word_1, word_2, word_3 = words[0], words[1], words[2], words[3]
    best_0 = best_1 = best_2 = best_3 = FAR
    for i in range(len(column)):
        training = column[i]
        distance_0 = _differing(word_0, training, low, high)
        distance_1 = _differing(word_1, training, low, high)
        distance_2 = _differing(word_2, training, low, high)
        distance_3 = _differing(word_3, training, low, high)
        best_0 = distance_0 if distance_0 < best_0 else best_0
        best_1 = distance_1 if distance_1 < best_1 else best_1
        best_2 = distance_2 if distance_2 < best_2 else best_2
        best_3 = distance_3 if distance_3 < best_3 else best_3
    out[0], out[1], out[2], out[3] = best_0, best_1, best_2, best_3


@njit(nogil=True, cache=True)
def _nearest_four(queries, training, low, high, distance, index):  # type: ignore[no-untyped-def]
    """distance (4,) and index (4,) for four queries (4, 1) against training (1, N)."""
    size = training.shape[1]
    smallest, best, where = np.empty(TOGETHER, np.uint64), np.full(TOGETHER, FAR), np.zeros(TOGETHER, np.int64)
    for start in range(0, size, NARROW):
        _smallest_of_four(queries[:, 0], training[0, start : min(size, start + NARROW)], low, high, smallest)
        for k in range(TOGETHER):
            if smallest[k] < best[k]:
                best[k], where[k] = smallest[k], start
    for k in range(TOGETHER):
        distance[k], index[k] = best[k], _first(queries[k], training, where[k], low, high, best[k])


@njit(nogil=True, cache=True)
def _nearest(queries, training, low, high, distance, index, begin, end):  # type: ignore[no-untyped-def]
    """Rows begin..end of distance and index, for queries (n, words) against training (words, N)."""
    size = training.shape[1]
    scratch = np.empty(BLOCK, np.uint64)
    while queries.shape[1] == 1 and begin + TOGETHER <= end:
        part = slice(begin, begin + TOGETHER)
        _nearest_four(queries[part], training, low, high, distance[part], index[part])
        begin += TOGETHER
    for i in range(begin, end):
        best, where = FAR, 0
        for start in range(0, size, BLOCK):
            smallest = _smallest(queries[i], training, start, min(size, start + BLOCK), low, high, scratch)
            if smallest < best:
                best, where = smallest, start
        distance[i], index[i] = best, _first(queries[i], training, where, low, high, best)


def _field_width(vocab_size: int) -> int:
    return int(vocab_size - 1).bit_length() + 1


def _constant(value: int, width: int) -> np.uint64:
    """A word with `value` in every field."""
    return np.uint64(sum(value << (width * field) for field in range(64 // width)))


def pack(tokens: npt.NDArray[np.integer], vocab_size: int) -> npt.NDArray[np.uint64]:
    """(n, L) tokens 0..vocab_size-1 -> (words, n), 64 // w tokens to a word."""
    width = _field_width(vocab_size)
    per_word = 64 // width
    words = np.zeros((-(-tokens.shape[1] // per_word), len(tokens)), np.uint64)
    for position in range(tokens.shape[1]):
        words[position // per_word] |= tokens[:, position].astype(np.uint64) << np.uint64(width * (position % per_word))
    return words


def nearest(
    queries: npt.NDArray[np.integer], training: npt.NDArray[np.integer], vocab_size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distance to and index of the nearest of training (N, L) for each of queries (n, L); the
    lowest index of equals."""
    width = _field_width(vocab_size)
    low, high = _constant((1 << (width - 1)) - 1, width), _constant(1 << (width - 1), width)
    a, b = np.ascontiguousarray(pack(queries, vocab_size).T), pack(training, vocab_size)
    distance, index = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    over_rows(lambda begin, end: _nearest(a, b, low, high, distance, index, begin, end), len(queries), GRAIN)
    return distance, index
