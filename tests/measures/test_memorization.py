"""The gap ratio against published numbers; intervals against sums over binomial tails."""

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import images_small, shared
from twinsplit.errors import InputError
from twinsplit.measures.memorization import clopper_pearson, gap_ratio, memorized_fraction


def test_gap_ratio_equals_the_published() -> None:
    found = gap_ratio(images_small()["generated"], images_small()["images"][:32])
    np.testing.assert_allclose(found, images_small()["gap_ratio"], rtol=0, atol=1e-12)


def test_gap_ratio_equals_the_reference_folder() -> None:
    file = shared("images.npz")
    np.testing.assert_allclose(gap_ratio(file["generated"], file["images"][:32]), file["gap_ratio"], rtol=0, atol=1e-12)


def test_gap_ratio_on_a_line() -> None:
    points = torch.tensor([[0.0], [4.0], [10.0]])
    queries = torch.tensor([[0.0], [1.0], [2.0], [-4.0], [7.0]])
    assert gap_ratio(queries, points).tolist() == [0.0, 1 / 3, 1.0, 0.5, 1.0]


def test_a_copy_of_an_image_that_is_there_twice_is_a_copy() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert gap_ratio(torch.tensor([[0.0, 0.0], [0.0, 0.1]]), points).tolist() == [0.0, 1.0]  # a near one passes for new, as documented


def test_gap_ratio_of_features_and_of_too_few_points() -> None:
    images = torch.arange(12.0).reshape(3, 1, 2, 2)
    first = gap_ratio(images + 1, images, lambda pictures: pictures[:, 0, 0])
    assert torch.equal(first, gap_ratio(images[:, 0, 0] + 1, images[:, 0, 0]))
    with pytest.raises(InputError, match="2 nearest of 1"):
        gap_ratio(images, images[:1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.floats(1e-3, 1e3), st.floats(-5, 5))
def test_gap_ratio_knows_neither_unit_nor_origin_nor_order(seed: int, scale: float, shift: float) -> None:
    generator = np.random.default_rng(seed)
    queries, points = generator.normal(size=(6, 8)), generator.normal(size=(9, 8))
    found = gap_ratio(queries, points)
    assert torch.equal(gap_ratio(queries, points[generator.permutation(9)]), found)
    assert torch.equal(gap_ratio(queries[::-1].copy(), points), found.flip(0))
    torch.testing.assert_close(gap_ratio(scale * queries + shift, scale * points + shift), found, rtol=0, atol=1e-9)


def test_the_fraction_counts_what_is_below_the_threshold() -> None:
    found = memorized_fraction([0.0, 0.2, 1 / 3, 0.4, 1.0])
    assert (found.value, found.count, found.samples, found.threshold) == (0.4, 2, 5, 1 / 3)
    assert memorized_fraction(torch.tensor([0.0, 0.2, 0.4]), threshold=0.5).value == 1.0
    assert memorized_fraction(gap_ratio(images_small()["generated"], images_small()["images"][:32])).count == 6


def binomial(count: int, samples: int, p: float) -> float:
    return comb(samples, count) * p**count * (1 - p) ** (samples - count)


@pytest.mark.parametrize(("count", "samples"), [(0, 1), (1, 1), (0, 30), (1, 30), (7, 30), (29, 30), (30, 30)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_exact_interval_ends_where_the_tails_say(count: int, samples: int, level: float) -> None:
    low, high = clopper_pearson(count, samples, level)
    if count:
        assert sum(binomial(k, samples, low) for k in range(count, samples + 1)) == pytest.approx((1 - level) / 2, rel=1e-9)
    if count < samples:
        assert sum(binomial(k, samples, high) for k in range(count + 1)) == pytest.approx((1 - level) / 2, rel=1e-9)
    assert (low == 0.0) == (count == 0)
    assert (high == 1.0) == (count == samples)


def test_exact_interval_covers_at_least_as_often_as_it_says() -> None:
    """By enumeration of all outcomes: no false alarm is possible."""
    ends = [clopper_pearson(count, 25, 0.9) for count in range(26)]
    for p in np.linspace(0.01, 0.99, 99):
        assert sum(binomial(count, 25, p) for count, (low, high) in enumerate(ends) if low <= p <= high) >= 0.9


def test_bootstrap_interval_is_that_of_samples_drawn_anew() -> None:
    """40,000 draws place a quantile of 7 of 40 within one sample but for 1e-6 of seeds; the direct way has its own."""
    ratios = np.repeat([0.1, 0.9], [7, 33])
    found = memorized_fraction(ratios, draws=40_000)
    direct = (np.random.default_rng(0).choice(ratios, (40_000, 40)) < 1 / 3).mean(1)
    assert found.bootstrap == pytest.approx((np.quantile(direct, 0.025), np.quantile(direct, 0.975)), abs=1 / 40 + 1e-12)
    assert found == memorized_fraction(ratios[::-1], draws=40_000)
    assert found.bootstrap != memorized_fraction(ratios, draws=3, seed=1).bootstrap


@pytest.mark.parametrize(("ratio", "value"), [(0.9, 0.0), (0.0, 1.0)])
def test_where_all_samples_agree_only_the_exact_interval_has_a_width(ratio: float, value: float) -> None:
    found = memorized_fraction(np.full(100, ratio))
    assert found.value == value
    assert found.bootstrap == (value, value)
    assert found.exact == pytest.approx((0.0, 1 - 0.025**0.01) if value == 0 else (0.025**0.01, 1.0), rel=1e-12)


@pytest.mark.parametrize(
    ("ratios", "reason"),
    [
        ([0.1, float("nan"), 0.5], "1 of 3 gap ratios are missing"),
        ([0.1, None], "1 of 2 gap ratios are missing"),
        ([0.1, float("inf")], "not finite"),
        ([0.1, 1.2], r"in \[0, 1\]"),
        ([-0.1], r"in \[0, 1\]"),
        ([], "empty"),
        ([[0.1]], "1-dimensional"),
    ],
)
def test_samples_that_could_not_be_judged_are_refused(ratios: list[float], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        memorized_fraction(ratios)


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"threshold": 1.5}, {"level": 1.0}, {"level": float("nan")}, {"draws": 0}])
def test_unfit_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="choose"):
        memorized_fraction([0.5], **options)
