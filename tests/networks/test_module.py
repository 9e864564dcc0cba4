"""Any module as a network: trained member by member, kept apart, sent to workers; what would not fit is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from twinsplit.diffusion.exploding import NOISE_LAWS
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.execution.packing import pack, unpack
from twinsplit.networks.module import ModuleNetwork
from twinsplit.networks.parametrisation import NoisePrediction, Parametrisation, Residual, TokenLogits
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import deal
from twinsplit.training.step import Stepper, Task

SCHEDULE = Schedule.diffusion_lm(30)
MEMBERS = (Member(0, 0), Member(1, 1))
TRAINING = Training(
    steps=40, first_checkpoint=1, checkpoints=1, batch=16, learning_rate=3e-3, schedule="constant", loss="noise", precision="float32"
)


class Told(nn.Module):
    """Layers that see the time as a number beside (points) or on top of (channels) what they are given."""

    def __init__(self, layers: nn.Module, features: int = 0) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("scale", torch.tensor(1 / 30))
        self.features = features

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        time = (t * self.scale).to(x_t.dtype).view(-1, *(1,) * (x_t.ndim - 1)).expand(-1, 1, *x_t.shape[2:])
        shown: Tensor = self.layers(torch.cat([x_t, time], 1))
        return shown


class Logits(nn.Module):
    """One linear layer for every site."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(vocab_size, vocab_size)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        logits: Tensor = self.layer(x_t)
        return logits


def mlp(rate: float = 0.0) -> Told:
    return Told(nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Dropout(rate), nn.Linear(24, 2)))


def series() -> Told:
    return Told(nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv1d(8, 2, 3, padding=1)))


def volumes() -> Told:
    return Told(nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.SiLU(), nn.Conv3d(6, 1, 3, padding=1)))


CASES = {"points": (mlp, (2,)), "series": (series, (2, 8)), "volumes": (volumes, (1, 4, 4, 4))}


def trained(network: ModuleNetwork, kind: Parametrisation, samples: Tensor, training: Training = TRAINING) -> tuple[Ensemble, Tensor]:
    """Two members after `training.steps`, and their losses (steps, 2)."""
    root = Noise(5)
    ensemble = Ensemble.initial(network, MEMBERS, root, kind.denoiser)
    shards = deal(ensemble, samples, Task(training, kind, root))
    losses, parameters = [], []
    for k, shard in enumerate(shards):
        shard.load({f"weights.{name}": value for name, value in ensemble.parameters.items()}, slice(k, k + 1))
        stepper = Stepper.on(shard, 0)
        losses.append(torch.cat([stepper.step(step) for step in range(1, training.steps + 1)]))
        parameters.append(shard.stack("weights").views)
    found = {name: torch.cat([own[name] for own in parameters]) for name in network.shapes()}
    return Ensemble(network, MEMBERS, found, kind.denoiser), torch.stack(losses, 1)


def data(shape: tuple[int, ...]) -> Tensor:
    """(2, 32, *shape): small numbers around 1, so that the noise is soon found."""
    return 1 + 0.1 * torch.randn(2, 32, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [NoisePrediction(SCHEDULE), Residual(NOISE_LAWS["report"](30))], ids=["told", "blind"])
def test_members_learn_from_samples_of_any_shape(name: str, kind: Any) -> None:
    make, shape = CASES[name]
    network = ModuleNetwork(make())
    ensemble, losses = trained(network, kind, data(shape))
    assert float(losses[-10:].mean()) < float(losses[:5].mean())
    x_0 = data(shape)[0]
    t, eps = 1 + torch.arange(len(x_0)) % 30, torch.randn(x_0.shape)
    x_t = kind.noising.noised(x_0, t, eps)
    for denoiser in ensemble.denoisers():
        assert denoiser(x_t, t).mean.shape == x_0.shape
        assert kind.losses(denoiser, x_0, x_t, t, eps).isfinite().all()
    assert not torch.equal(*(denoiser(x_t, t).mean for denoiser in ensemble.denoisers()))


def test_a_module_of_logits_learns_tokens() -> None:
    kind, tokens = TokenLogits(3, SCHEDULE), torch.randint(0, 2, (2, 32, 5))
    training = replace(TRAINING, loss="cross_entropy")
    ensemble, losses = trained(ModuleNetwork(Logits(3)), kind, tokens, training)
    assert float(losses[-5:].mean()) < float(losses[:5].mean())
    x_t = torch.randn(4, 5, 3)
    torch.testing.assert_close(ensemble.member(1)(x_t, 3).mean.sum(-1), torch.ones(4, 5))


def test_outputs_are_the_modules_own() -> None:
    module = mlp()
    network = ModuleNetwork(module)
    parameters = {name: torch.stack([value, 2 * value]).detach() for name, value in module.named_parameters()}
    x_t, t = torch.randn(2, 5, 2), torch.arange(1, 11).view(2, 5)
    found = network.outputs(parameters, x_t, t)
    torch.testing.assert_close(found[0], module(x_t[0], t[0]))
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(2)
    torch.testing.assert_close(found[1], module(x_t[1], t[1]))
    assert torch.equal(network.outputs(parameters, x_t, t), found)  # the module given is no part of the network
    assert network.shapes() == {name: tuple(value.shape) for name, value in module.named_parameters()}


def test_outputs_follow_the_precision_of_the_parameters() -> None:
    network = ModuleNetwork(mlp())
    parameters = {name: network.initial(name, Noise(0)).double()[None] for name in network.shapes()}
    assert network.outputs(parameters, torch.randn(1, 3, 2).double(), torch.ones(1, 3, dtype=torch.int64)).dtype == torch.float64


def test_initial_weights_are_keyed_by_the_members_noise_alone() -> None:
    network, again, state = ModuleNetwork(mlp()), ModuleNetwork(mlp()), torch.random.get_rng_state()
    for name in network.shapes():
        assert torch.equal(network.initial(name, Noise(1)), again.initial(name, Noise(1)))
        assert not torch.equal(network.initial(name, Noise(1)), network.initial(name, Noise(2)))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_cannot_be_reset_or_is_frozen_is_shared() -> None:
    module = mlp()
    module.shift = nn.Parameter(torch.full((2,), 3.0))
    module.layers[0].weight.requires_grad_(False)
    network = ModuleNetwork(module)
    assert network.initial("shift", Noise(0)).tolist() == network.initial("shift", Noise(1)).tolist() == [3, 3]
    assert "layers.0.weight" not in network.shapes()
    assert torch.equal(network.constants["layers.0.weight"], module.layers[0].weight)


def test_an_attention_layer_is_reset_whole() -> None:
    network = ModuleNetwork(nn.MultiheadAttention(4, 2))
    assert not torch.equal(network.initial("in_proj_weight", Noise(0)), network.initial("in_proj_weight", Noise(1)))


def test_dropout_is_keyed_and_only_in_training() -> None:
    network, kind = ModuleNetwork(mlp(0.3)), NoisePrediction(SCHEDULE)
    assert network.dropout == 0.3
    few = replace(TRAINING, steps=5)
    first, losses = trained(network, kind, data((2,)), few)
    torch.manual_seed(99)
    second, again = trained(ModuleNetwork(mlp(0.3)), kind, data((2,)), few)
    assert torch.equal(losses, again)
    _, without = trained(ModuleNetwork(mlp()), kind, data((2,)), few)
    assert not torch.equal(losses, without)
    x_t = torch.randn(6, 2)
    for a, b in zip(first.denoisers(), second.denoisers(), strict=True):
        assert torch.equal(a(x_t, 4).mean, b(x_t, 4).mean)


def test_it_travels_to_worker_processes() -> None:
    network = ModuleNetwork(mlp(0.3))
    again = unpack(pack(network))
    parameters = {name: network.initial(name, Noise(0))[None] for name in network.shapes()}
    x_t, t = torch.randn(1, 5, 2), torch.ones(1, 5, dtype=torch.int64)
    assert torch.equal(again.outputs(parameters, x_t, t), network.outputs(parameters, x_t, t))
    assert (again.dropout, len(again.opened.holes)) == (0.3, 1)
    assert again.opened.module is again.module


def test_a_class_that_workers_cannot_import_is_refused_when_sent() -> None:
    class Local(nn.Linear):
        pass

    network = ModuleNetwork(Told(Local(3, 2)))
    assert network.parameter_count() == 8
    with pytest.raises(InputError, match="importable"):
        pack(network)


def test_operations_are_counted() -> None:
    """Products of 3 x 24 and 24 x 2; on the way back each has two, less the one for what comes from the data."""
    found = ModuleNetwork(mlp()).flops((2,))
    assert found.forward == 2 * (3 * 24 + 24 * 2)
    assert found.training == 3 * found.forward - 2 * 3 * 24


UNFIT = {
    "GroupNorm": nn.BatchNorm1d(2),
    "LayerNorm": nn.InstanceNorm1d(2, track_running_stats=True),
    "nn.Dropout": nn.Dropout2d(0.1),
    "dropout = 0": nn.MultiheadAttention(2, 1, dropout=0.1),
    "one rate": nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2)),
    "call the module once": nn.LazyLinear(2),
    r"module\.float": nn.Linear(2, 2).double(),
}


@pytest.mark.parametrize("remedy", UNFIT)
def test_what_does_not_fit_is_refused_with_a_remedy(remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        ModuleNetwork(Told(nn.Sequential(nn.Linear(2, 2), UNFIT[remedy])))
    with pytest.raises(InputError, match="to learn"):
        ModuleNetwork(nn.ReLU())
