"""PSNR against its definition and the closed form of the Wiener filter."""

import math

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.exact.gaussian import BlindGaussian
from twinsplit.measures.psnr import denoising_psnr, psnr
from twinsplit.noise.reference import Noise


def test_psnr_is_its_definition() -> None:
    clean = torch.rand(3, 2, 4, 4)
    shifted = clean + torch.tensor([0.1, 0.01, 0.0])[:, None, None, None]
    torch.testing.assert_close(psnr(clean, shifted)[:2], torch.tensor([20.0, 40.0]).double(), atol=1e-3, rtol=0)
    assert float(psnr(clean, shifted)[2]) == math.inf


def test_noise_and_wiener_filter_have_their_expected_psnr() -> None:
    """Errors of 400 images of 64 pixels: their mean square is within 5 standard errors, sqrt(2 / 25,600) each (false alarm 1e-6)."""
    sigma, variance = 0.3, 0.04
    wiener = BlindGaussian(torch.full((1, 8, 8), 0.5).double(), variance * torch.eye(64).double(), torch.tensor([sigma]))
    found = denoising_psnr(wiener, wiener.sample(400, Noise(0)), sigma, Noise(1), torch.arange(400))
    errors = (10 ** (-found / 10)).mean(0)
    expected = torch.tensor([sigma**2, variance * sigma**2 / (variance + sigma**2)]).double()
    assert bool(((errors / expected - 1).abs() < 5 * (2 / 25_600) ** 0.5).all())


def test_noise_is_named_by_image() -> None:
    wiener = BlindGaussian(torch.zeros(1, 2, 2).double(), torch.eye(4).double(), torch.tensor([1.0]))
    clean, ids = wiener.sample(5, Noise(0)), torch.arange(5)
    whole = denoising_psnr(wiener, clean, 0.5, Noise(1), ids)
    torch.testing.assert_close(denoising_psnr(wiener, clean[3:], 0.5, Noise(1), ids[3:]), whole[3:])


def test_pairs_of_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="pairs of one shape"):
        psnr(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))
