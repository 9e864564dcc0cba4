"""Two-sample statistics against their definitions; calibrated where nothing is copied, and with power where something is."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twinsplit.errors import InputError
from twinsplit.measures.two_sample import TwoSample, nearest_neighbour_two_sample

SEEDS = st.integers(0, 2**20)


def draw(seed: int, *sizes: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=(size, 4)) for size in sizes]


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a[:, None] - b).sum(-1))


def won(near: np.ndarray, apart: np.ndarray) -> float:
    return float(((near[:, None] < apart) + (near[:, None] == apart) / 2).mean())


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 9), st.integers(2, 9), st.integers(1, 9))
def test_statistics_equal_their_definitions(seed: int, n: int, m: int, size: int) -> None:
    generated, training, held_out = draw(seed, n, size, m)
    found = nearest_neighbour_two_sample(generated, training, held_out, draws=9)
    assert found.closer.value == pytest.approx(won(distances(generated, training).min(1), distances(held_out, training).min(1)))
    pool = np.concatenate([generated, held_out])
    others = distances(pool, pool) + np.diag(np.full(n + m, np.inf))
    same = (others.argmin(1) < n) == (np.arange(n + m) < n)
    assert found.coincidence.value == pytest.approx(same.mean())
    assert found.generated_coincidence == pytest.approx(same[:n].mean())
    assert found.held_out_coincidence == pytest.approx(same[n:].mean())
    assert (found.generated, found.held_out, found.training, found.draws) == (n, m, size, 9)


def test_p_values_are_those_of_all_labellings() -> None:
    """Of the 126 labellings of 5 + 4 images, by enumeration; 3,000 draws err by less than 0.045 = 5 standard errors (1 seed in 10^6)."""
    generated, training, held_out = draw(4, 5, 20, 4)
    found = nearest_neighbour_two_sample(generated, training, held_out, draws=3000)
    pool = np.concatenate([generated, held_out])
    near, others = distances(pool, training).min(1), distances(pool, pool) + np.diag(np.full(9, np.inf))
    labellings = [np.isin(np.arange(9), chosen) for chosen in combinations(range(9), 5)]
    closer = np.array([won(near[ours], near[~ours]) for ours in labellings])
    coincidence = np.array([(ours == ours[others.argmin(1)]).mean() for ours in labellings])
    assert found.closer.p_value == pytest.approx((closer >= found.closer.value - 1e-12).mean(), abs=0.045)
    assert found.coincidence.p_value == pytest.approx((coincidence >= found.coincidence.value - 1e-12).mean(), abs=0.045)
    assert closer.mean() == pytest.approx(found.closer.expected)
    assert coincidence.mean() == pytest.approx(found.coincidence.expected)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_statistics_know_neither_unit_nor_order(seed: int, scale: float) -> None:
    generated, training, held_out = draw(seed, 7, 9, 8)
    found = nearest_neighbour_two_sample(generated, training, held_out, draws=9)
    order = np.random.default_rng(seed).permutation(7)
    again = nearest_neighbour_two_sample(scale * generated[order] + 1, scale * training[::-1] + 1, scale * held_out + 1, draws=9)
    assert again.closer.value == found.closer.value
    assert again.coincidence.value == found.coincidence.value


def test_twins_swapped_mirror_one_another() -> None:
    a, training, b = draw(0, 30, 40, 50)
    one, other = (nearest_neighbour_two_sample(*pair, draws=99) for pair in ((a, training, b), (b, training, a)))
    assert one.closer.value == pytest.approx(1 - other.closer.value)
    assert one.coincidence.value == other.coincidence.value
    assert one.generated_coincidence == other.held_out_coincidence
    assert one == nearest_neighbour_two_sample(*(torch.from_numpy(side) for side in (a, training, b)), draws=99)
    assert one != nearest_neighbour_two_sample(a, training, b, draws=99, seed=1)


REPEATS, DRAWS, LEVEL = 300, 39, 0.05


def repeated(discrete: int | None) -> list[TwoSample]:
    """Under the null: all three sets from one law. `discrete` rounds it, so that ties and equal images abound."""
    found = []
    for repeat in range(REPEATS):
        sides = draw(1000 + repeat, 25, 20, 15)
        generated, training, held_out = sides if discrete is None else [np.round(side * discrete) for side in sides]
        apart = distances(held_out, training).min(1) > 0
        inside = distances(generated, training).min(1) > 0  # kept alike on both sides, so that the null stays true
        found.append(nearest_neighbour_two_sample(generated[inside], training, held_out[apart], draws=DRAWS, seed=repeat))
    return found


@pytest.mark.parametrize("discrete", [None, 1])
def test_false_alarms_are_as_rare_as_the_level(discrete: int | None) -> None:
    """With 39 draws P(p <= 0.05) is 0.05 or less (ties make it less); more than 32 of 300 such has probability below 1e-4 a statistic."""
    found = repeated(discrete)
    for name in ("closer", "coincidence"):
        assert sum(getattr(one, name).p_value <= LEVEL for one in found) <= 32
    assert sum(one.closer.p_value <= 0.5 for one in found) >= 110  # nor does it never speak: 150 are expected, ties apart


def test_the_interval_covers_one_half_under_the_null() -> None:
    """Percentiles of 15 against 25 images cover a little less than 95%; under 80 of 100 has probability below 1e-4 at 92%."""
    assert sum(one.closer_interval[0] <= 0.5 <= one.closer_interval[1] for one in repeated_intervals()) >= 80


def test_equal_images_raise_no_false_alarms() -> None:
    """60 and 20 images of 16 kinds: nearest neighbours by row would be generated ones, and nearly every p-value of coincidence small."""
    found = []
    for repeat in range(REPEATS):
        kinds = np.random.default_rng(repeat).integers(0, 2, (80, 4))
        found.append(nearest_neighbour_two_sample(kinds[:60], np.full((1, 4), 0.5), kinds[60:], draws=DRAWS, seed=repeat))
    assert sum(one.coincidence.p_value <= LEVEL for one in found) <= 32


def repeated_intervals() -> list[TwoSample]:
    sides = (draw(5000 + repeat, 25, 20, 15) for repeat in range(100))
    return [nearest_neighbour_two_sample(*side, draws=200, seed=repeat) for repeat, side in enumerate(sides)]


def power(found: list[TwoSample], name: str) -> float:
    return float(np.mean([getattr(one, name).p_value <= LEVEL for one in found]))


def altered(change: object) -> list[TwoSample]:
    found = []
    for repeat in range(20):
        generated, training, held_out = draw(9000 + repeat, 100, 100, 100)
        found.append(nearest_neighbour_two_sample(change(generated, training), training, held_out, DRAWS, repeat))
    return found


def test_copies_are_seen_by_closeness() -> None:
    """A quarter of the samples near copies: seen in 18 of 20 repeats or more. All of them copies: always, and closer is 1."""

    def some(generated: np.ndarray, training: np.ndarray) -> np.ndarray:
        return np.concatenate([training[:25] + 0.05 * generated[:25], generated[25:]])

    assert power(altered(some), "closer") >= 0.9
    copies = altered(lambda generated, training: training)
    assert all(one.closer.value == 1.0 and one.closer.p_value == 1 / (DRAWS + 1) and one.closer_interval == (1.0, 1.0) for one in copies)


def test_copies_without_repetition_are_a_sample_of_the_law() -> None:
    """What coincidence cannot see, as documented: false alarms only. More than 6 of 20 have probability below 1e-4."""
    assert power(altered(lambda generated, training: training), "coincidence") <= 6 / 20


def test_repetition_and_noise_are_seen_by_coincidence() -> None:
    repeats = altered(lambda generated, training: training[np.arange(100) % 20] + 0.01 * generated)
    assert power(repeats, "coincidence") == 1.0
    assert all(one.generated_coincidence > 0.9 for one in repeats)
    noise = altered(lambda generated, training: 3 * generated)
    assert power(noise, "coincidence") == 1.0
    assert all(one.closer.value < 0.2 and one.closer.p_value > 0.9 for one in noise)  # far from everything is not close


def test_equal_images_do_not_favour_a_side() -> None:
    """Every image is the same: no coincidence is surprising, and closeness is a tie."""
    found = nearest_neighbour_two_sample(np.ones((6, 4)), np.zeros((3, 4)), np.ones((8, 4)), draws=99)
    assert (found.closer.value, found.closer.p_value, found.closer_interval) == (0.5, 1.0, (0.5, 0.5))
    assert found.coincidence.p_value > 0.05


def test_held_out_images_that_were_trained_on_are_refused() -> None:
    generated, training, held_out = draw(0, 5, 9, 6)
    held_out[3] = training[2]
    with pytest.raises(InputError, match=r"1 of 6 held-out images are training images \(the first is row 3\); split by content"):
        nearest_neighbour_two_sample(generated, training, held_out)


@pytest.mark.parametrize(
    ("sizes", "options", "reason"),
    [
        ((1, 5, 5), {}, "two or more"),
        ((5, 5, 1), {}, "two or more"),
        ((5, 0, 5), {}, "1 nearest of 0"),
        ((5, 5, 5), {"draws": 0}, "one draw"),
        ((5, 5, 5), {"level": 1.0}, "level"),
    ],
)
def test_unfit_samples_are_refused(sizes: tuple[int, ...], options: dict[str, float], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        nearest_neighbour_two_sample(*draw(0, *sizes), **options)


def test_images_of_two_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="one shape"):
        nearest_neighbour_two_sample(np.ones((3, 4)), np.zeros((3, 4)), np.ones((3, 5)))
    with pytest.raises(InputError, match="same axes"):
        nearest_neighbour_two_sample(np.ones((3, 4)), np.zeros((3, 5)), np.ones((3, 4)))
