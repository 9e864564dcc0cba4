"""10^6 sequences of depth 4, against a generator that draws one node after the other."""

from collections.abc import Callable

import numpy as np
import torch

from rows.case import Case, Row, Size, compare
from twinsplit.data.grammar import TreeGrammar
from twinsplit.noise.reference import Noise

SIZES = {"full": (1_000_000, 2_000), "tiny": (2_000, 50)}  # sequences of ours, of the reference
Pick = Callable[[np.ndarray, int], int]


def plain_sequence(rules: np.ndarray, depth: int, pick: Pick) -> list[int]:
    """One sequence; rules (q, q * q), pick(probabilities, node) -> outcome."""
    q = len(rules)
    symbols = [pick(np.full(q, 1 / q), 0)]
    for level in range(depth):
        children: list[int] = []
        for i, symbol in enumerate(symbols):
            children += divmod(pick(rules[symbol], 2**level + i), q)
        symbols = children
    return symbols


def plain_sequences(grammar: TreeGrammar, n: int) -> np.ndarray:
    """(n, L), each outcome drawn by NumPy's `choice`."""
    rng, rules = np.random.default_rng(0), grammar.rules.reshape(grammar.vocab_size, -1)
    return np.array([plain_sequence(rules, grammar.depth, lambda p, node: int(rng.choice(len(p), p=p))) for _ in range(n)])


def check(grammar: TreeGrammar, n: int) -> str:
    """The plain generator, fed with the words that ours draws, must give the same sequences."""
    words = Noise(0, "grammar").bits(0, torch.arange(n), grammar.length).numpy() / 2**32
    rules = grammar.rules.reshape(grammar.vocab_size, -1)

    def sequence(i: int) -> list[int]:
        return plain_sequence(rules, grammar.depth, lambda p, node: int(np.searchsorted(np.cumsum(p), words[i, node], "right")))

    assert np.array_equal([sequence(i) for i in range(n)], grammar.sample(n, 0).numpy()), "the sequences differ"
    return f"the same {n} sequences from the same words"


def row(size: Size, rounds: int) -> Row:
    """The one row."""
    total, few = SIZES[size]
    grammar = TreeGrammar.published()
    case = Case(
        "generation",
        500,
        f"{total:,} sequences of depth 4; reference: {few:,} of them, by proportion",
        lambda: grammar.sample(total, 0),
        lambda: plain_sequences(grammar, few),
        lambda: check(grammar, few),
        total,
        total,
        few,
    )
    return compare(case, rounds)


ROWS = {"generation": row}
