"""Our samplers against diffusers' schedulers and against the published code's own sample, on the same noise.

diffusers counts times from 0: its index t - 1 is our t. Each comparison is made with its tables computed in float64, where nothing is
left but the arithmetic and the samplers agree to 1e-9 (at the last step diffusers keeps a variance of 1e-20 where there is none, which
moves x by 4e-10); and with its tables as they are, float32, which our schedule then takes over. DDIM agrees to 1e-5 there too. DDPM's
weight of x_0 is 1 - alpha_bar_t / alpha_bar_s, which near t = 3 is 1e-4 and in float32 keeps four digits: its own two versions differ
by up to 1.05e-4 in one step at stride 1 (up to 3e-5 at the end of a path), and so do we from the first of them.
Comparisons from one state, step by step, tell which step is wrong;
comparisons of paths tell that the steps follow one another at the right times.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from reference import ddpm_small, shared
from toy import Toy, waves
from twinsplit.diffusion.sampler import DDIM, Ancestral, PublishedAncestral, Sampler, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(1000)
TOY = Toy(waves, SCHEDULE)
SHAPE = (2, 4, 4)
IDS = torch.arange(3)
DDPM_TOLERANCE = {"float32": 1.2e-4, "float64": 1e-9}
DDIM_TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


def normals(seed: int, t: int) -> Tensor:
    return Noise(seed).normal(t, IDS, SHAPE)


def scheduler(name: str, tables: str, spacing: str, steps: int) -> Any:
    """A scheduler of diffusers with DDPM's betas and no clipping, its tables as they are or computed in float64."""
    diffusers = pytest.importorskip("diffusers")
    made = getattr(diffusers, name)(1000, 1e-4, 0.02, "linear", clip_sample=False, timestep_spacing=spacing)
    if tables == "float64":
        made.alphas_cumprod = SCHEDULE.alpha_bar[1:]
        made.one = made.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    made.set_timesteps(steps)
    return made


def schedule_of(theirs: Any) -> Schedule:
    """Our schedule with its table."""
    return Schedule(torch.cat([torch.ones(1, dtype=torch.float64), theirs.alphas_cumprod.double()]))


def our_times(theirs: Any) -> tuple[int, ...]:
    return (*(int(t) + 1 for t in theirs.timesteps), 0)


def ddpm_steps(theirs: Any, monkeypatch: pytest.MonkeyPatch, x: Tensor) -> Iterator[Tensor]:
    """Its states along the path from x, with our noise in the place of its generator's."""
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    for t in theirs.timesteps:
        monkeypatch.setattr(module, lambda shape, t=t, **_: normals(1, int(t) + 1))
        x = theirs.step(waves(x, int(t) + 1), t, x).prev_sample
        yield x


def ddim_steps(theirs: Any, eta: float, x: Tensor) -> Iterator[Tensor]:
    for t in theirs.timesteps:
        x = theirs.step(waves(x, int(t) + 1), int(t), x, eta=eta, variance_noise=normals(1, int(t) + 1) if eta else None).prev_sample
        yield x


def assert_same_path(ours: Sampler, theirs: list[Tensor], x_T: Tensor, tolerance: float) -> None:
    """Step by step, each from the state that diffusers had; then from x_T to the end in one call."""
    times, toy = ours.times, Toy(waves, ours.schedule)
    for (t, s), before, after in zip(pairwise(times), [x_T, *theirs], theirs, strict=False):
        found = ours.step(before, toy(before, t).mean, t, s, normals(1, t))
        torch.testing.assert_close(found, after, rtol=0, atol=tolerance, msg=lambda text, t=t: f"t = {t}: {text}")
    end = ours(toy, x_T, Noise(1), start=times[0], sample_ids=IDS)
    torch.testing.assert_close(end, theirs[-1], rtol=0, atol=min(tolerance, 5e-5))


@pytest.mark.parametrize("tables", DDPM_TOLERANCE)
@pytest.mark.parametrize(
    ("spacing", "steps"),
    [("trailing", 1000), ("trailing", 50), ("trailing", 300), ("trailing", 8), ("leading", 50), ("linspace", 20)],
)
def test_ancestral_is_ddpm(tables: str, spacing: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = scheduler("DDPMScheduler", tables, spacing, steps)
    x_T = normals(0, 1000)
    states = list(ddpm_steps(theirs, monkeypatch, x_T))
    assert_same_path(Ancestral(schedule_of(theirs), our_times(theirs)), states, x_T, DDPM_TOLERANCE[tables])


@pytest.mark.parametrize("tables", DDIM_TOLERANCE)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("spacing", "steps"), [("trailing", 50), ("trailing", 8), ("leading", 50), ("trailing", 1000)])
def test_ddim_is_ddim(tables: str, eta: float, spacing: str, steps: int) -> None:
    theirs = scheduler("DDIMScheduler", tables, spacing, steps)
    x_T = normals(0, 1000)
    assert_same_path(DDIM(schedule_of(theirs), our_times(theirs), eta), list(ddim_steps(theirs, eta, x_T)), x_T, DDIM_TOLERANCE[tables])


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler"])
@pytest.mark.parametrize("steps", [1000, 125, 50, 8])
def test_our_strides_are_the_trailing_ones(name: str, steps: int) -> None:
    """Where the number of steps divides T; elsewhere diffusers rounds a sum of steps, so that the times differ by one here and there."""
    assert our_times(scheduler(name, "float32", "trailing", steps)) == strided_times(1000, steps)


def published_path(arrays: dict[str, Any], sampler: Sampler) -> Tensor:
    """x_0 from the reference's start and noises (in order of use) with its network, eps = 0.3 x."""
    x, noise = (torch.from_numpy(arrays[name]).double() for name in ("ddpm_x_T", "ddpm_noise"))
    toy = Toy(lambda state, _: 0.3 * state, SCHEDULE)
    for t in range(1000, 0, -1):
        z = noise[1000 - t] if t > 2 else torch.full_like(x, torch.nan)
        x = sampler.step(x, toy(x, t).mean, t, t - 1, z)
    return x


@pytest.mark.parametrize("arrays", [ddpm_small, lambda: shared("images.npz")], ids=["small", "full"])
def test_the_published_variant_gives_the_published_sample(arrays: Any) -> None:
    """A thousand steps of float32 there: what comes out, up to 29 in size, has 3e-6 of rounding in it, and we ask for 1e-5."""
    found = published_path(arrays(), PublishedAncestral(SCHEDULE))
    expected = torch.from_numpy(arrays()["ddpm_x_0"]).double()
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_the_published_betas_are_ours() -> None:
    beta = 1 - SCHEDULE.alpha_bar[1:] / SCHEDULE.alpha_bar[:-1]
    torch.testing.assert_close(beta, torch.from_numpy(ddpm_small()["ddpm_beta"]).double(), rtol=1e-6, atol=0)


def test_the_published_variance_is_wider_and_its_last_two_steps_are_silent() -> None:
    x_t, x_0, z = (normals(seed, 0) for seed in (1, 2, 3))
    published, ours = PublishedAncestral(SCHEDULE), Ancestral(SCHEDULE)

    def spread(sampler: Sampler, t: int) -> float:
        moved = sampler.step(x_t, x_0, t, t - 1, z) - sampler.step(x_t, x_0, t, t - 1, torch.zeros_like(z))
        return float((moved / z).mean())

    for t in (3, 10, 1000):
        sigma_t, sigma_s = (float(SCHEDULE.scales(time)[1]) for time in (t, t - 1))
        assert spread(published, t) / spread(ours, t) == pytest.approx(sigma_t / sigma_s, rel=1e-9)
    assert [spread(published, t) for t in (2, 1)] == [0.0, 0.0]
    assert spread(ours, 2) > 0


def test_the_published_variant_has_no_strides() -> None:
    with pytest.raises(InputError, match="leave `times` empty"):
        PublishedAncestral(SCHEDULE, strided_times(1000, 10))(TOY, normals(0, 1000), Noise(0))
