"""Image measures on twins whose every answer is known: Gaussian-mixture denoisers, and memorizers of disjoint splits.

A Gaussian N(m, v) has noise prediction sigma (x_t - signal m) / V with V = signal^2 v + sigma^2; twins with means m - d and m + d then
differ by 2 signal sigma d / V everywhere, and with u = x_t - signal m their cosine similarity is
(|u|^2 - signal^2 |d|^2) / (|u + signal d| |u - signal d|), which for data of the mean m and many pixels D tends to
(V - signal^2 |d|^2 / D) / (V + signal^2 |d|^2 / D).
"""

import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.sampler import DDIM, Ancestral, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.empirical_images import EmpiricalImages
from twinsplit.exact.mixture import GaussianMixture, MixtureDenoiser
from twinsplit.measures.memorization import gap_ratio
from twinsplit.measures.similarity import blockwise_nearest, cosine_similarity, mean_squared_difference
from twinsplit.noise import Noise

SCHEDULE = Schedule.diffusion_lm(1000)
SHAPE, PIXELS, VARIANCE = (1, 32, 32), 1024, 0.3
MIDDLE = Noise(0, "mean").normal(0, torch.arange(1), SHAPE)
APART = 0.4 * Noise(0, "difference").normal(0, torch.arange(1), SHAPE)
IDS = torch.arange(40)


def denoiser(*means: Tensor) -> MixtureDenoiser:
    return MixtureDenoiser(GaussianMixture.of_images(torch.cat(means), VARIANCE), SCHEDULE)


def states(world: MixtureDenoiser, t: int) -> Tensor:
    return SCHEDULE.noised(world.mixture.sample(len(IDS), Noise(1)), t, Noise(2).normal(t, IDS, SHAPE))


@pytest.mark.parametrize("t", [1, 50, 100, 150, 200, 500, 800])
def test_noise_predictions_of_twins_are_as_alike_as_the_closed_form_says(t: int) -> None:
    signal, sigma = SCHEDULE.scales(t)
    total = signal**2 * VARIANCE + sigma**2
    x_t = states(denoiser(MIDDLE), t)
    twins = [denoiser(MIDDLE + sign * APART).noise_prediction(x_t, t) for sign in (-1, 1)]
    u, shift = (x_t - signal * MIDDLE).flatten(1), (signal * APART).flatten(1)
    exact = (u.square().sum(1) - shift.square().sum()) / ((u + shift).norm(dim=1) * (u - shift).norm(dim=1))
    torch.testing.assert_close(cosine_similarity(*twins), exact, rtol=0, atol=1e-11)
    gap = (2 * sigma / total) ** 2 * shift.square().sum() / PIXELS
    torch.testing.assert_close(mean_squared_difference(*twins), gap.expand(len(x_t)), rtol=1e-9, atol=0)
    noise = shift.square().sum() / PIXELS
    assert float(exact.mean()) == pytest.approx(float((total - noise) / (total + noise)), abs=0.01)


def test_twins_agree_where_they_know_the_same_and_only_there() -> None:
    """Two mixtures that share one component; at t = 50 each state belongs to one, and is treated as that Gaussian would treat it."""
    t, shared = 50, MIDDLE + 3.0
    first, second = denoiser(shared, MIDDLE - APART), denoiser(shared, MIDDLE + APART)
    known, disputed = states(denoiser(shared), t), states(denoiser(MIDDLE), t)
    same = cosine_similarity(first.noise_prediction(known, t), second.noise_prediction(known, t))
    torch.testing.assert_close(same, torch.ones(40).double(), rtol=0, atol=1e-12)
    apart = [d.noise_prediction(disputed, t) for d in (first, second)]
    alone = [denoiser(MIDDLE + sign * APART).noise_prediction(disputed, t) for sign in (-1, 1)]
    torch.testing.assert_close(cosine_similarity(*apart), cosine_similarity(*alone), rtol=0, atol=1e-12)
    assert float(cosine_similarity(*apart).max()) < 0.9


def test_samples_of_twins_approach_the_flow_of_a_gaussian() -> None:
    """From one x_T the exact flow ends at m_i + sqrt(v / V_T) (x_T - signal_T m_i); DDIM's distance from it falls as 1 / steps."""
    signal, sigma = SCHEDULE.scales(1000)
    ratio = (VARIANCE / (signal**2 * VARIANCE + sigma**2)).sqrt()
    means = [MIDDLE + sign * APART for sign in (-1, 1)]
    x_T = Noise(3).normal(1000, IDS, SHAPE)
    ends = [m + ratio * (x_T - signal * m) for m in means]
    errors = []
    for steps in (125, 250, 500):
        found = [DDIM(SCHEDULE, strided_times(1000, steps))(denoiser(m), x_T, Noise(0)) for m in means]
        errors.append(float((cosine_similarity(*found) - cosine_similarity(*ends)).abs().max()))
    assert errors[2] < 5e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


def test_memorizers_of_disjoint_splits_share_the_coarse_and_recite_their_own() -> None:
    """Alike at t = 900, where a state hides which image it was; unlike at t = 100; their samples are copies by the gap ratio."""
    world = GaussianMixture.random(1, (1, 6, 6), 1.0, 0.5, 0)
    data, x_T = world.sample(64, Noise(5)), Noise(6).normal(1000, IDS, (1, 6, 6))
    twins = [EmpiricalImages(part, SCHEDULE) for part in (data[:32], data[32:])]
    fresh = world.sample(40, Noise(7))
    alike = {}
    for t in (100, 900):
        x_t = SCHEDULE.noised(fresh, t, Noise(8).normal(t, IDS, (1, 6, 6)))
        alike[t] = float(cosine_similarity(*(twin.noise_prediction(x_t, t) for twin in twins)).mean())
    assert alike[900] > 0.999
    assert alike[100] < 0.7
    for twin in twins:
        samples = Ancestral(SCHEDULE, strided_times(1000, 100))(twin, x_T, Noise(9))
        assert float(gap_ratio(samples, twin.images).max()) < 1e-3
        assert float(blockwise_nearest(samples, twin.images, 1)[0].max()) < 1e-3
    assert float(gap_ratio(fresh, data).min()) > 1 / 3
