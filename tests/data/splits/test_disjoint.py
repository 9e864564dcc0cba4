"""Splits are disjoint by index and by content, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twinsplit.data.splits.disjoint import Splits, consecutive_splits, content_ids, disjoint_splits, published_splits, shared_contents
from twinsplit.errors import InputError

samples = arrays(np.int8, st.tuples(st.integers(12, 60), st.just(3)), elements=st.integers(0, 2))


@given(samples)
def test_disjoint_splits_share_no_content(data: np.ndarray) -> None:
    try:
        splits = disjoint_splits(data, 2, 3, 3)
    except InputError:
        distinct = len(np.unique(data, axis=0))
        assert distinct < 9  # nine distinct contents always suffice
        return
    splits.check(data)
    sets = [{tuple(row) for row in data[rows]} for rows in (*splits.rows, splits.held_out)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert sets[a].isdisjoint(sets[b])


@given(samples)
def test_content_ids_agree_with_equality(data: np.ndarray) -> None:
    ids = content_ids(data)
    equal = (data[:, None] == data[None]).all(-1)
    assert ((ids[:, None] == ids[None]) == equal).all()
    assert (ids <= np.arange(len(data))).all()


def test_repeats_within_a_split_stay() -> None:
    data = np.array([[0], [0], [0], [1], [2], [3]], dtype=np.int8)
    splits = disjoint_splits(data, 2, 2, 1)
    assert splits.rows.tolist() == [[0, 1], [3, 4]]
    assert splits.held_out.tolist() == [5]


def test_consecutive_splits_are_the_published_rows() -> None:
    data = np.arange(20, dtype=np.int8)[:, None]
    splits = consecutive_splits(data, 3, 4, 5)
    assert splits.rows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert splits.held_out.tolist() == [12, 13, 14, 15, 16]


def test_overlap_by_content_is_refused() -> None:
    data = np.array([0, 1, 2, 1, 4, 5], dtype=np.int8)[:, None]
    with pytest.raises(InputError, match=r"split 0 and split 1 share 1 samples by content"):
        consecutive_splits(data, 2, 2, 1)


def test_overlap_by_index_is_refused() -> None:
    data = np.arange(6, dtype=np.int8)[:, None]
    with pytest.raises(InputError, match=r"split 1 and the held-out set share 1 rows \(first: row 3\)"):
        Splits(np.array([[0, 1], [2, 3]]), np.array([3, 4])).check(data)


def test_more_samples_than_there_are_is_refused() -> None:
    data = np.arange(6, dtype=np.int8)[:, None]
    for make in (consecutive_splits, disjoint_splits):
        with pytest.raises(InputError, match="fewer splits, or more data"):
            make(data, 2, 3, 1)


@given(samples, st.sampled_from([(0, 1), (2, 0), (1, 3)]))
def test_published_splits_are_consecutive_and_the_held_out_set_avoids_their_contents(data: np.ndarray, numbers: tuple[int, int]) -> None:
    used = np.concatenate([np.arange(i * 3, i * 3 + 3) for i in numbers])
    free = [i for i, row in enumerate(data) if not (data[used] == row).all(-1).any()]
    if len(free) < 2:
        with pytest.raises(InputError, match="more data"):
            published_splits(data, numbers, 3, 2)
        return
    splits = published_splits(data, numbers, 3, 2)
    assert splits.rows.ravel().tolist() == used.tolist()
    assert splits.held_out.tolist() == free[-2:]


def test_contents_that_published_splits_share_are_counted() -> None:
    data = np.array([0, 1, 1, 1, 1, 2, 0, 4, 4, 9], dtype=np.int8)[:, None]
    splits = published_splits(data, (0, 1, 2), 3, 1)
    assert shared_contents(data, splits) == {(0, 1): 1, (0, 2): 1}
    with pytest.raises(InputError, match="more data"):
        published_splits(data, (0, 3), 3, 1)


def contents(data: np.ndarray, rows: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row) for row in data[rows].tolist()}


@given(arrays(np.int8, st.tuples(st.integers(30, 80), st.just(3)), elements=st.integers(0, 4)), st.integers(6, 20))
def test_a_held_out_set_apart_is_the_same_whatever_the_splits(data: np.ndarray, apart: int) -> None:
    """It shares no content with the first `apart` rows, in which all splits lie, and repeats within it stay."""
    held_out = []
    free = [i for i in range(apart, len(data)) if tuple(data[i].tolist()) not in contents(data, np.arange(apart))]
    for splits, size in ((2, 1), (2, 2), (3, 1)):
        try:
            found = disjoint_splits(data, splits, size, 4, apart)
        except InputError:
            within = len(contents(data, np.arange(apart)))
            assert len(free) < 4 or within < splits * size  # enough distinct contents always suffice
            continue
        found.check(data)
        assert found.rows.max() < apart
        held_out.append(found.held_out.tolist())
    assert all(rows == free[:4] for rows in held_out)


@given(samples)
def test_splits_do_not_move_when_the_held_out_set_keeps_apart(data: np.ndarray) -> None:
    try:
        here, apart = disjoint_splits(data, 2, 3, 1), disjoint_splits(data, 2, 3, 1, len(data) - 1)
    except InputError:
        return
    assert here.rows.tolist() == apart.rows.tolist()


def test_splits_that_reach_beyond_are_refused() -> None:
    data = np.arange(20, dtype=np.int8)[:, None]
    assert disjoint_splits(data, 2, 4, 3, 8).held_out.tolist() == [8, 9, 10]
    with pytest.raises(InputError, match=r"the splits reach row 7, beyond the first 7 .*raise data.apart"):
        disjoint_splits(data, 2, 4, 3, 7)
    with pytest.raises(InputError, match=r"the held-out set \(data.held_out\) needs 3 samples, 1 of 20 are left"):
        disjoint_splits(data, 2, 4, 3, 19)
