"""Production rules as a plain table, which both the torch code and the compiled code read."""

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class RuleTable:
    """The non-zero entries of a (q, q, q) array of weights, grouped by target (first axis) and
    padded to equal length.

    first, second: (q, R) int64 symbols; weight: (q, R) float64, 0 where padded; count: (q,) int64
    entries in use.
    """

    first: Integers
    second: Integers
    weight: Floats
    count: Integers

    @classmethod
    def from_dense(cls, weights: Floats) -> "RuleTable":
        """Entries in row-major order of (first, second)."""
        count = (weights > 0).sum((1, 2))
        shape = (len(weights), int(count.max()))
        table = cls(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape), count)
        for target, pairs in enumerate(weights):
            first, second = np.nonzero(pairs)
            table.first[target, : len(first)], table.second[target, : len(first)] = first, second
            table.weight[target, : len(first)] = pairs[first, second]
        return table
