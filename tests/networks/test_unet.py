"""The U-Net equals diffusers' own with the same weights, member by member, in values and gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.networks.dropout import Dropout
from twinsplit.networks.network import keep
from twinsplit.networks.unet import UNet
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble

SMALL = UNet(2, 8, (8, 16), 1, (1,), 4, 0.0)
DROPPING = UNet(1, 8, (8, 8), 1, (), 4, 0.25)
MEMBERS = (Member(0, 0), Member(1, 1))


def batch(network: UNet, n: int = 3) -> tuple[Tensor, Tensor]:
    """x_t (2, n, C, H, W) and t (2, n)."""
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, n, network.image_channels, network.size, network.size, generator=generator)
    return x_t, torch.randint(1, 1001, (2, n), generator=generator)


def stacked(network: UNet) -> dict[str, Tensor]:
    return dict(Ensemble.initial(network, MEMBERS, Noise(3)).parameters)


def plain(network: UNet, parameters: dict[str, Tensor], k: int) -> Any:
    """diffusers' own module with member k's weights."""
    module = network.module()
    module.load_state_dict({name: value[k].detach() for name, value in parameters.items()})
    return module


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    assert UNet().parameter_count() == 4_023_233


@pytest.mark.parametrize("size", [8, 16])
def test_members_equal_the_module_in_values_and_gradients(size: int) -> None:
    network = UNet(2, size, (8, 16), 1, (1,), 4, 0.0)
    parameters = {name: value.clone().requires_grad_() for name, value in stacked(network).items()}
    x_t, t = batch(network)
    ours = network.outputs(parameters, x_t, t)
    ours.square().mean((1, 2, 3, 4)).sum().backward()
    for k in range(2):
        module = plain(network, parameters, k)
        alone = module(x_t[k], t[k] - 1).sample
        alone.square().mean().backward()
        assert torch.allclose(ours[k], alone, rtol=1e-5, atol=1e-6)
        for name, value in module.named_parameters():
            assert torch.allclose(parameters[name].grad[k], value.grad, rtol=1e-3, atol=1e-6), name


def test_the_first_time_is_the_librarys_index_0() -> None:
    parameters, (x_t, _) = stacked(SMALL), batch(SMALL)
    ours = SMALL.outputs(parameters, x_t[:1], torch.ones(1, 3, dtype=torch.int64))[0]
    assert torch.allclose(ours, plain(SMALL, parameters, 0)(x_t[0], 0).sample, rtol=1e-5, atol=1e-6)


def test_initial_weights_follow_pytorchs_laws() -> None:
    """Layer by layer: constants are equal, spreads agree within 6 standard errors of a uniform law (false alarm below 1e-6 in all)."""
    parameters, module = stacked(UNet(dropout=0.0)), UNet(dropout=0.0).module()
    for name, theirs in module.state_dict().items():
        ours = parameters[name][0]
        if "norm" in name:
            assert torch.equal(ours, theirs), name
        elif theirs.numel() >= 512:
            ratio = float(ours.std() / theirs.std())
            assert abs(ratio - 1) < 6 * (0.9 / theirs.numel()) ** 0.5, name
            assert float(ours.abs().max()) <= 1.05 * float(theirs.abs().max()), name
    assert not torch.equal(parameters["conv_in.weight"][0], parameters["conv_in.weight"][1])


def drop(step: int) -> Dropout:
    return Dropout.keyed(DROPPING.dropout, [member.noise(Noise(0)) for member in MEMBERS], step, torch.device("cpu"))


def test_dropout_is_keyed_and_members_keep_their_own_masks() -> None:
    parameters, (x_t, t) = stacked(DROPPING), batch(DROPPING)
    first, again, other = (DROPPING.outputs(parameters, x_t, t, drop(step)) for step in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    alone = DROPPING.outputs({name: value[1:] for name, value in parameters.items()}, x_t[1:], t[1:], Dropout(0.25, drop(1).generators[1:]))
    assert torch.equal(first[1:], alone)
    assert not torch.allclose(first, DROPPING.outputs(parameters, x_t, t, keep))


def test_every_dropout_of_the_library_is_replaced() -> None:
    """In training mode the library's own dropout would draw from the global generator; ours never does."""
    module = DROPPING.module()
    assert sum(isinstance(part, nn.Dropout) and part.p == 0.25 for part in module.modules()) == 8
    calls: list[tuple[int, ...]] = []

    class Counting(type(keep)):  # type: ignore[misc]
        def __call__(self, x: Tensor) -> Tensor:
            calls.append(tuple(x.shape))
            return x

        def member(self, k: int) -> "Counting":
            return self

    parameters, (x_t, t) = stacked(DROPPING), batch(DROPPING)
    DROPPING.outputs(parameters, x_t, t, Counting())
    assert len(calls) == 2 * 8


def test_operations_are_counted_as_on_real_tensors() -> None:
    parameters, (x_t, t) = {n: v.clone().requires_grad_() for n, v in stacked(SMALL).items()}, batch(SMALL)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        predicted = SMALL.outputs(parameters, x_t, t)
        forward = counter.get_total_flops()
        predicted.sum().backward()
    assert forward == pytest.approx(6 * SMALL.flops((SMALL.image_channels, SMALL.size, SMALL.size)).forward, rel=0.02)
    assert counter.get_total_flops() == pytest.approx(6 * SMALL.flops((SMALL.image_channels, SMALL.size, SMALL.size)).training, rel=0.02)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"size": 10, "channels": (8, 8, 8)}, "10 pixels a side cannot be halved 2 times"),
        ({"channels": (8, 12), "norm_groups": 8}, "channels [12] are no multiples"),
        ({"channels": (8, 8), "attention": (2,)}, "attention [2] names levels that are not there"),
        ({"dropout": 1.0}, "dropout 1.0 is no rate"),
        ({"layers_per_block": 0}, "below 1"),
        ({"channels": ()}, "below 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says.replace("[", r"\[").replace("]", r"\]")):
        UNet(**sizes)
