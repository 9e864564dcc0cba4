"""The best denoiser of discs against a sum over a grid of all five parameters, and the error of five parameters in low noise."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t, t

from twinsplit.data.synthetic import DiscImages, Floats
from twinsplit.errors import InputError
from twinsplit.exact.discs import FREEDOM, DiscPosterior, _log_student, best_errors
from twinsplit.noise.reference import Noise

TINY = DiscImages(6)
IDS = torch.arange(24)


def normals(size: int, ids: torch.Tensor = IDS) -> Floats:
    found: Floats = Noise(0, "z").normal(0, ids, (size, size)).numpy()
    return found


def by_grid(discs: DiscImages, noisy: Floats, sigma: float, fine: int = 20, greys: int = 30) -> Floats:
    """E[x | y] as a sum over fine^3 places and greys^2 greys, evenly spaced under the prior; no Gaussian is integrated."""
    u, v = (np.arange(fine) + 0.5) / fine, (np.arange(greys) + 0.5) / greys
    coverage = discs.coverage(discs.placed(np.stack(np.meshgrid(u, u, u), -1).reshape(-1, 3))).reshape(fine**3, -1)
    both = np.stack(np.meshgrid(v, v), -1).reshape(-1, 2)
    y, rest = noisy.ravel(), 1.0 - coverage
    square = lambda a, b: (a * b).sum(-1)[:, None]  # noqa: E731
    misfit = (
        y @ y
        - 2 * ((coverage @ y)[:, None] * both[:, 0] + (rest @ y)[:, None] * both[:, 1])
        + square(coverage, coverage) * both[:, 0] ** 2
        + square(rest, rest) * both[:, 1] ** 2
        + 2 * square(coverage, rest) * both[:, 0] * both[:, 1]
    )
    weights = np.exp(-(misfit - misfit.min()) / (2 * sigma**2))
    inside, outside = weights @ both[:, 0], weights @ both[:, 1]
    return ((inside @ coverage + outside @ rest) / weights.sum()).reshape(noisy.shape)


@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.8])
def test_importance_sampling_is_the_sum_over_a_grid(sigma: float) -> None:
    """Per pixel, to four times the particles' own error and the grid's (0.002, by which at most 20 and 14 places per axis differ)."""
    parameters, z = TINY.parameters(IDS), normals(6)
    for i in (0, 3, 5):
        noisy = TINY.draw(parameters[i : i + 1])[0, 0] + sigma * z[i]
        found = DiscPosterior(TINY, 12_000).denoise(noisy, sigma, parameters[i], Noise(1, "particles"), i)
        chance = np.sqrt(np.square(found.means[0] - found.means[1]).mean()) / 2
        assert chance < 0.006
        assert found.effective > 200
        off = np.sqrt(np.square(found.mean - by_grid(TINY, noisy, sigma)).mean())
        assert off < 4 * chance + 0.002
        assert np.sqrt(np.square(noisy - found.mean).mean()) > 10 * off  # what is compared is no identity


def test_the_centre_of_the_proposal_does_not_matter() -> None:
    parameters = TINY.parameters(IDS)
    noisy = TINY.draw(parameters[:1])[0, 0] + 0.5 * normals(6)[0]
    posterior, noise = DiscPosterior(TINY, 20_000), Noise(1, "particles")
    here, there = posterior.denoise(noisy, 0.5, parameters[0], noise, 0), posterior.denoise(noisy, 0.5, parameters[7], noise, 0)
    chance = np.sqrt(max(np.square(found.means[0] - found.means[1]).mean() for found in (here, there)))
    assert np.sqrt(np.square(here.mean - there.mean).mean()) < 4 * chance < 0.1


@pytest.mark.parametrize("size", [8, 16])
def test_in_low_noise_five_parameters_are_left(size: int) -> None:
    """The mean error of 24 images is 5 sigma^2 / pixels to four standard errors; a chi-square law of 5 degrees says how large these are."""
    discs, sigma = DiscImages(size), 2 / 255
    errors, effective = best_errors(DiscPosterior(discs, 1_024), IDS, normals(size), sigma, Noise(1, "particles"))
    assert effective.min() > 20
    freedom = errors * size**2 / sigma**2
    assert abs(freedom.mean() - 5) < 4 * (2 * 5 / len(IDS)) ** 0.5


def test_errors_are_orthogonal_to_estimates() -> None:
    """E[(x - m(y)) m(y)] = 0 for the posterior mean m and for no scaled version of it; halves keep chance out of the product."""
    ids, sigma = torch.arange(200), 0.7
    discs = DiscImages(6)
    posterior, noise, z = DiscPosterior(discs, 512), Noise(1, "particles"), normals(6, ids)
    products = []
    for x, n, centre, i in zip(discs.images(ids)[:, 0], z, discs.parameters(ids), ids.tolist(), strict=True):
        first, second = posterior.denoise(x + sigma * n, sigma, centre, noise, i).means
        products.append([((x - a * first) * second).mean() for a in (1.0, 0.8, 1.2)])
    mean, error = np.mean(products, 0), np.std(products, 0) / len(ids) ** 0.5
    assert abs(mean[0]) < 4 * error[0]
    assert mean[1] > 4 * error[1]
    assert mean[2] < -4 * error[2]


def test_an_image_has_the_same_answer_in_any_batch() -> None:
    posterior, noise, z = DiscPosterior(DiscImages(8), 64), Noise(1, "particles"), normals(8)
    together = best_errors(posterior, IDS[:4], z[:4], 0.1, noise)
    alone = best_errors(posterior, IDS[2:3], z[2:3], 0.1, noise)
    assert (together[0][2], together[1][2]) == (alone[0][0], alone[1][0])


def test_the_density_of_the_proposal_is_students() -> None:
    rng = np.random.default_rng(0)
    root = np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    offsets = rng.normal(size=(5, 3))
    assert np.allclose(_log_student(offsets, root), multivariate_t(np.zeros(3), root @ root.T, FREEDOM).logpdf(offsets))
    assert np.allclose(_log_student(offsets[:, :1], np.array([[2.0]])), t(FREEDOM, scale=2.0).logpdf(offsets[:, 0]))


def test_too_few_particles_are_refused() -> None:
    with pytest.raises(InputError):
        DiscPosterior(TINY, 4)
    noisy = np.full((6, 6), 50.0)  # no grey between 0 and 1 is near
    with pytest.raises(InputError, match="no particle explains"):
        DiscPosterior(TINY, 16).denoise(noisy, 1e-3, TINY.parameters(IDS)[0], Noise(1), 0)
