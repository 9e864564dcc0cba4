"""Exact nearest neighbours in Hamming distance, against one query at a time."""

from functools import partial

import numpy as np
import torch

from rows.case import Case, Row, Size, compare
from twinsplit.data.grammar import TreeGrammar
from twinsplit.measures.neighbours import nearest_hamming

SIZES = {"full": (50_000, (12_000, 70_000), 400), "tiny": (300, (200, 700), 30)}  # queries, training sizes, the reference's queries


def plain_nearest(queries: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index, query by query."""
    distance, index = [], []
    for query in queries:
        each = (training != query).sum(1)
        index.append(each.argmin())
        distance.append(each[index[-1]])
    return np.array(distance), np.array(index)


def check(queries: torch.Tensor, training: torch.Tensor) -> str:
    """AssertionError unless both agree."""
    ours, reference = nearest_hamming(queries, training), plain_nearest(queries.numpy(), training.numpy())
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(ours, reference, strict=True)), "distances or indices differ"
    return "the same distances and indices"


def row(which: int, size: Size, rounds: int) -> Row:
    """The smaller or the larger training set."""
    total, sizes, few = SIZES[size]
    grammar = TreeGrammar.published()
    return compare(
        neighbours_case(f"neighbours_{SIZES['full'][1][which]}", grammar.sample(total, 1), grammar.sample(sizes[which], 2), few), rounds
    )


def neighbours_case(name: str, queries: torch.Tensor, training: torch.Tensor, few: int) -> Case:
    """queries (total, L) against training (n, L); the reference takes the first few."""
    part, plain_training = queries[:few].numpy(), training.numpy()
    return Case(
        name,
        250,
        f"{len(queries):,} queries x {len(training):,}, length 16; reference: {few:,} queries, by proportion",
        lambda: nearest_hamming(queries, training),
        lambda: plain_nearest(part, plain_training),
        lambda: check(queries[:few], training),
        len(queries),
        len(queries),
        few,
    )


ROWS = {f"neighbours_{n}": partial(row, which) for which, n in enumerate(SIZES["full"][1])}
