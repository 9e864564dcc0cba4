"""Compiled versions of torch code for the CPU: the same numbers in less time.

The torch code is the definition; a kernel must equal it (random numbers and samples to the bit,
posteriors to 1e-12). Kernels are compiled by numba, which is imported when the first of them is
called. They run without the interpreter's lock on as many Python threads as torch may use, each on
its own range of rows, so numba's own threading layers (unsafe under concurrent callers and after a
fork) stay out of it and no result depends on the number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from twinsplit.errors import InputError

VARIABLE = "TWINSPLIT_KERNELS"


@cache
def backend() -> Literal["numba", "torch"]:
    """Return which implementation computes on the CPU; decided once per process.

    The environment variable TWINSPLIT_KERNELS (numba or torch) decides; without it, numba where it
    is installed.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "numba", "torch"):
        raise InputError(f"{VARIABLE}={wanted} names no implementation", "set it to numba or torch, or unset it")
    installed = find_spec("numba") is not None
    if wanted == "numba" and not installed:
        raise InputError(f"{VARIABLE}=numba, but numba is not installed", "pip install 'twinsplit[fast]'")
    return "numba" if installed and wanted != "torch" else "torch"


def serves(tensor: Tensor) -> bool:
    """Return whether the compiled kernels may compute on this tensor."""
    return tensor.device.type == "cpu" and backend() == "numba"


def over_rows(task: Callable[[int, int], object], rows: int, grain: int) -> None:
    """Call task(begin, end) over 0..rows in at most torch.get_num_threads() ranges, at once; ranges
    start at multiples of `grain`."""
    blocks = -(-rows // grain)
    workers = min(torch.get_num_threads(), blocks)
    if workers <= 1:
        task(0, rows)
        return
    bounds = [min(rows, grain * (blocks * i // workers)) for i in range(workers + 1)]
    with ThreadPoolExecutor(workers - 1) as pool:
        others = [pool.submit(task, begin, end) for begin, end in pairwise(bounds[1:])]
        task(bounds[0], bounds[1])
        for other in others:
            other.result()
