"""The authors' sequences as a data folder of ours: read in the sandbox, checked against the grammar they are said to come from."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.sequences import SequenceData
from twinsplit.errors import InputError
from twinsplit.papers.imports.reader import read_array
from twinsplit.runs.files import fingerprint


def import_sequences(source: Path, grammar: TreeGrammar, law: dict[str, float], impossible: float) -> tuple[SequenceData, float]:
    """The data, and the fraction of it that the grammar cannot make.

    law: the grammar's parameters, for the record; impossible: the largest fraction that is let through. Raises InputError where
    the file is no array of integer sequences, or does not fit the grammar.
    """
    if not 0 <= impossible <= 1:
        raise InputError(f"--impossible {impossible}", "give a fraction from 0 to 1")
    tokens = read_array(source)
    _check_tokens(source, tokens, grammar)
    bad = np.isneginf(grammar.log_likelihood(tokens.astype(np.int8)).numpy())
    if bad.mean() > impossible:
        raise _impossible(source, bad, impossible)
    origin = {"imported": source.name, "file_sha256": fingerprint(source.read_bytes()), "impossible": int(bad.sum())}
    return SequenceData(grammar, tokens.astype(np.int8), origin | law), float(bad.mean())


def _impossible(source: Path, bad: NDArray[np.bool_], bound: float) -> InputError:
    count = f"{bad.mean():.3%} of the sequences ({bad.sum()} of {len(bad)}, first: row {int(bad.argmax())})"
    return InputError(
        f"{source}: {count} are impossible under this grammar, {bound:.3%} are admitted",
        "give the grammar's own --vocab-size, --depth, --rules-per-symbol, --sigma and --grammar-seed, or --impossible FRACTION",
    )


def _check_tokens(source: Path, tokens: NDArray[np.int64], grammar: TreeGrammar) -> None:
    """Here rather than in the grammar, because int8 would wrap what does not fit."""
    if tokens.ndim != 2 or not len(tokens) or tokens.shape[1] != grammar.length:
        raise InputError(
            f"{source} holds sequences of shape {tokens.shape}", f"a tree of this depth has {grammar.length} leaves: set --depth"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= grammar.vocab_size:
        raise InputError(f"{source} holds tokens {low}..{high}", f"the grammar has symbols 0..{grammar.vocab_size - 1}: set --vocab-size")
