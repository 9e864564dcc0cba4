"""Controlled splits: sides by attributes against the truth row by row, identities in one group only, nested ends of a list."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.splits.controlled import AtRandom, ByAttribute, ByIdentity, Ladder, identity_sides, truth
from twinsplit.errors import InputError

ATTRIBUTES = tuple(FaceSet().labels(0))
LABELS = pd.DataFrame(np.random.default_rng(0).choice([-1, 1], (90, 40)), columns=list(ATTRIBUTES))
LABELS = LABELS.assign(identity=np.random.default_rng(1).integers(1, 20, 90), partition=0)
ALL = np.arange(90)
terms = st.lists(st.tuples(st.sampled_from(ATTRIBUTES), st.booleans(), st.sampled_from(["", " ", "  "])), min_size=1, max_size=4)


@given(terms)
def test_a_conjunction_is_true_where_every_term_is(chosen: list[tuple[str, bool, str]]) -> None:
    expression = "&".join(f"{space}{'!' * negated}{space}{name}{space}" for name, negated, space in chosen)
    expected = [all((row[name] == 1) != negated for name, negated, _ in chosen) for _, row in LABELS.iterrows()]
    assert truth(expression, LABELS).tolist() == expected


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "'' in '' is no attribute"),
        ("Male &", "'' in 'Male &' is no attribute"),
        ("Male | Young", "is no attribute"),
        ("!!Male", "is no attribute"),
        ("(Male)", "is no attribute"),
        ("Male Young", "is no attribute"),
        ("__import__('os')", "is no attribute"),
        ("male", "no attribute named male; did you mean Male?"),
        ("Eyeglases & Male", "did you mean Eyeglasses?"),
        ("identity", "no attribute named identity"),
        ("partition", "no attribute named partition"),
        ("Male\n&\x00Young", "is no attribute"),
    ],
)
def test_other_expressions_are_refused_in_one_line(expression: str, says: str) -> None:
    with pytest.raises(InputError) as refusal:
        truth(expression, LABELS)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_without_attributes_the_labels_say_so() -> None:
    with pytest.raises(InputError, match="no attribute named Male; the labels have none"):
        truth("Male", pd.DataFrame({"digit": [3, 4]}))


@given(st.sampled_from(ATTRIBUTES), st.integers(0, 5), st.sets(st.integers(0, 89), min_size=20))
def test_the_smaller_side_stays_whole_and_the_larger_is_drawn_down(name: str, seed: int, chosen: set[int]) -> None:
    kept = np.array(sorted(chosen))
    first, second = ByAttribute(name, seed).groups(kept, LABELS)
    sides = [set(kept[LABELS[name].to_numpy()[kept] == sign].tolist()) for sign in (1, -1)]
    assert len(first) == len(second) == min(map(len, sides)) == len(set(first.tolist())) == len(set(second.tolist()))
    assert set(first.tolist()) <= sides[0]
    assert set(second.tolist()) <= sides[1]
    assert [list(rows) for rows in ByAttribute(name, seed).groups(kept, LABELS)] == [list(first), list(second)]


def test_every_image_of_the_larger_side_is_as_likely() -> None:
    """400 seeds, 20 of 70 rows: binomial counts of mean 114 and deviation 9; beyond 5 deviations by chance once in 20,000 such tests."""
    labels = pd.DataFrame({"Male": [1] * 20 + [-1] * 70})
    counts = np.bincount(np.concatenate([ByAttribute("Male", seed).groups(ALL, labels)[1] for seed in range(400)]), minlength=90)
    assert counts[:20].sum() == 0
    assert np.abs(counts[20:] - 400 * 20 / 70).max() < 5 * np.sqrt(400 * 20 / 70 * 50 / 70)


@pytest.mark.parametrize(("expression", "says"), [("Male & !Male", "true of no image"), ("Constant", "true of every image")])
def test_one_sided_attributes_are_refused(expression: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ByAttribute(expression).groups(ALL, LABELS.assign(Constant=1))


identities = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@given(identities, st.integers(0, 9))
def test_no_identity_is_in_both_groups_and_no_image_is_lost(who: list[int], seed: int) -> None:
    labels = pd.DataFrame({"identity": who})
    if len(set(who)) == 1:
        with pytest.raises(InputError, match="one identity"):
            ByIdentity(seed).groups(np.arange(len(who)), labels)
        return
    first, second = ByIdentity(seed).groups(np.arange(len(who)), labels)
    assert {who[i] for i in first}.isdisjoint({who[i] for i in second})
    assert sorted([*first, *second]) == list(range(len(who)))
    sizes = np.unique(who, return_counts=True)[1]
    assert 0 <= len(first) - len(second) <= sizes.max() or 0 < len(second) - len(first) < sizes.max()


@given(st.lists(st.integers(1, 9), min_size=2, max_size=9), st.integers(0, 3))
def test_the_groups_are_nearly_as_equal_as_any(sizes: list[int], seed: int) -> None:
    """The larger group is at most 7/6 of the smallest possible one (Graham 1969, for two machines), by enumeration."""
    side = identity_sides(np.repeat(np.arange(len(sizes)), sizes), seed)
    larger = max(int((side == which).sum()) for which in (0, 1))
    best = min(max(np.dot(sizes, part), np.dot(sizes, np.logical_not(part))) for part in product((0, 1), repeat=len(sizes)))
    assert best <= larger <= 7 / 6 * best


def test_largest_identities_come_first() -> None:
    """5, 4, 3, 3, 3 becomes 5 + 3 and 4 + 3 + 3, as the greedy rule gives it, in every order of the ties; seeds move what they may."""
    who = np.repeat([7, 3, 9, 2, 5], [3, 5, 3, 4, 3])
    found = {tuple(identity_sides(who, seed).tolist()) for seed in range(20)}
    assert {(sum(side), side[3]) for side in found} == {(10, 0)}
    assert len(found) == 3


def test_seeds_give_different_identity_splits() -> None:
    sets = {tuple(sorted(ByIdentity(seed).groups(ALL, LABELS)[0].tolist())) for seed in range(6)}
    assert len(sets) == 6


def test_labels_without_identities_are_refused() -> None:
    with pytest.raises(InputError, match="no identity"):
        ByIdentity().groups(ALL, LABELS.drop(columns="identity"))


@given(st.sets(st.integers(1, 30), min_size=1, max_size=5), st.sets(st.integers(0, 99), min_size=60))
def test_the_ends_of_the_list_are_nested_and_disjoint(sizes: set[int], chosen: set[int]) -> None:
    kept = np.array(sorted(chosen))
    first, second = Ladder(tuple(sorted(sizes))).groups(kept, None)
    assert set(first.tolist()).isdisjoint(second.tolist())
    for size in sizes:
        assert first[:size].tolist() == kept[:size].tolist()
        assert sorted(second[:size].tolist()) == kept[-size:].tolist()


@pytest.mark.parametrize("sizes", [(), (0,), (3, 3), (5, 4), (-1, 2)])
def test_ladders_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="in ascending order"):
        Ladder(sizes)


def test_a_ladder_that_overlaps_is_refused() -> None:
    assert [len(rows) for rows in Ladder((45,)).groups(ALL, None)] == [45, 45]
    with pytest.raises(InputError, match="twice 46 images, and 90 are there"):
        Ladder((10, 46)).groups(ALL, None)


@given(st.integers(2, 60), st.integers(0, 2**32))
def test_random_groups_are_halves_in_another_order(count: int, seed: int) -> None:
    kept = np.arange(0, 3 * count, 3)
    first, second = AtRandom(seed).groups(kept, None)
    together = [*first.tolist(), *second.tolist()]
    assert len(first) == len(second) == count // 2
    assert len(set(together)) == len(together)
    assert set(together) <= set(kept.tolist())
    assert all(np.array_equal(a, b) for a, b in zip(AtRandom(seed).groups(kept, None), (first, second), strict=True))


def test_every_image_comes_into_either_random_group() -> None:
    """Of 4 images, each is in the first group in half of 400 seeds: farther than 60 from 200 once in 10^9 times each."""
    counts = sum(np.bincount(AtRandom(seed).groups(np.arange(4), None)[0], minlength=4) for seed in range(400))
    assert np.abs(counts - 200).max() < 60
    with pytest.raises(InputError, match="no two groups"):
        AtRandom().groups(np.arange(1), None)
