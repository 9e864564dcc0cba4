"""Splits: rows of a data set for each twin and for held-out measurement, disjoint by index and by
content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.splits.duplicates import near_duplicates as near_duplicates  # noqa: PLC0414  # a name of this module too
from twinsplit.errors import InputError

Rows = NDArray[np.int64]
SPLIT, HELD_OUT = "a split", "the held-out set (data.held_out)"


def content_ids(samples: NDArray[Any]) -> Rows:
    """(n,) the first row with the same content, for samples (n, ...)."""
    flat = np.ascontiguousarray(samples).reshape(len(samples), -1)
    whole = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1])))[:, 0]
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    ids: Rows = first[inverse].astype(np.int64)
    return ids


@final
@dataclass(frozen=True, eq=False)
class Splits:
    """rows: (splits, n) int64, one row of indices per split; held_out: (m,) int64."""

    rows: Rows
    held_out: Rows

    def check(self, samples: NDArray[Any]) -> "Splits":
        """Return the splits, or raise InputError where two of the sets share an index or a content."""
        sets = [*self.rows, self.held_out]
        names = [f"split {i}" for i in range(len(self.rows))] + ["the held-out set"]
        content = content_ids(samples)
        for i, a in enumerate(sets):
            for j in range(i):
                _refuse_overlap(names[j], names[i], a, sets[j], content)
        return self


def _refuse_overlap(first: str, second: str, a: Rows, b: Rows, content: Rows) -> None:
    shared = np.intersect1d(a, b)
    if len(shared):
        raise InputError(f"{first} and {second} share {len(shared)} rows (first: row {shared[0]})", "give them different rows")
    same = np.intersect1d(content[a], content[b])
    if len(same):
        raise InputError(
            f"{first} and {second} share {len(same)} samples by content (first: that of row {same[0]})",
            "remove the duplicates, or let `disjoint_splits` choose the rows",
        )


def consecutive_splits(samples: NDArray[Any], splits: int, size: int, held_out: int) -> Splits:
    """[BG]'s layout: split i is rows [i n, (i+1) n), the held-out set the rows after them; refused
    where contents overlap."""
    needed = splits * size + held_out
    _refuse_shortage(f"a layout of {splits} splits and a held-out set", needed, len(samples), len(samples))
    rows = np.arange(splits * size).reshape(splits, size)
    return Splits(rows, np.arange(splits * size, needed)).check(samples)


def published_splits(samples: NDArray[Any], numbers: Sequence[int], size: int, held_out: int) -> Splits:
    """The splits that networks made elsewhere were trained on: split i is rows [i n, (i+1) n), for
    each i of `numbers`.

    They may share contents, as the published ones do (`shared_contents` counts them). The held-out
    rows are the last ones of the data whose content no split holds, in ascending order.
    """
    _refuse_shortage(f"split {max(numbers)}", (max(numbers) + 1) * size, len(samples), len(samples))
    rows = np.array(numbers, dtype=np.int64)[:, None] * size + np.arange(size)
    content = content_ids(samples)
    free = np.flatnonzero(~np.isin(content, content[rows]))
    _refuse_shortage(HELD_OUT, held_out, len(free), len(samples))
    return Splits(rows, free[-held_out:])


def shared_contents(samples: NDArray[Any], splits: Splits) -> dict[tuple[int, int], int]:
    """(i, j), i < j -> how many different contents the i-th and the j-th split share, where they
    share any."""
    content = content_ids(samples)
    own = [np.unique(content[rows]) for rows in splits.rows]
    counts = {(i, j): len(np.intersect1d(own[i], own[j])) for j in range(len(own)) for i in range(j)}
    return {pair: count for pair, count in sorted(counts.items()) if count}


def disjoint_splits(samples: NDArray[Any], splits: int, size: int, held_out: int, apart: int = 0) -> Splits:
    """As `consecutive_splits`, but a row whose content an earlier set holds is passed over by the
    later ones.

    Within one set repeated contents stay: a split is still a draw from the data, less what the
    others hold. With `apart` all splits lie in the first `apart` rows and the held-out set shares
    no content with any of these: it is the same whatever the splits.
    """
    content = content_ids(samples)
    order = np.arange(len(samples))
    taken = np.zeros(len(samples), dtype=bool)
    sets: list[Rows] = []
    for place, needed in enumerate([size] * splits + [held_out]):
        if apart and len(sets) == splits:
            order, taken[content[:apart]] = _rows_after(apart, sets, len(samples)), True
        free = order[~taken[content[order]]]
        _refuse_shortage(SPLIT if place < splits else HELD_OUT, needed, len(free), len(samples))
        chosen = free[:needed]
        taken[content[chosen]] = True
        order = free[needed:]
        sets.append(chosen)
    return Splits(np.stack(sets[:-1]), sets[-1])


def _rows_after(apart: int, splits: list[Rows], total: int) -> Rows:
    last = int(splits[-1][-1])
    if last >= apart:
        raise InputError(f"the splits reach row {last}, beyond the first {apart} that the held-out set keeps away from", "raise data.apart")
    return np.arange(apart, total)


def _refuse_shortage(what: str, needed: int, left: int, total: int) -> None:
    if needed > left:
        raise InputError(f"{what} needs {needed} samples, {left} of {total} are left", "use smaller or fewer splits, or more data")
