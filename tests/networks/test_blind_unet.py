"""The blind U-Net: its published size, homogeneity, and equality with the same layers from torch.nn, in values, gradients and state."""

import pytest
import torch
from torch import Tensor, nn

from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.networks.blind_unet import BlindUNet
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble

SMALL = BlindUNet(2, 8, 4, 2)
MEMBERS = (Member(0, 0), Member(1, 1))
T0 = torch.zeros(2, 3, dtype=torch.int64)


def stacked(network: BlindUNet = SMALL, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Two members with weights, and gains and deviations that differ from their first values."""
    found = {}
    for name, value in Ensemble.initial(network, MEMBERS, Noise(3)).parameters.items():
        spread = 0.5 + torch.rand(value.shape, generator=torch.Generator().manual_seed(len(name)), dtype=dtype)
        found[name] = spread if name.endswith(("gain", "deviation")) else value.to(dtype)
    return found


def images(n: int = 3, channels: int = 2, side: int = 8) -> Tensor:
    return Noise(1).normal(0, torch.arange(2 * n), (channels, side, side)).view(2, n, channels, side, side)


class Divided(nn.Module):
    """Batch normalisation without mean and offset, as a stateful module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        deviation = self.deviation
        if self.training:
            deviation = torch.sqrt(((x - x.mean((0, 2, 3), keepdim=True)) ** 2).mean((0, 2, 3)) + 1e-5)
            self.deviation = 0.9 * self.deviation + 0.1 * deviation.detach()
        return x / deviation[None, :, None, None] * self.gain[None, :, None, None]


class Plain(nn.Module):
    """The same layers from torch.nn, written out for two blocks."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        w = width
        sizes = [(channels, w), (w, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)]
        sizes += [(4 * w, 2 * w), (2 * w, 2 * w), (2 * w, w), (w, channels)]
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in sizes])
        self.norms = nn.ModuleList([Divided(b) for _, b in sizes[1:-1]])
        self.up = nn.ModuleList([nn.ConvTranspose2d(a, a // 2, 2, 2, bias=False) for a in (4 * w, 2 * w)])

    def layer(self, i: int, x: Tensor) -> Tensor:
        x = self.convolutions[i](x)
        if 0 < i < 9:
            x = self.norms[i - 1](x)
        return x if i == 9 else x.relu()

    def forward(self, y: Tensor) -> Tensor:
        first = self.layer(1, self.layer(0, y))
        second = self.layer(3, self.layer(2, nn.functional.avg_pool2d(first, 2)))
        low = self.layer(5, self.layer(4, nn.functional.avg_pool2d(second, 2)))
        middle = self.layer(7, self.layer(6, torch.cat([self.up[0](low), second], 1)))
        return self.layer(9, self.layer(8, torch.cat([self.up[1](middle), first], 1)))


def plain(parameters: dict[str, Tensor], k: int) -> Plain:
    """With member k's weights: both list their layers in the order of use."""
    module = Plain(2, 4).double()
    blocks = ["encoder.0", "encoder.1", "middle", "decoder.1", "decoder.0"]
    layers = [f"{block}.{i}" for block in blocks for i in range(2)]
    with torch.no_grad():
        for convolution, layer in zip(module.convolutions, layers, strict=True):
            convolution.weight.copy_(parameters[f"{layer}.weight"][k])
        for norm, layer in zip(module.norms, layers[1:-1], strict=True):
            norm.gain.copy_(parameters[f"{layer}.gain"][k])
            norm.deviation.copy_(parameters[f"{layer}.deviation"][k])
        for up, b in zip(module.up, (1, 0), strict=True):
            up.weight.copy_(parameters[f"upsample.{b}.weight"][k])
    return module


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    assert BlindUNet().parameter_count() == 7_659_264
    assert BlindUNet().size_in_numbers() - BlindUNet().parameter_count() == 64 * (1 + 2 * 2 + 4 * 2 + 8 * 2 + 4 * 2 + 2 * 2 + 1)


@pytest.mark.parametrize("learning", [False, True], ids=["evaluation", "training"])
def test_members_equal_the_plain_layers_in_values_gradients_and_state(learning: bool) -> None:
    parameters = {name: value.requires_grad_(not name.endswith("deviation")) for name, value in stacked().items()}
    y = images()
    ours, state = SMALL.learning(parameters, y, T0) if learning else (SMALL.outputs(parameters, y, T0), {})
    ours.square().mean((1, 2, 3, 4)).sum().backward()
    for k in range(2):
        module = plain({name: value.detach() for name, value in parameters.items()}, k).train(learning)
        alone = module(y[k])
        alone.square().mean().backward()
        torch.testing.assert_close(ours[k], alone)
        torch.testing.assert_close(parameters["encoder.0.0.weight"].grad[k], module.convolutions[0].weight.grad)
        torch.testing.assert_close(parameters["middle.1.gain"].grad[k], module.norms[4].gain.grad)
        torch.testing.assert_close(parameters["upsample.1.weight"].grad[k], module.up[0].weight.grad)
        if learning:
            torch.testing.assert_close(state["encoder.0.1.deviation"][k], module.norms[0].deviation)
            torch.testing.assert_close(state["decoder.0.0.deviation"][k], module.norms[-1].deviation)


def test_state_is_complete_and_carries_no_gradient() -> None:
    parameters = {name: value.requires_grad_() for name, value in stacked().items()}
    outputs, state = SMALL.learning(parameters, images(), T0)
    assert set(state) == SMALL.state() == {name for name in SMALL.shapes() if name.endswith("deviation")}
    assert all(value.shape == parameters[name].shape and not value.requires_grad for name, value in state.items())
    outputs.sum().backward()
    assert all(parameters[name].grad is None for name in state)
    assert all(parameters[name].grad is not None for name in parameters if name not in state)


@pytest.mark.parametrize("a", [1e-3, 0.3, 7.0, 1e4])
def test_evaluation_is_homogeneous(a: float) -> None:
    parameters, y = stacked(), images()
    scaled, expected = SMALL.outputs(parameters, a * y, T0), a * SMALL.outputs(parameters, y, T0)
    assert float((scaled - expected).abs().max()) < 1e-13 * float(expected.abs().max())
    assert not torch.allclose(SMALL.outputs(parameters, -y, T0), -SMALL.outputs(parameters, y, T0))


def test_published_evaluation_is_homogeneous() -> None:
    network = BlindUNet()
    parameters = {name: value[:1] for name, value in stacked(network).items()}
    y = images(1, 1, 16)[:1]
    scaled, expected = network.outputs(parameters, 3 * y, T0), 3 * network.outputs(parameters, y, T0)
    assert float((scaled - expected).abs().max()) < 1e-12 * float(expected.abs().max())


def test_times_and_other_samples_do_not_matter_in_evaluation() -> None:
    parameters, y = stacked(), images()
    whole = SMALL.outputs(parameters, y, T0)
    torch.testing.assert_close(SMALL.outputs(parameters, y[:, 1:2], T0[:, 1:2] + 9), whole[:, 1:2])
    assert not torch.allclose(SMALL.learning(parameters, y[:, 1:2], T0[:, 1:2])[0], whole[:, 1:2])


@pytest.mark.parametrize("shape", [(4, 8), (12, 20), (40, 40)])
def test_any_side_that_can_be_halved_will_do(shape: tuple[int, int]) -> None:
    y = torch.randn(2, 1, 2, *shape, dtype=torch.float64)
    assert SMALL.outputs(stacked(), y, T0[:, :1]).shape == y.shape


def test_initial_weights_follow_the_published_laws() -> None:
    """Spreads within 5 standard errors of a normal law (false alarm below 1e-4 in all)."""
    network = BlindUNet(width=16)
    parameters = Ensemble.initial(network, MEMBERS, Noise(0)).parameters
    for name, value in parameters.items():
        if name.endswith("deviation"):
            assert bool((value == 1).all())
        elif name.endswith("weight") and value.numel() > 1000:
            fan = value.shape[2] * value.shape[3] * value.shape[4]
            assert abs(float(value.std()) * (fan / 2) ** 0.5 - 1) < 5 * (0.5 / value.numel()) ** 0.5, name
    gains = torch.cat([value.flatten() for name, value in parameters.items() if name.endswith("gain")])
    assert abs(float(gains.std()) / (2 / 9 / 64) - 1) < 5 * (0.5 / gains.numel()) ** 0.5
    assert not torch.equal(parameters["middle.0.weight"][0], parameters["middle.0.weight"][1])


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"size": 20}, "20 x 20 pixels cannot be halved 3 times"),
        ({"blocks": 0}, "below 1"),
        ({"width": 0}, "below 1"),
        ({"image_channels": -1}, "below 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        BlindUNet(**sizes)


def test_images_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(InputError, match="6 x 8 pixels cannot be halved 2 times"):
        SMALL.outputs(stacked(), torch.zeros(2, 1, 2, 6, 8, dtype=torch.float64), T0[:, :1])
