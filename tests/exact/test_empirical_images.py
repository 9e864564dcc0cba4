"""The memorizer of images against the definition, against point masses, and as the limit of a mixture."""

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twinsplit.diffusion.continuous import VarianceClock
from twinsplit.diffusion.denoiser import Gaussian
from twinsplit.diffusion.sampler import DDIM, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.empirical_images import EmpiricalImages
from twinsplit.exact.mixture import GaussianMixture, MixtureDenoiser
from twinsplit.exact.point_masses import PointMasses
from twinsplit.exact.streaming import SoftmaxSums, streamed_softmax
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(1000)
IMAGES = Noise(0, "images").normal(0, torch.arange(29), (1, 4, 4), torch.float32)
MEMORIZER = EmpiricalImages(IMAGES, SCHEDULE)
TIMES = [1, 40, 300, 700, 1000]


def states(t: int, n: int = 7, seed: int = 0) -> Tensor:
    return SCHEDULE.noised(IMAGES[:n].double(), t, Noise(seed, "eps").normal(t, torch.arange(n), (1, 4, 4)))


def point_masses(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """Mean (n, 16) and log weights (n, 29), from the points of the continuous-time world."""
    posterior = PointMasses(IMAGES.double().flatten(1), VarianceClock())(x_t.flatten(1), float(1 - SCHEDULE.alpha_bar[t]))
    return posterior.mean, posterior.log_weights


@pytest.mark.parametrize("t", TIMES)
def test_the_posterior_is_the_one_of_point_masses(t: int) -> None:
    x_t, posterior = states(t), MEMORIZER(states(t), t)
    mean, log_weights = point_masses(x_t, t)
    torch.testing.assert_close(posterior.mean.flatten(1), mean, rtol=0, atol=1e-9)
    for i in range(29):
        torch.testing.assert_close(posterior.log_prob(IMAGES[i].expand(7, 1, 4, 4)), log_weights[:, i], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("t", TIMES)
def test_it_is_a_mixture_of_no_variance(t: int) -> None:
    mixture = MixtureDenoiser(GaussianMixture.of_images(IMAGES, 1e-14), SCHEDULE)
    torch.testing.assert_close(MEMORIZER(states(t), t).mean, mixture(states(t), t).mean, rtol=0, atol=1e-8)


@given(st.integers(1, 40), st.sampled_from(TIMES), st.integers(0, 3))
def test_streaming_changes_nothing(chunk: int, t: int, seed: int) -> None:
    x_t = states(t, 5, seed)
    expected, found = MEMORIZER(x_t, t), EmpiricalImages(IMAGES, SCHEDULE, chunk)(x_t, t)
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.log_total, expected.log_total, rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_images_come_in_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def spy(queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor]]) -> SoftmaxSums:
        pairs = list(blocks)
        held.extend(len(values) for _, values in pairs)
        return streamed_softmax(queries, pairs)

    monkeypatch.setattr("twinsplit.exact.empirical_images.streamed_softmax", spy)
    EmpiricalImages(IMAGES, SCHEDULE, chunk)(states(300), 300)
    assert max(held) == min(chunk, 29)
    assert sum(held) == 29


def test_many_states_are_taken_in_blocks() -> None:
    x_t = Noise(1).normal(0, torch.arange(1100), (1, 4, 4))
    whole = MEMORIZER(x_t, 500).mean
    torch.testing.assert_close(whole[600:603], MEMORIZER(x_t[600:603], 500).mean, rtol=0, atol=1e-12)
    assert MEMORIZER(x_t[:0], 500).mean.shape == (0, 1, 4, 4)


def test_times_may_differ_from_row_to_row() -> None:
    times = torch.tensor([1, 300, 1000])
    x_t = torch.cat([states(int(t), 1) for t in times])
    for row, t in enumerate(times.tolist()):
        torch.testing.assert_close(MEMORIZER(x_t, times).mean[row], MEMORIZER(x_t[row : row + 1], t).mean[0], rtol=0, atol=1e-11)


def test_it_recites() -> None:
    """From any start, DDIM with the memorizer ends on a training image."""
    x_T = Noise(2).normal(1000, torch.arange(12), (1, 4, 4))
    ends = DDIM(SCHEDULE, strided_times(1000, 100))(MEMORIZER, x_T, Noise(0))
    nearest = torch.cdist(ends.flatten(1), IMAGES.double().flatten(1)).min(1)
    assert float(nearest.values.max()) < 1e-6
    assert len(set(nearest.indices.tolist())) > 3


def test_only_training_images_are_possible_and_copies_count() -> None:
    twice = EmpiricalImages(torch.cat([IMAGES, IMAGES[:1]]), SCHEDULE)
    posterior = twice(states(900), 900)
    total = sum(posterior.log_prob(image.expand(7, 1, 4, 4)).exp() for image in IMAGES)
    torch.testing.assert_close(total, torch.ones(7).double(), rtol=0, atol=1e-9)
    almost = IMAGES[:7].double() * (1 + 1e-12)  # equal once rounded to the float32 of the images, but not equal
    assert bool((posterior.log_prob(almost) == -torch.inf).all())


@pytest.mark.parametrize(("t", "s"), [(300, 300), (300, 350), (700, 200)])
def test_divergence_is_the_sum_over_images(t: int, s: int) -> None:
    first, second = MEMORIZER(states(t), t), MEMORIZER(states(s, 7, 1), s)
    (_, own), (_, theirs) = point_masses(states(t), t), point_masses(states(s, 7, 1), s)
    torch.testing.assert_close(first.kl(second), (own.exp() * (own - theirs)).sum(1), rtol=1e-8, atol=1e-8)
    assert float(first.kl(first).abs().max()) == 0


def test_divergence_between_other_supports_is_refused() -> None:
    first, second = (EmpiricalImages(part, SCHEDULE)(states(300), 300) for part in (IMAGES[:14], IMAGES[14:]))
    with pytest.raises(InputError, match="infinite"):
        first.kl(second)
    with pytest.raises(InputError, match="infinite"):
        first.kl(Gaussian(states(300), torch.tensor(1.0)))


@pytest.mark.parametrize(
    ("images", "chunk"),
    [(torch.zeros(0, 1, 4, 4), 1), (torch.zeros(4), 1), (torch.zeros(3, 1, 4, 4, dtype=torch.uint8), 1), (IMAGES, 0)],
)
def test_bad_images_are_refused(images: Tensor, chunk: int) -> None:
    with pytest.raises(InputError):
        EmpiricalImages(images, SCHEDULE, chunk)


def test_bad_states_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(n, 1, 4, 4\)"):
        MEMORIZER(torch.zeros(2, 16), 5)
    with pytest.raises(InputError, match="nothing is hidden"):
        MEMORIZER(torch.zeros(2, 1, 4, 4), 0)
