"""The Fréchet distance against its closed forms, on samples whose mean and covariance are exactly known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinsplit.errors import InputError
from twinsplit.measures.frechet import frechet_distance

SEEDS = st.integers(0, 2**20)


def sample(seed: int, n: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(n, d), n > d, with exactly this mean and this unbiased covariance."""
    centred = np.random.default_rng(seed).normal(size=(n, len(mean)))
    basis = np.linalg.qr(centred - centred.mean(0))[0] * np.sqrt(n - 1)
    return mean + basis @ np.linalg.cholesky(covariance).T


def test_two_gaussians_on_the_same_axes() -> None:
    first, second = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 0.25])
    mean = np.array([0.0, 2.0, -1.0])
    found = frechet_distance(sample(0, 50, np.zeros(3), np.diag(first)), sample(1, 80, mean, np.diag(second)))
    assert found == pytest.approx((mean**2).sum() + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum(), rel=1e-12)


def test_two_gaussians_on_different_axes() -> None:
    """In two dimensions (tr (A B)^{1/2})^2 = tr A B + 2 sqrt(det A B)."""
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.9], [-0.9, 3.0]])
    trace = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(sample(0, 30, np.ones(2), a), sample(1, 20, np.zeros(2), b))
    assert found == pytest.approx(2 + np.trace(a + b) - 2 * trace, rel=1e-12)


def test_fewer_samples_than_features() -> None:
    """Two points make a covariance u u^T of rank one, for which the trace is |<u, v>|: to full precision, where d is 100."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 100)), generator.normal(size=(2, 100))
    u, v = (a[0] - a[1]) / np.sqrt(2), (b[0] - b[1]) / np.sqrt(2)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + u @ u + v @ v - 2 * abs(u @ v)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-13)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 20), st.integers(2, 20), st.integers(1, 12), st.floats(1e-3, 1e3))
def test_invariants(seed: int, n: int, m: int, d: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(n, d)), generator.normal(size=(m, d)) + 0.3
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    found = frechet_distance(a, b)
    assert found >= 0
    assert frechet_distance(b, a) == pytest.approx(found, rel=1e-9)
    assert frechet_distance(generator.permutation(a), b) == pytest.approx(found, rel=1e-9)
    assert frechet_distance(a @ rotation + 1, b @ rotation + 1) == pytest.approx(found, rel=1e-9)
    assert frechet_distance(scale * a, scale * b) == pytest.approx(scale**2 * found, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * d, rel=1e-12)


def test_two_samples_of_one_law_are_not_at_zero_but_half_as_far_at_twice_the_size() -> None:
    """The documented bias C/n. 40 pairs at each size leave 2% of noise in the ratio of 2: the bounds are beyond 5 such."""
    generator = np.random.default_rng(0)
    small, large = (np.mean([frechet_distance(*generator.normal(size=(2, n, 8))) for _ in range(40)]) for n in (200, 400))
    assert small > large > 0
    assert 1.75 < small / large < 2.25


def test_tensors_that_are_being_trained_are_read() -> None:
    features = torch.ones(3, 2, requires_grad=True) * torch.arange(3.0)[:, None]
    assert frechet_distance(features, features) == 0


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (np.ones((1, 4)), "one sample has no covariance"),
        (np.ones((0, 4)), "one sample has no covariance"),
        (np.ones((5, 0)), "give"),
        (np.ones(4), "give"),
        (np.ones((5, 3)), "same feature function"),
        (np.full((5, 4), np.nan), "not finite"),
    ],
)
def test_unfit_features_are_refused(features: np.ndarray, reason: str) -> None:
    for pair in ((features, np.ones((5, 4))), (np.ones((5, 4)), features)):
        with pytest.raises(InputError, match=reason):
            frechet_distance(*pair)
