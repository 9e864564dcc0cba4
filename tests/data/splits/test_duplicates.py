"""Near-duplicates: the published answers, every pair one by one, and the same answer whatever the block, the type and the memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference import dedup_small, shared
from twinsplit.data.splits import duplicates
from twinsplit.data.splits.disjoint import near_duplicates as reexported
from twinsplit.data.splits.duplicates import correlations, near_duplicates, published_pool, unit_images
from twinsplit.errors import InputError


def by_pairs(images: np.ndarray, threshold: float, pool: int) -> list[int]:
    """Pair by pair: the later one of each pair above the threshold, whether the earlier one is removed or not."""
    pairs = [(i, j) for j in range(len(images)) for i in range(j)]
    if not pairs:
        return []
    first, second = np.array(pairs).T
    return sorted(set(second[np.abs(correlations(images, first, second, pool)) > threshold].tolist()))


def families(count: int) -> np.ndarray:
    """Threes of images that share most of themselves, so that their correlations lie around 0.95."""
    generator = np.random.default_rng(0)
    shared_part = generator.normal(size=(-(-count // 3), 12, 12)).repeat(3, 0)[:count]
    own = generator.normal(size=(count, 12, 12)) * generator.uniform(0, 0.35, (count, 1, 1))
    return (shared_part + own).astype(np.float32)


def test_the_published_images_are_removed() -> None:
    small = dedup_small()
    removed = near_duplicates(small["images"])
    assert np.array_equal(np.delete(np.arange(10), removed), np.flatnonzero(small["kept"]))


@pytest.mark.parametrize("pool", [None, 1])
def test_all_the_published_images_and_correlations(pool: int | None) -> None:
    """The reference keeps the same images pooled to 20 x 20 and not, so it does not tell which; the published code pools."""
    published = shared("images.npz")
    images = published["dedup_images"]
    kept = np.delete(np.arange(len(images)), near_duplicates(images, pool=pool))
    assert kept.tolist() == published["dedup_keep"].tolist()
    units = unit_images(images, 1)
    np.testing.assert_allclose(units[:8] @ units.T, published["correlation_first8"], rtol=0, atol=3e-7)


def test_the_published_correlations_are_of_whole_images() -> None:
    small = dedup_small()
    for pool, agrees in ((1, True), (2, False)):
        units = unit_images(small["images"], pool)
        error = np.abs(units[:3] @ units.T - small["correlation_first8"]).max()
        assert (error < 3e-7) == agrees
    assert [published_pool(height) for height in (8, 32, 40, 80, 160)] == [1, 1, 2, 4, 8]


def test_a_removed_image_still_removes_later_ones() -> None:
    """As the published code does: 1 repeats 0, 2 repeats 1 but not 0."""
    a, b = np.random.default_rng(0).normal(size=(2, 400))
    a, b = (v - v.mean() for v in (a, b))
    b -= a * (a @ b) / (a @ a)
    b *= np.sqrt((a @ a) / (b @ b))
    images = np.stack([np.cos(angle) * a + np.sin(angle) * b for angle in (0.0, 0.25, 0.5)]).reshape(3, 20, 20)
    assert np.cos(0.25) > 0.95 > np.cos(0.5)
    assert near_duplicates(images).tolist() == [1, 2]
    assert near_duplicates(images[[0, 2]]).tolist() == []


def test_negatives_are_duplicates_and_constants_are_not() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 20))
    images = np.stack([image, 255 - image, np.full((20, 20), 7), np.full((20, 20), 7), np.zeros((20, 20), int)]).astype(np.uint8)
    assert near_duplicates(images).tolist() == [1]
    assert near_duplicates(images / 3).tolist() == [1]  # a level that binary fractions do not hold


def test_pearson_of_numpy() -> None:
    images = np.random.default_rng(2).normal(size=(9, 7, 5)) * 10.0 ** np.arange(-4, 5)[:, None, None]
    first, second = np.triu_indices(9, 1)
    np.testing.assert_allclose(
        correlations(images, first, second, 1), np.corrcoef(images.reshape(9, -1))[first, second], rtol=0, atol=1e-14
    )
    pooled = images[:, :6, :4].reshape(9, 3, 2, 2, 2).mean((2, 4))
    np.testing.assert_allclose(
        correlations(images, first, second, 2), np.corrcoef(pooled.reshape(9, -1))[first, second], rtol=0, atol=1e-14
    )


def test_each_channel_loses_its_own_mean() -> None:
    """So two images that differ in the tint alone are duplicates, as in the published code."""
    image = np.random.default_rng(3).normal(size=(1, 3, 10, 10))
    other = image + np.array([5.0, -3.0, 40.0])[:, None, None]
    assert near_duplicates(np.concatenate([image, other])).tolist() == [1]


@given(
    arrays(np.uint8, st.tuples(st.integers(0, 14), st.integers(1, 2), st.just(4), st.just(5)), elements=st.integers(0, 3)),
    st.floats(0, 0.999),
    st.integers(1, 20),
    st.integers(1, 2),
)
def test_every_pair_is_decided_as_alone(images: np.ndarray, threshold: float, block: int, pool: int) -> None:
    assert near_duplicates(images, threshold, pool, block).tolist() == by_pairs(images, threshold, pool)
    assert near_duplicates(torch.from_numpy(images), threshold, pool).tolist() == by_pairs(images, threshold, pool)


@pytest.mark.parametrize("block", [1, 5, 64, 1000])
def test_pairs_at_the_threshold_are_decided_in_float64(block: int) -> None:
    """The threshold is set to the correlations themselves, which float32 cannot tell from it."""
    images = families(40)
    first, second = np.triu_indices(40, 1)
    values = np.abs(correlations(images, first, second, 1))
    for threshold in np.sort(values)[[100, 400, 700, -1]]:
        below = np.nextafter(threshold, 0)
        at, above = (near_duplicates(images, t, 1, block).tolist() for t in (threshold, below))
        assert at == by_pairs(images, threshold, 1)
        assert above == by_pairs(images, below, 1)
    assert at == []
    assert len(above) == 1


def test_strips_precision_and_type_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = families(150)
    expected = near_duplicates(images).tolist()
    assert 20 < len(expected) < 95
    assert near_duplicates(images.astype(np.float64)).tolist() == expected
    assert near_duplicates(torch.from_numpy(images).requires_grad_()).tolist() == expected
    coarse = torch.from_numpy(images).bfloat16()
    assert near_duplicates(coarse).tolist() == by_pairs(coarse.double().numpy(), 0.95, 1)
    torch.set_float32_matmul_precision("medium")
    try:
        assert near_duplicates(images).tolist() == expected
    finally:
        torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(duplicates, "STRIP_BYTES", 1 << 14)
    monkeypatch.setattr(duplicates, "PAIR_BYTES", 1 << 12)
    assert near_duplicates(images, block=16).tolist() == expected


def test_products_that_keep_few_digits_are_not_trusted() -> None:
    """In a process of its own, because torch does not go back to the setting for all devices."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has one setting for all devices")
    setting = "import torch; torch.backends.cuda.matmul.fp32_precision = 'tf32'"
    code = f"{setting}; from twinsplit.data.splits.duplicates import _product_type as chosen; print(chosen())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.float64"


def test_all_alike_and_none() -> None:
    image = np.random.default_rng(4).normal(size=(1, 8, 8))
    assert near_duplicates(np.repeat(image, 30, 0), block=7).tolist() == list(range(1, 30))
    assert near_duplicates(np.random.default_rng(5).normal(size=(30, 20, 20))).tolist() == []
    assert near_duplicates(image[:0]).tolist() == []


def test_progress_counts_every_pair_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "STRIP_BYTES", 1 << 12)
    caption: list[int] = []
    near_duplicates(families(50), block=8, report=lambda done, note="": caption.append(done))
    assert caption == sorted(caption)
    assert caption[-1] == duplicates.products(50, 8)


@pytest.mark.parametrize(
    ("images", "options", "says"),
    [
        (np.zeros((3, 4)), {}, "shape"),
        (np.zeros((3, 0, 4)), {}, "shape"),
        (np.full((3, 4, 4), np.nan), {}, "not finite"),
        (np.full((3, 4, 4), 1e200), {}, "below 1e.150"),
        (np.zeros((3, 4, 4), complex), {}, "real"),
        (np.zeros((3, 4, 4)), {"threshold": 1.0}, "threshold 1.0"),
        (np.zeros((3, 4, 4)), {"threshold": float("nan")}, "threshold nan"),
        (np.zeros((3, 4, 4)), {"pool": 5}, "5 x 5"),
        (np.zeros((3, 4, 4)), {"pool": 0}, "0 x 0"),
        (np.zeros((3, 4, 4)), {"block": 0}, "blocks of 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(images: np.ndarray, options: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        near_duplicates(images, **options)  # type: ignore[arg-type]


MEASURED = """
import resource, sys
import numpy as np
from twinsplit.data.splits import duplicates
duplicates.STRIP_BYTES = 1 << 20
images = np.load(sys.argv[1], mmap_mode="r")
duplicates.near_duplicates(images[:600], block=256)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(duplicates.near_duplicates(images, block=256).tolist())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """6,000 images are 75 MiB in float64 as one feature matrix of 40 x 40, and their products 137 MiB; blocks of 256 need a few."""
    images = np.random.default_rng(6).integers(0, 256, (6000, 1, 40, 40), dtype=np.uint8)
    images[5000] = images[17]
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run([sys.executable, "-c", MEASURED, tmp_path / "images.npy"], capture_output=True, text=True, check=True)
    removed, grown = done.stdout.splitlines()
    assert removed == "[5000]"
    assert int(grown) < 40  # MiB; of these the images themselves, as mapped pages, are 9


def test_it_is_one_function_under_its_names() -> None:
    import twinsplit

    assert reexported is near_duplicates is twinsplit.near_duplicates
