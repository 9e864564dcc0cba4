"""Peak signal-to-noise ratio of images in [0, 1], in decibels."""

from typing import Any

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise


def psnr(clean: Tensor, denoised: Tensor) -> Tensor:
    """(n,) float64 -10 log10 of the mean squared difference over pixels and channels of each pair
    (n, ...); inf where they are equal."""
    if clean.shape != denoised.shape:
        raise InputError(f"clean images of shape {tuple(clean.shape)}, denoised ones of {tuple(denoised.shape)}", "give pairs of one shape")
    return -10 * (clean.double() - denoised.double()).square().flatten(1).mean(1).log10()


def denoising_psnr(denoiser: Denoiser[Any], clean: Tensor, sigma: float, noise: Noise, image_ids: Tensor) -> Tensor:
    """(n, 2) PSNR of y = clean + sigma z and of the posterior mean that a blind denoiser gives for
    it; clean: (n, C, H, W).

    image_ids: (n,) names of the images for the noise, which is the same at every sigma and for
    every denoiser.
    """
    noisy = clean + sigma * noise.normal(0, image_ids.to(clean.device), tuple(clean.shape[1:]), clean.dtype)
    return torch.stack([psnr(clean, noisy), psnr(clean, denoiser(noisy, 0).mean)], dim=-1)
