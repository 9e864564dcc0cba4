"""The examination of image twins, asked of denoisers whose every answer is known: Gaussians in closed form, and memorizers.

For data N(m, v) and V = signal^2 v + sigma^2 the exact denoiser pays signal^2 v / V a pixel at each time; one that takes the mean for m + d
pays (signal sigma / V)^2 |d|^2 / D more in expectation. Means over images are compared within 5 standard errors (1 seed in 10^6).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twinsplit.data.normalisation import Normalisation
from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.series import Member
from twinsplit.exact.empirical_images import EmpiricalImages
from twinsplit.exact.mixture import GaussianMixture, MixtureDenoiser
from twinsplit.networks.parametrisation import NoisePrediction
from twinsplit.networks.unet import UNet
from twinsplit.noise.reference import Noise
from twinsplit.recipes import DIGITS_SMOKE, ImageRecipe
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.images.predictions import CleanImages, ImageEvaluator, ImageProbes

T, SHAPE, PIXELS, VARIANCE, COUNT = 50, (1, 8, 8), 64, 0.3, 400
SCHEDULE = Schedule.diffusion_lm(T)
TIMES = (3, 10, 30)
MIDDLE = Noise(0, "mean").normal(0, torch.arange(1), SHAPE)
APART = 0.2 * Noise(0, "difference").normal(0, torch.arange(1), SHAPE)
RECIPE = replace(DIGITS_SMOKE, measuring=replace(DIGITS_SMOKE.measuring, times=TIMES))


def ensemble(*denoisers: Denoiser[Any]) -> Ensemble:
    """Twins that are these, each of a split of its own."""
    numbers = {"number": torch.arange(float(len(denoisers)))}
    members = tuple(Member(k, k) for k in range(len(denoisers)))
    return Ensemble(UNet(), members, numbers, lambda network, own: denoisers[int(own["number"])])


def probes(recipe: ImageRecipe, held_out: Tensor, *splits: Tensor) -> ImageProbes:
    sets = [CleanImages(images.float(), 1_000 * i + torch.arange(len(images))) for i, images in enumerate((held_out, *splits))]
    plain = (Normalisation(torch.zeros(1, 1, 1)),) * len(splits)
    return ImageProbes(recipe, NoisePrediction(SCHEDULE), sets[0], tuple(sets[1:]), plain, Noise(3))


def gaussian(mean: Tensor) -> MixtureDenoiser:
    return MixtureDenoiser(GaussianMixture.of_images(mean, VARIANCE), SCHEDULE)


TWINS = (gaussian(MIDDLE - APART), gaussian(MIDDLE + APART), gaussian(MIDDLE))
WORLD = GaussianMixture.of_images(MIDDLE, VARIANCE)
DATA = [WORLD.sample(COUNT, Noise(seed, "data")) for seed in range(4)]


@pytest.fixture(scope="module")
def options() -> ImageProbes:
    return probes(RECIPE, *DATA)


def rows(options: ImageProbes, name: str, **wanted: int) -> list[Tensor]:
    found = ImageEvaluator(options).rows(ensemble(*TWINS), name)
    return [row["values"].double() for row in found if all(row[key] == value for key, value in wanted.items())]


def scales(t: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
    """signal, sigma and the variance V of x_t."""
    signal, sigma = SCHEDULE.scales(t)
    return signal, sigma, signal**2 * VARIANCE + sigma**2


def costs(t: Tensor | int) -> tuple[Tensor, Tensor]:
    """What the exact denoiser pays at t, and what a mean that is off by APART costs beyond."""
    signal, sigma, total = scales(t)
    return signal**2 * VARIANCE / total, (signal * sigma / total) ** 2 * APART.square().mean()


def assert_mean(values: Tensor, expected: float) -> None:
    assert abs(float(values.mean()) - expected) < 5 * float(values.std()) / len(values) ** 0.5


def test_the_divergence_of_gaussian_twins(options: ImageProbes) -> None:
    """Their predictions differ by 2 signal sigma d / V on every image."""
    signal, sigma, total = scales(RECIPE.measured_time)
    expected = (2 * signal * sigma / total) ** 2 * APART.square().sum() / 2
    for pair in ((0, 1), (1, 0)):
        (found,) = rows(options, "sample_split_divergence", member_a=pair[0], member_b=pair[1])
        torch.testing.assert_close(found, expected.expand(COUNT), rtol=1e-5, atol=0)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("prefix", ["", "train_"])
def test_differences_and_similarities_of_gaussian_twins(options: ImageProbes, prefix: str, t: int) -> None:
    """On held-out images, and on those of the first twin."""
    signal, sigma, total = scales(t)
    (difference,) = rows(options, f"{prefix}noise_difference", member_a=0, member_b=1, t=t)
    torch.testing.assert_close(difference, ((2 * signal * sigma / total) ** 2 * APART.square().mean()).expand(COUNT), rtol=1e-5, atol=0)
    pictures = options.splits[0] if prefix else options.held_out
    u = (SCHEDULE.noised(pictures.images, t, options.eps(pictures, 0)).double() - signal * MIDDLE).flatten(1)
    shift = (signal * APART).flatten(1)
    expected = (u.square().sum(1) - shift.square().sum()) / ((u + shift).norm(dim=1) * (u - shift).norm(dim=1))
    (similarity,) = rows(options, f"{prefix}noise_similarity", member_a=0, member_b=1, t=t)
    torch.testing.assert_close(similarity, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("t", TIMES)
def test_the_loss_at_one_time(options: ImageProbes, t: int) -> None:
    least, more = costs(t)
    (truth,) = rows(options, "fixed_time_loss", member=2, t=t)
    assert_mean(truth, float(least))
    for k in (0, 1):
        (found,) = rows(options, "fixed_time_loss", member=k, t=t)
        assert_mean(found - truth, float(more))


@pytest.mark.parametrize("name", ["test_loss", "train_loss"])
def test_the_loss_over_all_times(options: ImageProbes, name: str) -> None:
    """The mean of what is paid at 1..T; Gaussians have learned the law and nothing of the images, so both losses are one."""
    least, more = (float(cost.mean()) for cost in costs(torch.arange(1, T + 1)))
    (truth,) = rows(options, name, member=2)
    assert_mean(truth, least)
    for k in (0, 1):
        assert_mean(rows(options, name, member=k)[0], least + more)


def test_memorizers_pay_nothing_for_their_own_images_and_the_distance_to_them_for_others() -> None:
    """At one time, where each noised image is nearest to one training image by far, which the memorizer takes it for."""
    t = 3
    recipe = replace(RECIPE, training=replace(RECIPE.training, times="fixed", fixed_time=t))
    spread = GaussianMixture.of_images(torch.zeros(1, *SHAPE).double(), 1.0)
    own, fresh = [spread.sample(30, Noise(seed, "split")).float() for seed in (0, 1)], spread.sample(20, Noise(2)).float()
    options, twins = probes(recipe, fresh, *own), ensemble(*(EmpiricalImages(images, SCHEDULE) for images in own))
    evaluator, (signal, sigma) = ImageEvaluator(options), SCHEDULE.scales(t)
    assert max(float(row["values"].max()) for row in evaluator.rows(twins, "train_loss")) < 1e-8
    x_t = SCHEDULE.noised(fresh, t, options.eps(options.held_out, 0))
    for row, images in zip(evaluator.rows(twins, "test_loss"), own, strict=True):
        nearest = images[(x_t[:, None] - signal.float() * images[None]).flatten(2).norm(dim=2).argmin(1)]
        expected = (signal / sigma) ** 2 * (fresh - nearest).double().square().flatten(1).mean(1)
        np.testing.assert_allclose(row["values"], expected, rtol=1e-3)
