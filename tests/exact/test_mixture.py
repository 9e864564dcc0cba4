"""The Gaussian-mixture world against sums over a grid, against its limits, against derivatives, and by sampling."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare, norm
from torch import Tensor

from twinsplit.diffusion.continuous import VarianceClock
from twinsplit.diffusion.denoiser import Gaussian
from twinsplit.diffusion.sampler import DDIM, Ancestral, Sampler, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.mixture import GaussianMixture, MixtureDenoiser
from twinsplit.exact.mixture_posterior import MixturePosterior, row_names, tiled
from twinsplit.exact.point_masses import PointMasses, PointPosterior
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(1000)
WEIGHTS = torch.tensor([5.0, 3.0, 2.0])
LINE = GaussianMixture(WEIGHTS, torch.tensor([[-1.5], [0.2], [1.4]]), torch.tensor([0.04, 0.3, 0.01]))
PLANE = GaussianMixture(
    torch.tensor([5.0, 3.0, 2.0]), torch.tensor([[-1.5, 0.4], [0.2, 1.6], [1.4, -0.9]]), torch.tensor([0.04, 0.3, 0.02])
)
TWIN = GaussianMixture(WEIGHTS.flip(0), LINE.means + 0.2, 0.1)
IMAGES = GaussianMixture.random(4, (2, 3, 3), 0.8, 0.2, 7)


def states(mixture: GaussianMixture, t: int, n: int, seed: int = 0) -> Tensor:
    x_0 = mixture.sample(n, Noise(seed))
    return SCHEDULE.noised(x_0, t, Noise(seed, "eps").normal(t, torch.arange(n), mixture.shape))


def grid_around(x_t: Tensor, t: int, points: int) -> tuple[Tensor, Tensor]:
    """A (points^D, D) grid that holds all but 1e-20 of the posterior, and the volume of a cell."""
    signal, sigma = (float(v) for v in SCHEDULE.scales(t))
    reach = min(10 * sigma / signal, 8.0)
    centre = x_t / signal if 10 * sigma / signal < 8.0 else torch.zeros_like(x_t)
    axes = [torch.linspace(float(c) - reach, float(c) + reach, points, dtype=torch.float64) for c in centre]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)), axes[0].diff()[:1].prod() ** len(axes)


def brute_force(mixture: GaussianMixture, x_t: Tensor, t: int, points: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Grid, log posterior on it, mean, total variance and log p(x_t), from Bayes' rule and the law written out."""
    grid, cell = grid_around(x_t, t, points)
    signal, sigma = SCHEDULE.scales(t)
    components = [
        w * torch.exp(-((grid - m) ** 2).sum(-1) / (2 * v)) / (2 * torch.pi * v) ** (grid.shape[1] / 2)
        for w, m, v in zip(mixture.weights, mixture.means, mixture.variances, strict=True)
    ]
    likelihood = torch.exp(-((x_t - signal * grid) ** 2).sum(-1) / (2 * sigma**2)) / (2 * torch.pi * sigma**2) ** (grid.shape[1] / 2)
    joint = sum(components) * likelihood * cell
    weight = joint / joint.sum()
    mean = weight @ grid
    return grid, (weight / cell).log(), mean, weight @ (grid - mean).square().sum(-1), joint.sum().log()


@pytest.mark.parametrize(
    ("mixture", "t", "points"),
    [(LINE, 1, 2001), (LINE, 60, 2001), (LINE, 300, 4001), (LINE, 1000, 4001), (PLANE, 1, 301), (PLANE, 120, 401), (PLANE, 700, 601)],
)
def test_the_posterior_is_bayes_rule_on_a_grid(mixture: GaussianMixture, t: int, points: int) -> None:
    denoiser = MixtureDenoiser(mixture, SCHEDULE)
    for x_t in states(mixture, t, 3):
        grid, log_posterior, mean, variance, log_evidence = brute_force(mixture, x_t, t, points)
        posterior = denoiser(x_t[None], t)
        torch.testing.assert_close(posterior.mean[0], mean, rtol=0, atol=1e-9)
        torch.testing.assert_close(posterior.total_variance[0], variance, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(denoiser.log_density(x_t[None], t)[0], log_evidence, rtol=0, atol=1e-9)
        likely = log_posterior > log_posterior.max() - 20
        chosen = grid[likely][:: max(1, int(likely.sum()) // 50)]
        found = denoiser(x_t.expand(len(chosen), -1), t).log_prob(chosen)
        torch.testing.assert_close(found, log_posterior[likely][:: max(1, int(likely.sum()) // 50)], rtol=0, atol=1e-8)


@pytest.mark.parametrize("t", [1, 30, 200, 600, 1000])
def test_without_variance_it_is_the_point_masses(t: int) -> None:
    points = IMAGES.means.flatten(1)
    world = PointMasses(points, VarianceClock())
    nearly = MixtureDenoiser(GaussianMixture.of_images(IMAGES.means, 1e-14), SCHEDULE)
    x_t = states(IMAGES, t, 20)
    noise_variance = float(1 - SCHEDULE.alpha_bar[t])
    exact: PointPosterior = world(x_t.flatten(1), noise_variance)
    torch.testing.assert_close(nearly(x_t, t).mean.flatten(1), exact.mean, rtol=0, atol=1e-8)
    torch.testing.assert_close(nearly(x_t, t).log_weights, exact.log_weights, rtol=1e-7, atol=1e-6)
    torch.testing.assert_close(nearly.log_density(x_t, t), world.log_density(x_t.flatten(1), noise_variance), rtol=1e-8, atol=0)


@pytest.mark.parametrize("t", [1, 200, 1000])
@pytest.mark.parametrize("variance", [0.1, 4.0])
def test_one_component_is_the_wiener_filter(t: int, variance: float) -> None:
    mixture = GaussianMixture.of_images(IMAGES.means[:1], variance)
    x_t, (signal, sigma) = states(mixture, t, 6), SCHEDULE.scales(t)
    gain = signal * variance / (signal**2 * variance + sigma**2)
    wiener = Gaussian(mixture.means + gain * (x_t - signal * mixture.means), (1 - gain * signal) * variance)
    posterior, x_0 = MixtureDenoiser(mixture, SCHEDULE)(x_t, t), mixture.sample(6, Noise(3))
    torch.testing.assert_close(posterior.mean, wiener.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(posterior.log_prob(x_0), wiener.log_prob(x_0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(posterior.total_variance, wiener.variance.expand(6) * 18, rtol=1e-9, atol=0)
    elsewhere = Gaussian(wiener.mean + 0.3, 2 * wiener.variance)
    estimate = posterior.kl_estimate(elsewhere)
    torch.testing.assert_close(estimate.value, wiener.kl(elsewhere), rtol=1e-9, atol=1e-9)
    assert torch.equal(estimate.error, torch.zeros(6).double())


@pytest.mark.parametrize("t", [1, 40, 400, 1000])
def test_the_score_is_the_gradient_of_the_log_density(t: int) -> None:
    denoiser = MixtureDenoiser(IMAGES, SCHEDULE)
    x_t = states(IMAGES, t, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(denoiser.log_density(x_t, t).sum(), x_t)
    sigma = float(SCHEDULE.scales(t)[1])
    torch.testing.assert_close(denoiser.score(x_t.detach(), t), gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(denoiser.noise_prediction(x_t.detach(), t), -sigma * gradient, rtol=1e-9, atol=1e-9)


def test_times_may_differ_from_row_to_row() -> None:
    denoiser, times = MixtureDenoiser(IMAGES, SCHEDULE), torch.tensor([1, 500, 1000])
    x_t = torch.cat([states(IMAGES, int(t), 1) for t in times])
    for row, t in enumerate(times.tolist()):
        alone = slice(row, row + 1)
        torch.testing.assert_close(denoiser(x_t, times).mean[alone], denoiser(x_t[alone], t).mean, rtol=0, atol=1e-13)
        torch.testing.assert_close(denoiser.score(x_t, times)[alone], denoiser.score(x_t[alone], t), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(denoiser.log_density(x_t, times)[alone], denoiser.log_density(x_t[alone], t), rtol=1e-13, atol=0)


@pytest.mark.parametrize("T", [1000, 200_000])
def test_far_components_and_little_noise_lose_nothing(T: int) -> None:
    """Components 10^4 apart, sigma^2 down to 5e-7: the exponents reach -10^14, and the answer is still one component's Wiener filter."""
    schedule = Schedule.diffusion_lm(T)
    means = torch.tensor([[-1e4, 0.0], [1e4, 0.0], [0.0, 1e4]]).double()
    denoiser = MixtureDenoiser(GaussianMixture(torch.tensor([1.0, 1e-30, 1.0]), means, 0.5), schedule)
    for t in (1, 2, T // 10):
        signal, sigma = (float(v) for v in schedule.scales(t))
        x_t = signal * (means + 0.3) + 0.7 * sigma
        total = 0.5 * signal**2 + sigma**2
        posterior = denoiser(x_t, t)
        torch.testing.assert_close(posterior.mean, means + signal * 0.5 / total * (x_t - signal * means), rtol=1e-14, atol=1e-9)
        torch.testing.assert_close(denoiser.score(x_t, t), -(x_t - signal * means) / total, rtol=1e-5, atol=1e-5)
        expected = denoiser.mixture.weights.log() - (x_t - signal * means).square().sum(1) / (2 * total) - np.log(2 * np.pi * total)
        torch.testing.assert_close(denoiser.log_density(x_t, t), expected, rtol=1e-9, atol=1e-9)
        assert bool(posterior.log_prob(means).isfinite().all())


def test_components_without_weight_do_not_exist() -> None:
    padded = GaussianMixture(torch.tensor([0.0, *LINE.weights, 0.0]), torch.cat([LINE.means[:1], LINE.means, LINE.means[:1]]), 0.1)
    plain = GaussianMixture(LINE.weights, LINE.means, 0.1)
    x_t = states(plain, 100, 5)
    first, second = (MixtureDenoiser(m, SCHEDULE)(x_t, 100) for m in (padded, plain))
    torch.testing.assert_close(first.mean, second.mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(first.log_prob(x_t), second.log_prob(x_t), rtol=1e-13, atol=0)
    assert set(padded.labels(1000, Noise(0)).tolist()) == {1, 2, 3}


def labels(x: Tensor) -> Tensor:
    """The most likely component of each sample of PLANE, whose components lie 4 standard deviations from one another's edge."""
    return PLANE.log_joint(x, torch.ones(()), torch.zeros(())).argmax(1)


def draw(sampler: Sampler | None, n: int) -> Tensor:
    if sampler is None:
        return PLANE.sample(n, Noise(5))
    return sampler(MixtureDenoiser(PLANE, SCHEDULE), Noise(5, "x_T").normal(1000, torch.arange(n), (2,)), Noise(5))


@pytest.mark.parametrize(
    "sampler", [None, Ancestral(SCHEDULE), DDIM(SCHEDULE, strided_times(1000, 500))], ids=["direct", "ancestral", "DDIM"]
)
def test_samples_have_the_weights_and_moments_of_the_mixture(sampler: Sampler | None) -> None:
    """4,000 samples of a fixed seed: 13 tests, each of level 1e-4, so that a right sampler fails for about one seed in 800.

    The sampler's own error (a last step without noise, T finite) is below 1% of a variance; the tests resolve 12% to 20%.
    """
    n, level = 4_000, 1e-4
    x = draw(sampler, n)
    found = labels(x)
    assert chisquare(np.bincount(found, minlength=3), n * PLANE.weights.numpy()).pvalue > level
    for k, (centre, variance) in enumerate(zip(PLANE.means, PLANE.variances, strict=True)):
        members = x[found == k] - centre
        bound = norm.isf(level / 2) * (variance / len(members)) ** 0.5
        assert bool((members.mean(0).abs() < bound).all())
        low, high = chi2.ppf([level / 2, 1 - level / 2], len(members))
        scaled = members.square().sum(0) / variance
        assert bool(((low < scaled) & (scaled < high)).all())


def test_the_loss_of_the_best_denoiser_is_its_total_variance() -> None:
    """E |x_0 - mean|^2 over 5,000 pairs of a fixed seed, in standard errors of the difference: 4 of them is one seed in 16,000."""
    t, n = 150, 5_000
    x_0, x_t = IMAGES.sample(n, Noise(0)), states(IMAGES, t, n)
    posterior = MixtureDenoiser(IMAGES, SCHEDULE)(x_t, t)
    difference = (x_0 - posterior.mean).square().flatten(1).sum(1) - posterior.total_variance
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / n**0.5


def twins(t: int, n: int) -> tuple[MixturePosterior, MixturePosterior, Tensor]:
    x_t = states(LINE, t, n)
    return MixtureDenoiser(LINE, SCHEDULE)(x_t, t), MixtureDenoiser(TWIN, SCHEDULE)(x_t, t), x_t


def integrated(x_t: Tensor, t: int) -> Tensor:
    """(n,) divergence of LINE's posterior from its twin's, each a sum over a grid."""
    sums = []
    for row in x_t:
        grid, log_posterior, *_ = brute_force(LINE, row, t, 4001)
        theirs = MixtureDenoiser(TWIN, SCHEDULE)(row.expand(len(grid), -1), t).log_prob(grid)
        ratio = torch.where(log_posterior > -700, log_posterior - theirs, 0.0)
        sums.append((log_posterior.exp() * grid.diff(dim=0)[0] * ratio).sum())
    return torch.stack(sums)


@pytest.mark.parametrize(("t", "pairs"), [(60, 64), (300, 4096), (800, 64)])
def test_the_estimated_divergence_is_the_integral(t: int, pairs: int) -> None:
    """12 rows, each within 5 of its standard errors: a right estimate fails for about one seed in 10^5."""
    first, second, x_t = twins(t, 12)
    estimate = first.kl_estimate(second, pairs)
    assert bool(((estimate.value - integrated(x_t, t)).abs() < 5 * estimate.error + 1e-9).all())
    assert torch.equal(first.kl(second), first.kl_estimate(second, 64).value)


def test_few_draws_are_unbiased() -> None:
    """Two pairs of draws, 1,000 times over; 6 rows, each within 5 standard errors of the integral: one seed in 10^5 fails."""
    first, second, x_t = twins(300, 6)
    few = torch.stack([first.kl_estimate(second, 2, Noise(seed)).value for seed in range(1000)])
    exact, error = integrated(x_t, 300), few.std(0) / 1000**0.5
    assert bool(((few.mean(0) - exact).abs() < 5 * error).all())
    assert float((error / exact).max()) < 0.1


def test_more_draws_make_the_divergence_surer() -> None:
    first, second, _ = twins(300, 12)
    errors = [float(first.kl_estimate(second, pairs).error.mean()) for pairs in (16, 64, 1024)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] == pytest.approx(errors[1] / 4, rel=0.3)


def test_a_divergence_does_not_depend_on_the_batch() -> None:
    first, second, x_t = twins(300, 12)
    other = MixtureDenoiser(TWIN, SCHEDULE)
    part = MixtureDenoiser(LINE, SCHEDULE)(x_t[4:7], 300).kl(other(x_t[4:7], 300))
    torch.testing.assert_close(part, first.kl(second)[4:7], rtol=0, atol=1e-12)
    assert len(set(row_names(x_t).tolist())) == 12


def test_a_posterior_does_not_diverge_from_itself() -> None:
    posterior, *_ = twins(300, 12)
    assert torch.equal(posterior.kl(posterior), torch.zeros(12).double())


def test_a_gaussian_far_wider_is_far() -> None:
    """The oracle against a network's Gaussian posterior: mixture first, Gaussian second."""
    posterior, _, x_t = twins(300, 12)
    wide, wider = (posterior.kl(Gaussian(x_t, torch.tensor(v))) for v in (1.0, 100.0))
    assert bool((wider > wide).all())
    with pytest.raises(InputError, match="PointPosterior"):
        posterior.kl(PointPosterior(torch.zeros(1, 1), torch.zeros(1, 1)))
    with pytest.raises(InputError, match="at least 2"):
        posterior.kl_estimate(posterior, pairs=1)


@given(st.integers(1, 1000), st.integers(1, 6), st.integers(0, 5), st.permutations(range(4)))
def test_the_order_of_components_and_the_batch_do_not_matter(t: int, n: int, seed: int, order: list[int]) -> None:
    shuffled = GaussianMixture(IMAGES.weights[order], IMAGES.means[order], IMAGES.variances[order])
    x_t = states(IMAGES, t, n, seed)
    posterior = MixtureDenoiser(IMAGES, SCHEDULE)(x_t, t)
    torch.testing.assert_close(MixtureDenoiser(shuffled, SCHEDULE)(x_t, t).mean, posterior.mean, rtol=0, atol=1e-11)
    torch.testing.assert_close(posterior.log_weights.exp().sum(1), torch.ones(n).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(MixtureDenoiser(IMAGES, SCHEDULE)(x_t[-1:], t).mean, posterior.mean[-1:], rtol=0, atol=1e-12)


def test_samples_are_keyed_by_their_names() -> None:
    whole = IMAGES.sample(10, Noise(1))
    assert torch.equal(IMAGES.sample(3, Noise(1), torch.tensor([7, 2, 9])), whole[[7, 2, 9]])
    assert torch.equal(GaussianMixture.random(9, (2, 3, 3), 0.8, 0.2, 7).means[:4], IMAGES.means)
    assert not torch.equal(GaussianMixture.random(4, (2, 3, 3), 0.8, 0.2, 8).means, IMAGES.means)
    with pytest.raises(InputError, match="give as many"):
        IMAGES.sample(2, Noise(1), torch.arange(3))


@pytest.mark.parametrize(("n", "sites"), [(7, 3), (5, 1 << 14), (3, 1 << 16), (40_000, 1), (0, 4)])
def test_tiles_cover_the_table_once(n: int, sites: int) -> None:
    table, sizes = torch.arange(n * 11).reshape(n, 11), []

    def part(rows: slice, columns: slice) -> Tensor:
        sizes.append(table[rows, columns].numel() * sites)
        return table[rows, columns]

    assert torch.equal(tiled(torch.zeros(n, sites), 11, part), table)
    assert max(sizes) <= max(1 << 15, sites)


@pytest.mark.parametrize(
    ("weights", "means", "variance", "words"),
    [
        (torch.ones(2), torch.zeros(3, 1), 1.0, r"\(K,\) and \(K, ...\)"),
        (torch.ones(2), torch.zeros(2), 1.0, r"\(K, ...\)"),
        (torch.ones(0), torch.zeros(0, 2), 1.0, "at least 1"),
        (torch.ones(2), torch.zeros(2, 1), torch.ones(3), r"or \(2,\)"),
        (torch.ones(2), torch.zeros(2, 1), 0.0, "EmpiricalImages"),
        (torch.ones(2), torch.zeros(2, 1), torch.tensor([1.0, -1.0]), "not positive"),
        (torch.tensor([1.0, -1.0]), torch.zeros(2, 1), 1.0, "negative"),
        (torch.zeros(2), torch.zeros(2, 1), 1.0, "all 0"),
        (torch.ones(2), torch.full((2, 1), torch.nan), 1.0, "not finite"),
    ],
)
def test_bad_mixtures_are_refused(weights: Tensor, means: Tensor, variance: Tensor | float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        GaussianMixture(weights, means, variance)


def test_bad_states_times_and_sizes_are_refused() -> None:
    denoiser = MixtureDenoiser(IMAGES, SCHEDULE)
    with pytest.raises(InputError, match=r"give \(n, 2, 3, 3\)"):
        denoiser(torch.zeros(1, 18), 5)
    with pytest.raises(InputError, match="nothing is hidden"):
        denoiser(torch.zeros(1, 2, 3, 3), 0)
    with pytest.raises(InputError, match="outside"):
        denoiser(torch.zeros(1, 2, 3, 3), 1001)
    with pytest.raises(InputError, match="at least 1"):
        GaussianMixture.random(0, (1,), 1.0, 1.0, 0)
