"""The exact error of the smooth regions: against denoising them, and against the slope that it tends to."""

import numpy as np
import pytest
import torch

from twinsplit.data.synthetic import CAlphaImages
from twinsplit.exact.fields import field_error
from twinsplit.noise.reference import Noise

IDS = torch.arange(100)


@pytest.mark.parametrize("size", [12, 13])
def test_wieners_filter_has_the_stated_error(size: int) -> None:
    """Fields denoised frequency by frequency; 200 of them give the mean error to 4 standard errors."""
    kind, sigma = CAlphaImages(1.0, size), 0.1
    scale = kind.scales(IDS)
    fields = np.concatenate([scale[:, [region], None] * kind.fields(IDS, region) for region in (0, 1)])
    assert np.allclose(np.ptp(fields[:100], axis=(1, 2)), 1 - kind.levels(IDS)[:, 0, 0])
    noisy = fields + sigma * Noise(0, "z").normal(0, torch.arange(200), (size, size)).numpy()
    k = np.fft.fftfreq(size, 1 / size)
    norm = np.hypot(k, k[:, None])
    limit = (size - 1) // 2
    inside = (np.abs(k) <= limit) & (np.abs(k)[:, None] <= limit) & (norm > 0)
    variance = np.where(inside, 0.5 * np.where(norm > 0, norm, 1.0) ** -4.0, 0.0) * scale.T.ravel()[:, None, None] ** 2
    gain = variance / (variance + sigma**2 / size**2)
    gain[:, 0, 0] = 1.0  # nothing is known of the level
    errors = np.square(np.fft.ifft2(gain * np.fft.fft2(noisy)).real - fields).mean((1, 2))
    assert abs(errors.mean() - field_error(kind, IDS, sigma)) < 4 * errors.std() / 200**0.5


@pytest.mark.parametrize(("alpha", "near"), [(1.0, 0.02), (2.0, 0.01), (4.0, 0.02)])
def test_on_80_pixels_the_slope_is_nearly_that_of_the_limit(alpha: float, near: float) -> None:
    kind = CAlphaImages(alpha, 80)
    low, high = (-10 * np.log10(field_error(kind, IDS[:20], sigma)) for sigma in (100 / 255, 10 / 255))
    assert (high - low) / 20 == pytest.approx(kind.slope, abs=near)
