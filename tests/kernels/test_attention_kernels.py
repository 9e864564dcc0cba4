"""Kernels that are made for given sizes are found on disk again by the next process."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'twinsplit[fast]'")

from twinsplit.kernels import attention

FACTORIES = [attention.attention_forward, attention.attention_backward, attention.dropped_forward, attention.dropped_backward]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("size", [16, 128])
def test_what_a_kernel_is_made_for_are_numbers(factory: Callable[[int, int, int], Any], size: int) -> None:
    """numba looks a kernel up by what it closes over; a compiled function among that has another name in every process."""
    cells = [cell.cell_contents for cell in factory(8, 4, size).py_func.__closure__]
    assert cells
    assert all(isinstance(value, int | np.float32) for value in cells)
