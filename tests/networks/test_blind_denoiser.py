"""The blind denoiser, and its training: running deviations are saved, averaged and resumed like weights, but no gradient moves them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from twinsplit.data.images.builtin import digits_and_labels
from twinsplit.diffusion.exploding import NOISE_LAWS, VarianceExploding
from twinsplit.diffusion.schedule import Noising
from twinsplit.diffusion.series import Member
from twinsplit.execution.local import Executor, Inline, open_executor
from twinsplit.measures.psnr import denoising_psnr
from twinsplit.networks import blind_denoiser
from twinsplit.networks.blind_denoiser import BlindDenoiser
from twinsplit.networks.blind_unet import BlindUNet
from twinsplit.networks.parametrisation import Residual
from twinsplit.noise.reference import Noise
from twinsplit.recipes import DIGITS_SMOKE, ImageRecipe
from twinsplit.runs.store import Run
from twinsplit.training.batches import batch_rows, draw_times
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal, load_ensemble, train
from twinsplit.training.step import Task, advance

NETWORK = BlindUNet(1, 8, 8, 2)
PROCESS = VarianceExploding.published(100)
TRAINING = replace(
    DIGITS_SMOKE.training,
    steps=12,
    batch=8,
    checkpoints=4,
    first_checkpoint=1,
    save_every=5,
    schedule="halving",
    epoch_samples=40,
    ema_decay=0.0,
)
RECIPE = replace(DIGITS_SMOKE, training=TRAINING)
CPU = torch.device("cpu")


def digits(n: int = 16, splits: int = 3) -> Tensor:
    """(splits, n, 1, 8, 8) in [0, 1]."""
    pixels, _ = digits_and_labels()
    return torch.from_numpy(pixels[: n * splits]).float().reshape(splits, n, 1, 8, 8) / 16


def members(recipe: ImageRecipe) -> tuple[Member, ...]:
    return tuple(Member(*names) for names in recipe.members)


def start(recipe: ImageRecipe = RECIPE, process: Noising = PROCESS) -> tuple[Ensemble, Task]:
    root = Noise(recipe.seed)
    return Ensemble.initial(NETWORK, members(recipe), root, BlindDenoiser), Task(recipe.training, Residual(process), root)


def finish(path: Path, recipe: ImageRecipe = RECIPE, executor: Executor | None = None) -> Run:
    run = Run.create(path, recipe)
    ensemble, task = start(recipe)
    for _ in train(ensemble, digits(), task, run, executor or Inline()):
        pass
    return run


def contents(run: Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run.path / "checkpoints").iterdir()}


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path, stop: int, ema_decay: float) -> None:
    recipe = replace(RECIPE, training=replace(TRAINING, ema_decay=ema_decay))
    whole, run = finish(tmp_path / "whole", recipe), Run.create(tmp_path / "stopped", recipe)
    ensemble, task = start(recipe)
    events = train(ensemble, digits(), task, run, Inline())
    for _ in range(stop):
        next(events)
    events.close()
    assert 0 < run.resume_step() < 12
    assert contents(finish(tmp_path / "stopped", recipe)) == contents(whole)


def test_worker_processes_change_nothing(tmp_path: Path) -> None:
    with open_executor(2) as executor:
        two = finish(tmp_path / "two", executor=executor)
    assert contents(two) == contents(finish(tmp_path / "one"))


def test_the_first_step_is_adams_and_the_deviations_move_a_tenth(tmp_path: Path) -> None:
    """Written out with torch.optim.Adam on the batch's squared residual."""
    run = finish(tmp_path / "run")
    ensemble, task = start()
    noise = members(RECIPE)[0].noise(task.root)
    rows, t = batch_rows(noise, 1, 16, 8, CPU, 40), draw_times(noise, 1, 8, PROCESS, CPU)
    clean, sigma = digits()[0][rows], PROCESS.sigma[t].float()[:, None, None, None]
    added = sigma * noise.child("eps").normal(1, torch.arange(8), (1, 8, 8), torch.float32)
    leaves = {n: v[:1].clone().requires_grad_(n not in NETWORK.state()) for n, v in ensemble.parameters.items()}
    outputs, state = NETWORK.learning(leaves, (clean + added)[None], t[None])
    (outputs[0] - added).square().mean().backward()
    torch.optim.Adam([leaf for leaf in leaves.values() if leaf.requires_grad], lr=TRAINING.learning_rate).step()
    saved = run.load(1)
    for name, leaf in leaves.items():
        expected = state[name] if name in state else leaf.detach()
        torch.testing.assert_close(saved["weights." + name][:1], expected, rtol=1e-5, atol=1e-6)
    assert all(not torch.equal(saved["weights." + name][:1], ensemble.parameters[name][:1]) for name in NETWORK.state())


def test_no_moment_of_adam_is_kept_of_a_deviation(tmp_path: Path) -> None:
    moments = finish(tmp_path / "run").load(12, ".optimizer")
    for name in NETWORK.state():
        assert not moments[f"exp_avg.{name}"].any()
        assert not moments[f"exp_avg_sq.{name}"].any()
    assert moments["exp_avg.middle.0.gain"].any()


def test_members_on_one_device_equal_members_alone() -> None:
    """As on an accelerator, all in one shard; float32 rounding apart."""
    ensemble, task = start()
    shards = deal(ensemble, digits(), task)
    weights = {f"weights.{name}": value for name, value in ensemble.parameters.items()}
    for k, shard in enumerate(shards):
        shard.load(weights, slice(k, k + 1))
    together = replace(
        shards[0],
        members=ensemble.members,
        samples=digits(),
        buffers={kind: torch.zeros(3 * len(buffer)) for kind, buffer in shards[0].buffers.items()},
    )
    together.load(weights, slice(0, 3))
    _, losses = advance(together, 1, 3)
    torch.testing.assert_close(losses, torch.cat([advance(shard, 1, 3)[1] for shard in shards], 1), rtol=1e-4, atol=1e-5)
    found = together.stack("weights").views["middle.1.deviation"][1]
    torch.testing.assert_close(found, shards[1].stack("weights").views["middle.1.deviation"][0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("law", NOISE_LAWS)
def test_it_learns_to_denoise(law: str) -> None:
    """250 steps on 64 digits: at sigma = 0.3 at least 3 decibels are gained on other digits, without being told sigma."""
    training = replace(TRAINING, steps=250, batch=32, learning_rate=5e-3, epoch_samples=0, schedule="constant")
    recipe = replace(RECIPE, training=training)
    ensemble, task = start(recipe, NOISE_LAWS[law](100))
    shard = deal(ensemble, digits(64), task)[0]
    shard.load({f"weights.{name}": value for name, value in ensemble.parameters.items()}, slice(0, 1))
    shard, losses = advance(shard, 1, 250)
    assert float(losses[-20:].mean()) < 0.3 * float(losses[:5].mean())
    denoiser = BlindDenoiser(NETWORK, shard.stack("weights").views)
    fresh = digits(100, 4)[3]
    before, after = denoising_psnr(denoiser, fresh, 0.3, Noise(0), torch.arange(100)).mean(0).tolist()
    assert after > before + 3


def test_a_loaded_ensemble_answers_blindly(tmp_path: Path) -> None:
    denoiser = load_ensemble(finish(tmp_path / "run"), NETWORK, 12, read_as=BlindDenoiser).member(1)
    y = Noise(0).normal(0, torch.arange(3), (1, 8, 8), torch.float32)
    assert torch.equal(denoiser(y, 5).mean, denoiser(y, torch.tensor([1, 50, 100])).mean)
    assert torch.equal(denoiser(y, 0).mean, y - denoiser.residual(y))


def test_it_is_homogeneous_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = BlindDenoiser.initial(NETWORK, Noise(0)).converted(torch.float64)
    y = Noise(0).normal(0, torch.arange(5), (1, 8, 8))
    whole = denoiser.residual(y)
    scaled = denoiser.residual(9 * y)
    assert float((scaled - 9 * whole).abs().max()) < 1e-12 * float(scaled.abs().max())
    monkeypatch.setattr(blind_denoiser, "CHUNK", 2)
    torch.testing.assert_close(denoiser.residual(y), whole)
    assert denoiser.residual(y[:0]).shape == (0, 1, 8, 8)
    assert denoiser.residual(y.float()).dtype == torch.float32


def test_operations_of_the_published_network_are_counted() -> None:
    """Two per weight and place of each 3 x 3 convolution, and per weight and place below of each transposed one."""
    network = BlindUNet(size=40)
    places = {"encoder.0": 1600, "encoder.1": 400, "encoder.2": 100, "middle": 25, "decoder.2": 100, "decoder.1": 400, "decoder.0": 1600}
    places |= {"upsample.2": 25, "upsample.1": 100, "upsample.0": 400}
    expected = 0
    for name, shape in network.shapes().items():
        if name.endswith("weight"):
            place = next(count for start, count in places.items() if name.startswith(start))
            expected += 2 * place * torch.Size(shape).numel()
    found = network.flops((1, 40, 40))
    assert found.forward == expected
    assert 2.9 * expected < found.training <= 3 * expected
