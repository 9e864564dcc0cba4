"""What numbers products are made of. `bfloat16` in a recipe allows products to be rounded so; they are where a device gains from it.

A processor multiplies bfloat16 faster than float32 when it has matrix units (AMX) or is one of AMD's with AVX-512 BF16 (2.3 times as
fast where it was measured). One of Intel's with AVX-512 BF16 alone was measured at half the rate of its float32: rounding would cost
time and digits, and float32 is used there. The choice is the machine's, not that of a measurement, so that a run resumes to its bits.
The environment variable TWINSPLIT_BFLOAT16 (yes or no) makes it instead: yes shows what rounding does where nothing is gained by it.
"""

import os
from functools import cache

import torch

from twinsplit.errors import InputError
from twinsplit.runs.environment import vendor

VARIABLE = "TWINSPLIT_BFLOAT16"
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def product_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """The type of the factors of matrix products on a device, for a recipe's precision."""
    rounds = torch.device(device).type != "cpu" or fast_bfloat16()
    return PRECISIONS[precision] if rounds else torch.float32


@cache
def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32, or is told to use it."""
    caption = os.environ.get(VARIABLE, "")
    if caption not in ("", "yes", "no"):
        raise InputError(f"{VARIABLE}={caption} is neither yes nor no", "set it to one of them, or unset it")
    return caption == "yes" if caption else _gains()


def _gains() -> bool:
    return matrix_units() or (vendor() == "AuthenticAMD" and torch.cpu._is_avx512_bf16_supported())


def matrix_units() -> bool:
    """Whether this processor has matrix units for bfloat16 that this process may use."""
    return torch.cpu._is_amx_tile_supported()
