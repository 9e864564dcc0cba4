"""Keyed noise: the published vectors of Philox, the accuracy of the normals, and that a draw depends on its name alone."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from reference import BACKENDS, implementation
from twinsplit.noise.reference import WORD, Noise, philox

KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((WORD,) * 4, (WORD,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
IDS = torch.tensor([0, 1, 5, 2**32 - 1, 2**32, 2**62 + 3])


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_vectors(counter: tuple[int, ...], key: tuple[int, int], expected: str) -> None:
    """Known answers of Random123 (Salmon et al. 2011), philox4x32-10."""
    words = philox(tuple(torch.tensor([c]) for c in counter), key)  # type: ignore[arg-type]
    assert " ".join(f"{int(word):08x}" for word in words) == expected


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_kernel_gives_the_published_vectors(counter: tuple[int, ...], key: tuple[int, int], expected: str) -> None:
    numba = pytest.importorskip("numba")
    from twinsplit.noise.kernel import philox as kernel

    words = numba.njit(kernel.py_func)(*(np.uint64(value) for value in (*counter, *key)))
    assert " ".join(f"{int(word):08x}" for word in words) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(), st.text(max_size=5), st.integers(0, WORD), st.integers(0, 2**63 - 1), st.integers(0, 9))
def test_kernel_equals_torch_to_the_bit(seed: int, stream: str, step: int, sample_id: int, count: int) -> None:
    noise, ids = Noise(seed, stream), torch.tensor([sample_id, 3])
    with implementation("torch"):
        expected = noise.bits(step, ids, count), noise.normal(step, ids, (count,))
    with implementation("numba"):
        assert torch.equal(noise.bits(step, ids, count), expected[0])
        assert torch.equal(noise.normal(step, ids, (count,)), expected[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_kernel_equals_torch_on_many_normals(dtype: torch.dtype) -> None:
    ids = torch.arange(2**32 - 2_000, 2**32 + 2_000)
    with implementation("torch"):
        expected = Noise(1).normal(9, ids, (5, 5), dtype)
    with implementation("numba"):
        actual = Noise(1).normal(9, ids, (5, 5), dtype)
    assert actual.dtype == dtype
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_steps_may_differ_by_sample(name: str) -> None:
    steps = torch.arange(len(IDS)) * 7
    with implementation(name):
        whole = Noise(0).normal(steps, IDS, (3,))
        rows = [Noise(0).normal(int(steps[i]), IDS[i : i + 1], (3,)) for i in range(len(IDS))]
    assert torch.equal(whole, torch.cat(rows))


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_a_draw_does_not_depend_on_its_batch(name: str, order: list[int], n: int) -> None:
    with implementation(name):
        whole = Noise(4, "x").normal(2, IDS, (2, 3))
        assert torch.equal(whole[order[:n]], Noise(4, "x").normal(2, IDS[order[:n]], (2, 3)))


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert torch.equal(Noise(0).bits(0, IDS, 11)[:, :7], Noise(0).bits(0, IDS, 7))


def test_everything_in_the_name_matters() -> None:
    draws = [Noise(0), Noise(1), Noise(0, "a"), Noise(0).child("a"), Noise(0, "a").child("b")]
    first = [tuple(noise.bits(0, IDS[:1], 4)[0].tolist()) for noise in draws]
    first += [tuple(Noise(0).bits(1, IDS[:1], 4)[0].tolist()), tuple(Noise(0).bits(0, IDS[4:5], 4)[0].tolist())]
    assert len(set(first)) == len(first)


def test_normals_are_box_mullers() -> None:
    """Against libm; the angle's rounding and the logarithm's together stay below 2e-15 of the radius, at most 6.7."""
    words = Noise(2).bits(0, torch.arange(50_000), 2).double()
    radius = torch.sqrt(-2 * torch.log((words[:, 0] + 0.5) * 2.0**-32))
    angle = words[:, 1] * (2 * np.pi / 2**32)
    expected = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    torch.testing.assert_close(Noise(2).normal(0, torch.arange(50_000), (2,)), expected, rtol=0, atol=1.5e-14)


def test_normals_are_normal() -> None:
    """Kolmogorov-Smirnov on 200,000 draws of a fixed seed, and the correlation within pairs; 1 seed in 1,000 would fail each."""
    z = Noise(11).normal(3, torch.arange(100_000), (2,))
    assert kstest(z.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(float((z[:, 0] * z[:, 1]).mean())) < 3.3 / 100_000**0.5


def test_integers_are_uniform_and_bounded() -> None:
    values = Noise(3).integers(0, torch.arange(60_000), -2, 3)
    assert chisquare(np.bincount(values + 2, minlength=6)).pvalue > 1e-3


def test_uniform_stays_inside_the_open_interval() -> None:
    u = Noise(5).uniform(0, torch.arange(10_000), (3, 2))
    assert u.shape == (10_000, 3, 2)
    assert 0 < float(u.min()) < float(u.max()) < 1
    assert kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3


def test_permutation_is_one() -> None:
    order = Noise(0).permutation(4, 1_000)
    assert torch.equal(order.sort().values, torch.arange(1_000))
    assert not torch.equal(order, torch.arange(1_000))
    assert not torch.equal(order, Noise(0).permutation(5, 1_000))


@pytest.mark.parametrize("name", BACKENDS)
def test_empty_draws(name: str) -> None:
    none = torch.arange(0)
    with implementation(name):
        assert Noise(0).bits(0, none, 3).shape == (0, 3)
        assert Noise(0).normal(0, none, (2, 3)).shape == (0, 2, 3)
        assert Noise(0).uniform(0, none, (2,)).shape == (0, 2)
        assert Noise(0).normal(0, IDS, (0,)).shape == (6, 0)


def test_importing_noise_does_not_import_numba() -> None:
    code = "import sys, twinsplit.noise, twinsplit.data.grammar, twinsplit.exact.tree; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
