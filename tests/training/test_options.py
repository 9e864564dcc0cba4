"""The training options of the published code, each against a plain implementation, and each through training and back from a stop."""

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm

from twinsplit.diffusion.schedule import Schedule
from twinsplit.execution.local import Inline
from twinsplit.noise.reference import Noise
from twinsplit.recipes import SMOKE, Diffusion, Recipe, Training
from twinsplit.runs.store import Run
from twinsplit.training.batches import TIMES, critical_law, draw_critical_times
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import Checkpoint, load_ensemble, train
from twinsplit.training.loss import LOSSES, WEIGHTINGS, member_losses
from twinsplit.training.rates import RATES, warmup
from twinsplit.worlds.sequences.probes import probe_over_times
from twinsplit.worlds.sequences.world import HierarchicalWorld

CPU = torch.device("cpu")
SCHEDULES = [Schedule.diffusion_lm(50), Schedule.one_minus_sqrt(50)]


def trained(**changes: object) -> Recipe:
    training = replace(SMOKE.training, learning_rate=2e-2, checkpoints=4, **changes)  # type: ignore[arg-type]
    return replace(SMOKE, training=training)


OPTIONS = {
    "squared error": trained(loss="squared_error"),
    "weighted": trained(weighting="vlb"),
    "weighted squared error": trained(loss="squared_error", weighting="vlb"),
    "critical times": trained(times="critical"),
    "warm-up": trained(schedule="warmup"),
    "level-1 data": replace(trained(), data=replace(SMOKE.data, factorised=1)),
    "second noise schedule": replace(trained(), diffusion=Diffusion("one_minus_sqrt", 50)),
    "all of them": replace(
        trained(loss="squared_error", weighting="vlb", times="critical", schedule="warmup"),
        data=replace(SMOKE.data, factorised=2),
        diffusion=Diffusion("one_minus_sqrt", 50),
    ),
}


@pytest.mark.parametrize(("key", "registry"), [("loss", LOSSES), ("weighting", WEIGHTINGS), ("times", TIMES), ("schedule", RATES)])
def test_every_name_a_recipe_takes_has_its_function(key: str, registry: dict[str, object]) -> None:
    assert set(get_args(get_type_hints(Training)[key])) == set(registry)


def batch(seed: int = 0, n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (2, n, 4, 3), tokens (2, n, 4), times (2, n) in 1..50."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, n, 4, 3, generator=generator)
    return logits, torch.randint(3, (2, n, 4), generator=generator), torch.randint(1, 51, (2, n), generator=generator)


def test_the_default_loss_is_to_the_bit_what_it_was() -> None:
    """Value and gradient of the formula that stood here before there were options."""
    logits, tokens, t = batch(n=37)
    before, now = (logits.clone().requires_grad_() for _ in range(2))
    entries = torch.nn.functional.cross_entropy(before.float().flatten(0, -2), tokens.flatten(), reduction="none")
    expected = entries.view(len(tokens), -1).mean(1)
    found = member_losses(Training(), now, tokens, t, SCHEDULES[0])
    expected.sum().backward()
    found.sum().backward()
    assert torch.equal(found, expected)
    assert torch.equal(now.grad, before.grad)


def plain_loss(logits: torch.Tensor, tokens: torch.Tensor, t: torch.Tensor, weights: torch.Tensor, squared: bool) -> list[float]:
    """The losses of both members, one entry after another."""
    found = []
    for member in range(2):
        errors = []
        for row, time in enumerate(t[member].tolist()):
            for place, token in enumerate(tokens[member, row].tolist()):
                scores = [math.exp(x) for x in logits[member, row, place].tolist()]
                posterior = [s / sum(scores) for s in scores]
                entries = [(p - (b == token)) ** 2 for b, p in enumerate(posterior)] if squared else [-math.log(posterior[token])]
                errors += [float(weights[time - 1]) * e for e in entries]
        found.append(sum(errors) / len(errors))
    return found


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["diffusion_lm", "one_minus_sqrt"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_losses_equal_their_sums(loss: str, weighting: str, schedule: Schedule) -> None:
    logits, tokens, t = batch(1)
    weights = schedule.vlb_weight() if weighting == "vlb" else torch.ones(50)
    training = Training(loss=loss, weighting=weighting)  # type: ignore[arg-type]
    expected = plain_loss(logits.double(), tokens, t, weights, squared=loss == "squared_error")
    np.testing.assert_allclose(member_losses(training, logits, tokens, t, schedule), expected, rtol=1e-5)


def test_weights_change_with_the_time_alone() -> None:
    logits, tokens, _ = batch(2)
    training = Training(weighting="vlb")
    early, late = (member_losses(training, logits, tokens, torch.full((2, 5), t), SCHEDULES[0]) for t in (3, 40))
    weight = SCHEDULES[0].vlb_weight()
    torch.testing.assert_close(early / late, torch.full((2,), float(weight[2] / weight[39])))


@pytest.mark.parametrize("T", [1, 21, 500])
def test_the_critical_law_is_a_gaussian_held_to_the_range(T: int) -> None:
    t = np.arange(1, T + 1)
    gaussian = norm(0.15 * T, 0.15 * T)
    mass = gaussian.cdf(t + 0.5) - gaussian.cdf(t - 0.5)
    np.testing.assert_allclose(critical_law(T), mass / mass.sum(), rtol=1e-9, atol=1e-13)


def test_critical_times_follow_their_law() -> None:
    """Chi-square of 20,000 times of a fixed seed; a right sampler fails for one seed in 1,000. Nothing piles up at t = 1."""
    schedule = Schedule.diffusion_lm(50)
    t = draw_critical_times(Noise(3), 1, 20_000, schedule, CPU)
    counts, expected = np.bincount(t, minlength=51)[1:], 20_000 * critical_law(50).numpy()
    common = expected > 5
    tail = [counts[~common].sum()], [expected[~common].sum()]
    assert chisquare(np.append(counts[common], tail[0]), np.append(expected[common], tail[1])).pvalue > 1e-3
    assert counts[0] < counts[6]


def test_critical_times_are_keyed() -> None:
    schedule = Schedule.diffusion_lm(50)
    first = draw_critical_times(Noise(0), 7, 30, schedule, CPU)
    assert torch.equal(first[:11], draw_critical_times(Noise(0), 7, 11, schedule, CPU))
    assert not torch.equal(first, draw_critical_times(Noise(0), 8, 30, schedule, CPU))
    assert int(draw_critical_times(Noise(0), 1, 9, Schedule(torch.tensor([1.0, 0.5])), CPU).max()) == 1


def test_warm_up_rates() -> None:
    epochs, per_epoch = 20_000, 10
    rate = [warmup(1 + per_epoch * epoch, epochs * per_epoch, per_epoch) for epoch in range(epochs)]
    assert rate[0] == 1 / 500
    assert rate[249] == pytest.approx(0.5)
    assert rate[499] == 1
    progress = np.arange(1, 19_501) / 19_500
    np.testing.assert_allclose(rate[500:], 0.1 + 0.45 * (1 + np.cos(np.pi * progress)), rtol=1e-12)
    assert rate[-1] == pytest.approx(0.1)
    assert [warmup(step, 40, 10) for step in (1, 10, 11, 40)] == [1 / 500, 1 / 500, 2 / 500, 4 / 500]
    assert warmup(501, 501, 1) == pytest.approx(0.1)


def checkpoints(path: Path, recipe: Recipe) -> list[Checkpoint]:
    world, run = HierarchicalWorld.of(recipe), Run.create(path, recipe)
    return list(train(world.ensemble(), world.split_samples(), world.task(), run, Inline()))


def own_losses(world: HierarchicalWorld, ensemble: Ensemble) -> torch.Tensor:
    """(K,) the recipe's loss of every member on its own split, each sequence at 200 times."""
    found = []
    for k, split in enumerate(world.split_samples()):
        probe = probe_over_times(split, torch.arange(len(split)), 200, world.schedule, world.grammar.vocab_size, Noise(0, "probe"))
        logits = ensemble.member(k)(probe.x_t, probe.t).log_probs[None]
        found.append(member_losses(world.recipe.training, logits, probe.tokens[None], probe.t[None], world.schedule))
    return torch.cat(found)


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (path / "checkpoints").iterdir()}


@pytest.mark.parametrize("name", OPTIONS)
def test_training_with_an_option_learns_and_resumes_to_the_same_bits(tmp_path: Path, name: str) -> None:
    recipe = OPTIONS[name]
    world = HierarchicalWorld.of(recipe)
    whole = checkpoints(tmp_path / "whole", recipe)
    assert all(bool(checkpoint.loss.isfinite().all()) for checkpoint in whole)
    before = own_losses(world, world.ensemble())
    after = own_losses(world, load_ensemble(Run.open(tmp_path / "whole"), world.network, recipe.training.steps))
    assert bool((after < 0.8 * before).all()), (before, after)
    run = Run.create(tmp_path / "stopped", recipe)
    events = train(world.ensemble(), world.split_samples(), world.task(), run, Inline())
    for _ in range(3):
        next(events)
    events.close()
    assert len(checkpoints(tmp_path / "stopped", recipe)) == len(whole) - 3
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_every_option_changes_the_training(tmp_path: Path) -> None:
    ends = {}
    for name, recipe in {"default": trained(), **OPTIONS}.items():
        short = replace(recipe, training=replace(recipe.training, steps=4))
        checkpoints(tmp_path / name, short)
        ends[name] = contents(tmp_path / name)["step_00000004.safetensors"]
    assert len(set(ends.values())) == len(ends)
