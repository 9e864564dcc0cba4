"""bfloat16 is a permission: products are rounded where a device gains from it, and nowhere else."""

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.networks import arithmetic


def on(monkeypatch: pytest.MonkeyPatch, vendor: str, units: bool, instructions: bool) -> bool:
    """What is decided on such a processor."""
    monkeypatch.setattr(arithmetic, "vendor", lambda: vendor)
    monkeypatch.setattr(arithmetic, "matrix_units", lambda: units)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    return arithmetic.fast_bfloat16.__wrapped__()


@pytest.mark.parametrize(
    ("vendor", "units", "instructions", "fast"),
    [
        ("GenuineIntel", True, True, True),
        ("GenuineIntel", False, True, False),
        ("AuthenticAMD", False, True, True),
        ("AuthenticAMD", False, False, False),
        ("", False, False, False),
    ],
)
def test_which_processors_gain(monkeypatch: pytest.MonkeyPatch, vendor: str, units: bool, instructions: bool, fast: bool) -> None:
    monkeypatch.delenv(arithmetic.VARIABLE, raising=False)
    assert on(monkeypatch, vendor, units, instructions) is fast


@pytest.mark.parametrize(("caption", "fast"), [("yes", True), ("no", False)])
def test_the_variable_decides_instead(monkeypatch: pytest.MonkeyPatch, caption: str, fast: bool) -> None:
    monkeypatch.setenv(arithmetic.VARIABLE, caption)
    assert on(monkeypatch, "GenuineIntel", not fast, True) is fast
    monkeypatch.setenv(arithmetic.VARIABLE, "maybe")
    with pytest.raises(InputError, match="neither yes nor no"):
        on(monkeypatch, "GenuineIntel", True, True)


@pytest.mark.parametrize(("fast", "on_cpu"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_device_decides_and_float32_is_never_rounded(monkeypatch: pytest.MonkeyPatch, fast: bool, on_cpu: torch.dtype) -> None:
    monkeypatch.setattr(arithmetic, "fast_bfloat16", lambda: fast)
    assert arithmetic.product_dtype("bfloat16", "cpu") == on_cpu
    assert arithmetic.product_dtype("bfloat16", torch.device("cuda")) == torch.bfloat16
    assert arithmetic.product_dtype("float32", "cuda") == arithmetic.product_dtype("float32", "cpu") == torch.float32
