"""Belief propagation on the tree, compiled: each sequence in plain float64 where its evidence
allows it, in wide numbers where not.

Which of the two serves a sequence depends on that sequence alone, so a result does not depend on
its batch.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from twinsplit.kernels import over_rows
from twinsplit.kernels.belief_plain import Floats, margin, plain_marginals, spans
from twinsplit.kernels.belief_wide import wide_marginals
from twinsplit.kernels.rules import RuleTable

LANES = 96
Rules: TypeAlias = tuple[RuleTable, RuleTable, RuleTable]


def even_rows(h: Floats, rules: Rules, transition: Floats) -> npt.NDArray[np.bool_]:
    """Return (n,) whether plain float64 is accurate enough for each row of h (n, L, q).

    Such rows are finite, and some sequence is possible under them."""
    span = np.empty(len(h))
    over_rows(lambda begin, end: spans(h, span, begin, end), len(h), LANES)
    return span <= margin(rules, transition, h.shape[1])  # False for NaN


def marginals(h: Floats, rules: Rules, transition: Floats, even: npt.NDArray[np.bool_]) -> Floats:
    """(n, L, q) log marginals from leaf log-likelihoods h (n, L, q) below +inf; NaN where the
    evidence is impossible.

    rules: grouped by parent, by left child, by right child. transition: (2^k, q, q) from the root
    to each node of level k. even: as by `even_rows`.
    """
    tables = tuple((table.first, table.second, table.weight, table.count) for table in rules)
    if even.all():
        return _run(plain_marginals, h, tables, transition)
    if not even.any():
        return _run(wide_marginals, h, tables, transition)
    out = np.empty_like(h)
    for kernel, rows in ((plain_marginals, even), (wide_marginals, ~even)):
        out[rows] = _run(kernel, h[rows], tables, transition)
    return out


def _run(kernel: Callable[..., Any], h: Floats, tables: tuple[Any, ...], transition: Floats) -> Floats:
    out = np.empty_like(h)
    # one layout of arrays for both directions: the compiler would make every function twice
    transitions = transition, np.ascontiguousarray(transition.transpose(0, 2, 1))
    # A number known only at run time: the compiler would unroll short loops of known length, and
    # unrolled they miss the vector registers.
    lanes = min(LANES, max(8, len(h)))
    over_rows(lambda begin, end: kernel(h, out, tables, transitions, lanes, begin, end), len(h), lanes)
    return out
