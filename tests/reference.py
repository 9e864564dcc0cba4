"""The papers' own numbers, and the exponentially large sums that message passing must equal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from twinsplit import kernels

TESTS = Path(__file__).parent
SHARED = TESTS.parent.parent / "shared" / "reference"
BACKENDS = ("torch", "numba")


@cache
def hierarchical() -> dict[str, np.ndarray]:
    """The arrays of reference/hierarchical.npz that every checkout carries."""
    with np.load(TESTS / "fixtures" / "hierarchical_small.npz") as file:
        return dict(file)


@cache
def images_small() -> dict[str, np.ndarray]:
    """The arrays of reference/images.npz that every checkout carries: all images, and the filtered ones of `rows`."""
    with np.load(TESTS / "fixtures" / "images_small.npz") as file:
        return dict(file)


@cache
def ddpm_small() -> dict[str, np.ndarray]:
    """The `ddpm_*` arrays of reference/images.npz that every checkout carries: the first of the 8 samples."""
    with np.load(TESTS / "fixtures" / "ddpm_small.npz") as file:
        return dict(file)


@cache
def dedup_small() -> dict[str, np.ndarray]:
    """Ten of the `dedup_images` of reference/images.npz: rows, images, which are kept, and the correlations of rows 0, 2 and 5 with all."""
    with np.load(TESTS / "fixtures" / "dedup_small.npz") as file:
        return dict(file)


def shared(name: str) -> dict[str, np.ndarray]:
    """All arrays of a file in ../shared/reference; where the folder is absent the test is skipped and says so."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference folder {SHARED} is not here")
    with np.load(SHARED / name) as file:
        return dict(file)


@contextmanager
def implementation(name: str) -> Iterator[None]:
    """Within this block the CPU is served by `name`, torch or numba."""
    if name == "numba":
        pytest.importorskip("numba")
    before = os.environ.get(kernels.VARIABLE)
    _choose(name)
    try:
        yield
    finally:
        _choose(before)


def _choose(name: str | None) -> None:
    os.environ.pop(kernels.VARIABLE, None)
    if name is not None:
        os.environ[kernels.VARIABLE] = name
    kernels.backend.cache_clear()


def all_sequences(q: int, length: int) -> np.ndarray:
    """(q^length, length) int64, every sequence there is."""
    return np.array(list(product(range(q), repeat=length)))


def subtree_probability(rules: np.ndarray, sequences: np.ndarray) -> np.ndarray:
    """(N, q) longdouble: P(sequence | symbol at the root), by the definition; the length is a power of two."""
    q, half = len(rules), sequences.shape[1] // 2
    if not half:
        return np.eye(q, dtype=np.longdouble)[sequences[:, 0]]
    left, right = (subtree_probability(rules, part) for part in (sequences[:, :half], sequences[:, half:]))
    return np.einsum("abc,nb,nc->na", rules.astype(np.longdouble), left, right)


def factorised_joint(rules: np.ndarray, sequences: np.ndarray, k: int) -> np.ndarray:
    """(N,) longdouble P(sequence) when the k top levels are independent root-to-node transitions and the root is uniform."""
    q, width = len(rules), sequences.shape[1] >> k
    given_root = np.ones((len(sequences), q), np.longdouble)
    for j in range(1 << k):
        transition = np.eye(q, dtype=np.longdouble)
        for bit in range(k - 1, -1, -1):
            transition = transition @ rules.sum(1 if j >> bit & 1 else 2).astype(np.longdouble)
        given_root *= subtree_probability(rules, sequences[:, j * width : (j + 1) * width]) @ transition.T
    return given_root.mean(1)


def enumerated_log_marginals(rules: np.ndarray, h: np.ndarray, k: int) -> np.ndarray:
    """(n, L, q) longdouble log leaf marginals given leaf log-likelihoods h (n, L, q), summing over every sequence there is."""
    n, length, q = h.shape
    sequences = all_sequences(q, length)
    joint = factorised_joint(rules, sequences, k)
    sequences, joint = sequences[joint > 0], joint[joint > 0]
    evidence = h.astype(np.longdouble)[:, np.arange(length), sequences].sum(-1) + np.log(joint)
    total = _log_sum(evidence)
    result = np.full((n, length, q), -np.inf, np.longdouble)
    for leaf, symbol in np.ndindex(length, q):
        chosen = sequences[:, leaf] == symbol
        if chosen.any():
            result[:, leaf, symbol] = _log_sum(evidence[:, chosen]) - total
    return result


def _log_sum(x: np.ndarray) -> np.ndarray:
    top = x.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x - top).sum(-1)) + top[..., 0]
