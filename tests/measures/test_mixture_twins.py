"""Image measures on twins whose every answer is known: Gaussian-mixture denoisers, and memorizers of disjoint splits.

A Gaussian N(m, v) has noise prediction sigma (x_t - signal m) / V with V = signal^2 v + sigma^2; twins with means m - d and m + d then
differ by 2 signal sigma d / V everywhere, and with u = x_t - signal m their cosine similarity is
(|u|^2 - signal^2 |d|^2) / (|u + signal d| |u - signal d|), which for data of the mean m and many pixels D tends to
(V - signal^2 |d|^2 / D) / (V + signal^2 |d|^2 / D).
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.sampler import DDIM, Ancestral, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.empirical_images import EmpiricalImages
from twinsplit.exact.mixture import GaussianMixture, MixtureDenoiser
from twinsplit.measures.features import fid
from twinsplit.measures.frechet import frechet_distance
from twinsplit.measures.memorization import gap_ratio
from twinsplit.measures.similarity import blockwise_nearest, cosine_similarity, mean_squared_difference
from twinsplit.measures.two_sample import nearest_neighbour_two_sample
from twinsplit.noise.reference import Noise

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


def test_frechet_distance_of_two_gaussians_of_images() -> None:
    """|m - m'|^2 + D (sqrt v - sqrt v')^2. At n = 4,000 it errs by 0.0008 (one deviation) and is biased by 0.0003."""
    pytest.importorskip("torchmetrics")
    shape, first, second = (1, 4, 4), 0.01, 0.0064
    centre = torch.full((1, *shape), 0.5, dtype=torch.float64)
    worlds = GaussianMixture.of_images(centre, first), GaussianMixture.of_images(centre + 0.05, second)
    images = [world.sample(4_000, Noise(seed, "frechet")).clamp(0, 1) for seed, world in enumerate(worlds)]
    expected = 16 * (0.05**2 + (first**0.5 - second**0.5) ** 2)
    assert frechet_distance(*(part.flatten(1) for part in images)) == pytest.approx(expected, abs=0.0043)
    assert fid(images[0].float(), images[1].float(), torch.nn.Flatten()) == pytest.approx(expected, abs=0.0043)


def test_frechet_distance_sees_a_second_component_as_spread() -> None:
    """Two components 2 apart have variance v + 1 along the line between them: (sqrt(v + 1) - sqrt v)^2, biased by 0.008 at n = 4,000."""
    shape = (1, 4, 4)
    towards = torch.nn.functional.normalize(Noise(1, "towards").normal(0, torch.arange(1), shape).flatten(1)).reshape(1, *shape)
    both = GaussianMixture.of_images(torch.cat([-towards, towards]), VARIANCE)
    one = GaussianMixture.of_images(torch.zeros(1, *shape, dtype=torch.float64), VARIANCE)
    found = frechet_distance(*(world.sample(4_000, Noise(seed, "both")).flatten(1) for seed, world in enumerate((both, one))))
    assert found == pytest.approx(((VARIANCE + 1) ** 0.5 - VARIANCE**0.5) ** 2, abs=0.05)


GROUPS, EACH, SMALL = 10, 40, (1, 4, 4)
MIXTURE = GaussianMixture.random(2, SMALL, 1.0, VARIANCE, 4)


def p_values(denoiser: Denoiser[Any], training: Tensor, steps: int = 1_000) -> dict[str, list[float]]:
    """Of ten groups of 40 samples by the reverse process, each against 40 held-out images of its own, given the training images."""
    ids = torch.arange(GROUPS * EACH)
    x_T = Noise(10).normal(1000, ids, SMALL)
    generated = Ancestral(SCHEDULE, strided_times(1000, steps))(denoiser, x_T, Noise(11))
    fresh = MIXTURE.sample(len(ids), Noise(12))
    pairs = zip(generated.split(EACH), fresh.split(EACH), strict=True)
    found = [nearest_neighbour_two_sample(a, training, b, draws=39, seed=i) for i, (a, b) in enumerate(pairs)]
    return {name: [getattr(one, name).p_value for one in found] for name in ("closer", "coincidence")}


def test_samples_of_the_exact_denoiser_are_not_told_from_held_out_images() -> None:
    """The level: p <= 0.05 with probability 0.05 or less; 5 or more of 10 groups have a probability below 7e-5."""
    found = p_values(MixtureDenoiser(MIXTURE, SCHEDULE), MIXTURE.sample(50, Noise(13)))
    assert all(sum(p <= 0.05 for p in values) < 5 for values in found.values())
    assert all(max(values) > 0.2 for values in found.values())


def test_samples_of_too_few_steps_lie_too_close() -> None:
    """The exact denoiser in 100 strides of 10 loses a seventh of the variance within components (the bridge's is a lower bound), which
    samples of 40 already show: in 5 groups of 10 where chance gives so many once in 14,000 times."""
    found = p_values(MixtureDenoiser(MIXTURE, SCHEDULE), MIXTURE.sample(50, Noise(13)), steps=100)
    assert sum(p <= 0.05 for p in found["closer"]) >= 5


def test_memorizers_and_missing_components_are_told_from_held_out_images() -> None:
    """The power: a memorizer by closeness in every group, a model of one component of two by coincidence in most (5 by chance: 7e-5)."""
    training = MIXTURE.sample(50, Noise(13))
    assert p_values(EmpiricalImages(training, SCHEDULE), training)["closer"] == [1 / 40] * GROUPS
    half = MixtureDenoiser(GaussianMixture.of_images(MIXTURE.means[:1], VARIANCE), SCHEDULE)
    assert sum(p <= 0.05 for p in p_values(half, training)["coincidence"]) >= 5
