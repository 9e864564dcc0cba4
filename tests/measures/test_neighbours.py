"""Nearest neighbours against all pairs, and the divergence of their distances against its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import BACKENDS, implementation
from twinsplit.errors import InputError
from twinsplit.measures.neighbours import distance_histogram, nearest_hamming, nearest_neighbour_divergence


def draw(seed: int, n: int, length: int, q: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, q, (n, length)).astype(np.int8)


def all_pairs(queries: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance = (queries[:, None] != training).sum(-1)
    return distance.min(1), distance.argmin(1)  # numpy's argmin is the first


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1, 2, 3, 8, 9, 16, 17, 127]), st.integers(1, 40), st.integers(1, 30))
def test_nearest_equals_all_pairs(name: str, seed: int, q: int, length: int, size: int) -> None:
    queries, training = draw(seed, 7, length, q), draw(seed + 1, size, length, q)
    with implementation(name):
        distance, index = nearest_hamming(queries, training)
    expected = all_pairs(queries, training)
    assert np.array_equal(distance, expected[0])
    assert np.array_equal(index, expected[1])


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("length", "q"), [(16, 6), (16, 16), (20, 6)])
def test_nearest_over_many_blocks(length: int, q: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties abound in 1,700 short sequences: the lowest index must win across blocks and chunks."""
    monkeypatch.setattr("twinsplit.measures.neighbours.CHUNK_TRAINING", 300)
    monkeypatch.setattr("twinsplit.measures.neighbours.CHUNK_QUERIES", 64)
    queries, training = draw(0, 200, length, q), draw(1, 1_700, length, q)
    training[1_200:1_600] = training[:400]
    with implementation(name):
        distance, index = nearest_hamming(torch.from_numpy(queries), torch.from_numpy(training))
    expected = all_pairs(queries, training)
    assert np.array_equal(distance, expected[0])
    assert np.array_equal(index, expected[1])


@pytest.mark.parametrize("name", BACKENDS)
def test_training_sequences_find_themselves(name: str) -> None:
    training = np.unique(draw(2, 300, 16, 6), axis=0)
    with implementation(name):
        distance, index = nearest_hamming(training, training)
        none = nearest_hamming(training[:0], training)
    assert int(distance.max()) == 0
    assert torch.equal(index, torch.arange(len(training)))
    assert none[0].shape == none[1].shape == (0,)


@pytest.mark.parametrize(
    ("queries", "training"),
    [
        (np.zeros((2, 3), np.int8), np.zeros((2, 4), np.int8)),
        (np.zeros((2, 3), np.int8), np.zeros((0, 3), np.int8)),
        (np.zeros(3, np.int8), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3)), np.zeros((2, 3), np.int8)),
        (np.full((2, 3), -1), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3), np.int8), np.full((2, 3), 127)),
    ],
)
def test_sequences_that_do_not_compare_are_refused(queries: np.ndarray, training: np.ndarray) -> None:
    with pytest.raises(InputError):
        nearest_hamming(queries, training)


def test_histogram_counts_every_distance() -> None:
    assert distance_histogram(np.array([0, 3, 3, 5]), 5).tolist() == [1, 0, 0, 2, 0, 1]


@pytest.mark.parametrize("distance", [np.array([6]), np.array([-1]), np.array([1.0]), np.array([[1]])])
def test_impossible_distances_are_refused(distance: np.ndarray) -> None:
    with pytest.raises(InputError):
        distance_histogram(distance, 5)


def test_divergence_by_hand() -> None:
    """Counts (2, 1, 0) and (1, 1, 1), half a pseudo-count each: KL of (5, 3, 1)/9 from (3, 3, 3)/9."""
    expected = 5 / 9 * np.log(5 / 3) + 1 / 9 * np.log(1 / 3)
    assert nearest_neighbour_divergence(np.array([0, 0, 1]), np.array([0, 1, 2]), 2) == pytest.approx(expected, rel=1e-14)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_divergence_is_a_divergence(generated: list[int], held_out: list[int]) -> None:
    a, b = np.array(generated), np.array(held_out)
    assert nearest_neighbour_divergence(a, b, 6) >= -1e-15
    assert nearest_neighbour_divergence(a, a[::-1].copy(), 6) == 0
    assert nearest_neighbour_divergence(a, b, 6, smoothing=1e9) == pytest.approx(0, abs=1e-12)


def test_bare_histograms_may_diverge_for_good() -> None:
    assert nearest_neighbour_divergence(np.array([0]), np.array([3]), 5, smoothing=0) == float("inf")
    assert nearest_neighbour_divergence(np.array([3]), np.array([3, 0]), 5, smoothing=0) == pytest.approx(np.log(2))


@pytest.mark.parametrize("smoothing", [-0.1, float("nan"), float("inf")])
def test_bad_smoothing_is_refused(smoothing: float) -> None:
    with pytest.raises(InputError, match="pseudo-counts"):
        nearest_neighbour_divergence(np.array([0]), np.array([0]), 5, smoothing)


def test_no_sequences_have_no_histogram() -> None:
    with pytest.raises(InputError, match="at least one"):
        nearest_neighbour_divergence(np.array([], dtype=np.int64), np.array([0]), 5)
