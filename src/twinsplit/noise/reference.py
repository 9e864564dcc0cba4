"""Random numbers keyed by (seed, stream, sample, step): the same whatever the batch, worker or
resume point.

A draw is a function, not a state: Philox-4x32-10 (Salmon et al., *Parallel random numbers: as easy
as 1, 2, 3*, SC 2011) maps a counter (block, step, sample) under a key (seed, stream) to four 32-bit
words. Normals come from Box-Muller with a logarithm, sine and cosine written in additions, products
and quotients of float64 alone. IEEE 754 fixes those to the bit, so every device and library gives
the same numbers, and the compiled kernel (`noise/kernel.py`), which serves the CPU where it can,
equals this file exactly.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import final

import numpy as np
import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.noise.constants import COS, LN2_HIGH, LN2_LOW, LOG, MULTIPLIERS, ROUNDS, SIN, SQRT_HALF, TWO_PI, WEYL, WORD


@lru_cache(maxsize=4096)
def philox_key(seed: int, stream: str) -> tuple[int, int]:
    """Two 32-bit key words for a seed and a named stream; distinct streams are independent."""
    digest = hashlib.blake2b(f"{seed}\0{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def _multiply(word: Tensor, constant: int) -> tuple[Tensor, Tensor]:
    product = word * constant  # wraps modulo 2^64, which keeps both halves right
    return (product >> 32) & WORD, product & WORD


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox-4x32-10 on int64 tensors that hold 32-bit words; four words of one broadcast shape."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


def _horner(z: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    value = torch.full_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * z + coefficient
    return value


def _log(u: Tensor) -> Tensor:
    """Natural logarithm of u in (0, 1), below one unit in the last place."""
    mantissa, exponent = torch.frexp(u)
    small = mantissa < SQRT_HALF
    f = torch.where(small, mantissa + mantissa, mantissa) - 1.0
    k = exponent.to(u.dtype) - small.to(u.dtype)
    s = f / (f + 2.0)
    z = s * s
    r = z * _horner(z, LOG)
    half = f * f * 0.5
    return k * LN2_HIGH - ((half - (s * (half + r) + k * LN2_LOW)) - f)


def _cos_sin(word: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of word / 2^32 turns."""
    quadrant = (word + (1 << 29)) >> 30
    x = (word - (quadrant << 30)).double() * (TWO_PI / 2**32)
    z = x * x
    sin = x + x * z * _horner(z, SIN)
    cos = 1.0 - (z * 0.5 - z * z * _horner(z, COS))
    swap = (quadrant & 1).bool()
    first, second = torch.where(swap, sin, cos), torch.where(swap, cos, sin)
    negative_cos = ((quadrant + 1) & 2).bool()
    negative_sin = (quadrant & 2).bool()
    return torch.where(negative_cos, -first, first), torch.where(negative_sin, -second, second)


def _sqrt(x: Tensor) -> Tensor:
    """The correctly rounded square root. On the CPU torch's own, from MKL, misses the last bit
    about once in a hundred."""
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else torch.sqrt(x)


def box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals (float64) from two tensors of 32-bit words."""
    radius = _sqrt(-2.0 * _log((first.double() + 0.5) * 2.0**-32))
    cos, sin = _cos_sin(second)
    return radius * cos, radius * sin


def _integers(value: int | Tensor) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return torch.as_tensor(value, dtype=torch.int64).reshape(-1).contiguous().numpy()


@final
@dataclass(frozen=True)
class Noise:
    """A source of random numbers without state.

    seed: any integer. stream: a name; streams never share numbers. Every method takes `step` (int,
    or a tensor like `sample_ids`, in 0..2^32-1) and `sample_ids` (n,) int64; the result lives on
    the device of `sample_ids`.
    """

    seed: int
    stream: str = ""

    def child(self, name: str) -> "Noise":
        """The stream `name` below this one."""
        return replace(self, stream=f"{self.stream}/{name}")

    @property
    def key(self) -> tuple[int, int]:
        """The Philox key of this seed and stream."""
        return philox_key(self.seed, self.stream)

    def bits(self, step: int | Tensor, sample_ids: Tensor, count: int) -> Tensor:
        """(n, count) int64, uniform on 0..2^32-1."""
        if kernels.serves(sample_ids):
            from twinsplit.noise import kernel

            return torch.from_numpy(kernel.bits(self.key, _integers(step), _integers(sample_ids), count))
        return self._reference_bits(step, sample_ids, count)

    def _reference_bits(self, step: int | Tensor, sample_ids: Tensor, count: int) -> Tensor:
        ids = sample_ids.to(torch.int64)[:, None]
        blocks = torch.arange((count + 3) // 4, device=ids.device)[None, :]
        steps = torch.as_tensor(step, dtype=torch.int64, device=ids.device).reshape(-1, 1)
        counter = (blocks, steps, ids & WORD, (ids >> 32) & WORD)
        return torch.stack(philox(counter, self.key), dim=-1).flatten(1)[:, :count]

    def uniform(self, step: int | Tensor, sample_ids: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
        """(n, *shape) float64 in the open interval (0, 1), in steps of 2^-32."""
        words = self.bits(step, sample_ids, prod(shape))
        return ((words.double() + 0.5) * 2.0**-32).reshape(len(sample_ids), *shape)

    def integers(self, step: int | Tensor, sample_ids: Tensor, low: int, high: int) -> Tensor:
        """(n,) int64 in low..high (both included); the bias is below (high - low + 1) / 2^32."""
        words = self.bits(step, sample_ids, 1)[:, 0]
        return low + ((words * (high - low + 1)) >> 32)

    def normal(self, step: int | Tensor, sample_ids: Tensor, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
        """(n, *shape) standard normals, computed in float64 and rounded to `dtype`."""
        if kernels.serves(sample_ids):
            from twinsplit.noise import kernel

            values = torch.from_numpy(kernel.normal(self.key, _integers(step), _integers(sample_ids), prod(shape)))
        else:
            values = self._reference_normal(step, sample_ids, prod(shape))
        return values.to(dtype).reshape(len(sample_ids), *shape)

    def _reference_normal(self, step: int | Tensor, sample_ids: Tensor, count: int) -> Tensor:
        words = self._reference_bits(step, sample_ids, count + count % 2)
        pair = box_muller(words[:, 0::2], words[:, 1::2])
        return torch.stack(pair, dim=-1).flatten(1)[:, :count]

    def permutation(self, step: int, n: int, device: torch.device | str = "cpu") -> Tensor:
        """(n,) int64, a permutation of 0..n-1; ties of the 64-bit sort keys are broken by index."""
        words = self.bits(step, torch.arange(n, device=device), 2)
        return torch.argsort((words[:, 0] << 31) ^ words[:, 1], stable=True)
