"""A split's own mean, kept to the bit."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twinsplit.data.normalisation import Kind, Normalisation
from twinsplit.errors import InputError

KINDS = ("none", "channel", "image")


def images(seed: int = 0, n: int = 6) -> torch.Tensor:
    return torch.rand((n, 3, 4, 5), generator=torch.Generator().manual_seed(seed))


def same(a: Normalisation, b: Normalisation) -> bool:
    return torch.equal(a.mean, b.mean) and (a.scale, a.kind) == (b.scale, b.kind)


def test_means_are_over_what_they_say() -> None:
    x = images()
    assert not Normalisation.fit(x, "none").mean.any()
    channel, image = Normalisation.fit(x, "channel"), Normalisation.fit(x, "image")
    torch.testing.assert_close(channel.mean.flatten(), torch.stack([x[:, c].mean() for c in range(3)]))
    torch.testing.assert_close(image.mean, x.mean(0))
    for fitted in (channel, image):
        assert abs(float(fitted.apply(x).mean())) < 1e-6
    assert float(image.apply(x).mean(0).abs().max()) < 1e-6


@given(st.sampled_from(KINDS), st.floats(0.01, 10), st.integers(0, 50))
def test_stored_and_inverted(kind: Kind, scale: float, seed: int) -> None:
    fitted = Normalisation.fit(images(seed), kind, scale)
    assert same(Normalisation.from_json(fitted.to_json()), fitted)
    torch.testing.assert_close(fitted.invert(fitted.apply(images(1))), images(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_keeps_every_bit(kind: Kind, tmp_path: Path) -> None:
    fitted = Normalisation.fit(images(), kind, 0.3)
    fitted.save(tmp_path / "normalisation.safetensors")
    assert same(Normalisation.load(tmp_path / "normalisation.safetensors"), fitted)


def test_another_splits_mean_is_another_normalisation() -> None:
    own, other = Normalisation.fit(images(0)), Normalisation.fit(images(1))
    assert not torch.equal(own.apply(images(2)), other.apply(images(2)))


def test_what_is_no_normalisation_is_refused(tmp_path: Path) -> None:
    for value in ({}, {"kind": "median", "scale": 1, "mean": [[[0]]]}, {"kind": "none", "scale": 0, "mean": [[[0]]]}, {"mean": "x"}):
        with pytest.raises(InputError):
            Normalisation.from_json(value)
    for content in (b"", b"\x08\0\0\0\0\0\0\0{}      "):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(InputError):
            Normalisation.load(tmp_path / "bad")
    with pytest.raises(InputError):
        Normalisation.load(tmp_path / "nowhere")
    for bad in (images()[:0], images()[0]):
        with pytest.raises(InputError):
            Normalisation.fit(bad)
    with pytest.raises(InputError):
        Normalisation(torch.full((1, 1, 1), float("nan")))
