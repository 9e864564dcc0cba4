"""Similarities against closed forms and published numbers; nearest neighbours against all pairs, to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import images_small, shared
from twinsplit.errors import InputError
from twinsplit.measures.similarity import blockwise_nearest, correlation, cosine_similarity, mean_squared_difference

MEASURES = (cosine_similarity, correlation, mean_squared_difference)
SEEDS = st.integers(0, 2**20)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_cosine_of_a_known_angle() -> None:
    angle = torch.linspace(0, torch.pi, 7, dtype=torch.float64)
    second = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    first = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(7, 2)
    torch.testing.assert_close(cosine_similarity(first, second), angle.cos(), rtol=0, atol=1e-15)


def test_difference_and_correlation_of_known_samples() -> None:
    first, second = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [3.0, 8.0]]])
    assert mean_squared_difference(first, second).tolist() == [5.0]
    assert correlation(first, second).item() == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1], abs=1e-15)


def test_correlation_equals_the_published() -> None:
    images, published = torch.from_numpy(images_small()["correlation_images"]), images_small()["correlation"]
    for image, row in zip(images, published, strict=True):
        np.testing.assert_allclose(correlation(image.expand_as(images), images), row, rtol=0, atol=1e-6)


def test_every_correlation_equals_the_reference_folder() -> None:
    file = shared("images.npz")
    images = torch.from_numpy(file["dedup_images"])
    for image, row in zip(images, file["correlation_first8"], strict=False):
        np.testing.assert_allclose(correlation(image.expand_as(images), images), row, rtol=0, atol=1e-6)


def test_a_zero_vector_has_no_direction() -> None:
    zero, some = torch.zeros(3, 4), torch.ones(3, 4)
    assert cosine_similarity(zero, some).tolist() == cosine_similarity(some, zero).tolist() == [0.0] * 3
    assert cosine_similarity(zero, zero).tolist() == [1.0] * 3


@pytest.mark.parametrize("size", range(1, 120, 7))
def test_a_constant_sample_has_no_direction(size: int) -> None:
    """Also where the mean of `size` times 0.1 is not 0.1 in float64."""
    constant, other = torch.full((1, size), 0.1, dtype=torch.float64), draw(0, 1, size + 1)[:, 1:]
    assert correlation(constant, other).tolist() == [float(size == 1)]
    assert correlation(constant, 7 * constant).tolist() == [1.0]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e140])
def test_any_scale_keeps_its_digits(scale: float) -> None:
    a, b = draw(1, 5, 20), draw(2, 5, 20)
    torch.testing.assert_close(cosine_similarity(a * scale, b), cosine_similarity(a, b), rtol=1e-12, atol=0)
    assert torch.all(cosine_similarity(a * scale, a) > 1 - 1e-15)


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 30))
def test_samples_are_apart_and_twins_are_alike(measure: object, seed: int, n: int, size: int) -> None:
    a, b = draw(seed, n, size, 1), draw(seed + 1, n, size, 1)
    found = measure(a, b)
    assert found.shape == (n,)
    assert found.dtype == torch.float64
    assert torch.equal(found, measure(b, a))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(measure(a[order], b[order]), found[order])
    torch.testing.assert_close(torch.cat([measure(a[i : i + 1], b[i : i + 1]) for i in range(n)]), found, rtol=1e-12, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 30), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_scale_and_shift(seed: int, size: int, scale: float, shift: float) -> None:
    a, b = draw(seed, 4, size), draw(seed + 1, 4, size)
    torch.testing.assert_close(cosine_similarity(scale * a, b), cosine_similarity(a, b), rtol=0, atol=1e-12)
    torch.testing.assert_close(cosine_similarity(-a, b), -cosine_similarity(a, b), rtol=0, atol=0)
    torch.testing.assert_close(correlation(scale * a + shift, b), correlation(a, b), rtol=0, atol=1e-9)
    assert torch.all(correlation(a, b).abs() <= 1)


@pytest.mark.parametrize("measure", MEASURES)
def test_arrays_integers_and_no_samples(measure: object) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)
    assert torch.equal(measure(pictures, pictures[::-1].copy()), measure(pictures.astype(float), pictures[::-1].astype(float)))
    assert measure(pictures[:0], pictures[:0]).shape == (0,)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (torch.ones(2, 4), "one shape"),
        (torch.ones(3, 5), "one shape"),
        (torch.full((3, 4), float("nan")), "not finite"),
        (torch.full((3, 4), float("inf")), "not finite"),
        (torch.full((3, 4), 1e200, dtype=torch.float64), "beyond"),
        (torch.ones(3, 4, dtype=torch.complex64), "real numbers"),
    ],
)
def test_unfit_samples_are_refused(measure: object, second: torch.Tensor, reason: str) -> None:
    for pair in ((torch.ones(3, 4), second), (second, torch.ones(3, 4))):
        with pytest.raises(InputError, match=reason):
            measure(*pair)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(3,), (3, 0), ()])
def test_samples_without_entries_are_refused(measure: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(n, \.\.\.\)"):
        measure(torch.ones(shape), torch.ones(shape))


def all_pairs(queries: np.ndarray, points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """By the definition: every difference in float64; a stable sort keeps the lower row first."""
    a, b = (np.asarray(side, dtype=np.float64).reshape(len(side), points[0].size) for side in (queries, points))
    distance = np.sqrt(np.square(a[:, None] - b).sum(-1))
    rows = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(distance, rows, 1), rows


def agree(queries: np.ndarray, points: np.ndarray, count: int, block: int | None = None) -> None:
    distance, rows = blockwise_nearest(queries, points, count, block)
    expected = all_pairs(queries, points, count)
    assert np.array_equal(rows, expected[1])
    assert np.array_equal(distance, expected[0])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 12), st.integers(3, 40), st.integers(1, 20), st.integers(1, 3), st.integers(1, 45))
def test_nearest_equals_all_pairs(seed: int, m: int, n: int, size: int, count: int, block: int) -> None:
    generator = np.random.default_rng(seed)
    agree(generator.random((m, size), dtype=np.float32), generator.random((n, size), dtype=np.float32), count, block)
    few = generator.integers(0, 3, (m + n, size), dtype=np.uint8)  # ties abound
    agree(few[:m], few[m:], count, block)


@pytest.mark.parametrize(("offset", "spread"), [(1e6, 1.0), (1e9, 1e-3), (0.0, 1e-30), (0.0, 1e140), (3.0, 1e-7)])
def test_nearest_at_hostile_scales(offset: float, spread: float) -> None:
    points = offset + spread * np.random.default_rng(0).normal(size=(300, 40))
    queries = points[:50] + spread * 1e-5 * np.random.default_rng(1).normal(size=(50, 40))
    agree(queries, points, 3, 64)
    agree(queries * 1e5, points, 3, 64)  # far from all points, which float32 cannot tell apart from there


def test_near_copies_keep_their_digits() -> None:
    """|a|^2 + |b|^2 - 2 a.b in float32 would give distances near 1e-2 here."""
    points = np.random.default_rng(0).random((200, 32, 32))
    queries = points[:20].copy()
    queries[:, 0, 0] += 1e-9
    distance, rows = blockwise_nearest(queries, points)
    np.testing.assert_allclose(distance[:, 0], 1e-9, rtol=1e-6)
    assert rows[:, 0].tolist() == list(range(20))
    assert blockwise_nearest(points, points)[0][:, 0].abs().max() == 0


def test_nearest_where_products_keep_fewer_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user lets float32 products be rounded to bfloat16, none is relied on. Here every processor rounds so."""
    product = torch.Tensor.__matmul__

    def rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return product(a, b).bfloat16().float() if a.dtype == torch.float32 else product(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    generator = np.random.default_rng(0)
    points = generator.integers(0, 2, (200, 1)) + 0.01 * generator.random((200, 64))  # two groups, each of near copies
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        agree(points[:40] + 1e-4, points, 2, 50)
    finally:
        torch.set_float32_matmul_precision(before)


def test_copies_are_found_at_the_lower_row() -> None:
    points = np.tile(np.random.default_rng(0).integers(0, 256, (30, 1, 4, 4), dtype=np.uint8), (4, 1, 1, 1))
    distance, rows = blockwise_nearest(points, points, 3, 25)
    assert distance.abs().max() == 0
    assert np.array_equal(rows, np.arange(120)[:, None] % 30 + np.array([0, 30, 60]))


def test_nearest_reads_a_memory_map_and_gives_no_answer_to_no_question(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (70, 1, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pictures)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    agree(mapped[:9], mapped, 2, 16)
    distance, rows = blockwise_nearest(pictures[:0], mapped)
    assert distance.shape == rows.shape == (0, 2)
    assert rows.dtype == torch.int64


def test_nearest_by_features_equals_nearest_of_the_features() -> None:
    images, seen = draw(0, 50, 1, 4, 4), []

    def features(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(len(pictures))
        return pictures[:, 0, :2, 0] ** 2

    distance, rows = blockwise_nearest(images[:7], images[7:], 2, 20, features)
    expected = blockwise_nearest(images[:7, 0, :2, 0] ** 2, images[7:, 0, :2, 0] ** 2)
    assert torch.equal(rows, expected[1])
    assert torch.equal(distance, expected[0])
    assert seen == [7, 20, 20, 3]  # each image once


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (lambda pictures: pictures, r"one row \(d,\)"),
        (lambda pictures: pictures.flatten(1)[:1], r"one row \(d,\)"),
        (lambda pictures: pictures.flatten(1) * float("nan"), "not finite"),
        (lambda pictures: torch.ones(len(pictures), len(pictures)), "as many for every image"),
    ],
)
def test_unfit_features_are_refused(features: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        blockwise_nearest(torch.ones(4, 1, 2, 2), torch.ones(9, 1, 2, 2), features=features)


@pytest.mark.parametrize(
    ("queries", "points", "options", "reason"),
    [
        (torch.ones(3, 4), torch.ones(1, 4), {}, "2 nearest of 1 points"),
        (torch.ones(3, 4), torch.ones(5, 4), {"count": 0}, "0 nearest"),
        (torch.ones(3, 4), torch.ones(5, 4), {"block": 0}, "blocks of 0"),
        (torch.ones(3, 4), torch.ones(5, 3), {}, "same axes"),
        (torch.ones(3), torch.ones(5), {}, "same axes"),
        (torch.ones(3, 0), torch.ones(5, 0), {}, "same axes"),
        (torch.full((3, 4), float("nan")), torch.ones(5, 4), {}, "not finite"),
        (torch.ones(3, 4), torch.full((5, 4), float("inf")), {}, "not finite"),
    ],
)
def test_unfit_questions_are_refused(queries: torch.Tensor, points: torch.Tensor, options: dict[str, int], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        blockwise_nearest(queries, points, **options)
