"""The count of operations against PyTorch's own counter."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from twinsplit.diffusion.series import Member
from twinsplit.networks.dropout import Dropout
from twinsplit.networks.network import Drop, keep
from twinsplit.networks.transformer import Transformer
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble

MEMBERS = (Member(0, 0), Member(1, 1))
NETWORKS = [Transformer(4, 4, 16, 1, 2, 32, 0.0), Transformer(6, 8, 24, 3, 4, 40, 0.1, time_features=10), Transformer(3, 2, 8, 2, 1, 8)]


def of_two(network: Transformer, drop: Drop, rows: int) -> tuple[int, int]:
    """(forward, forward and backward) of two members on `rows` sequences, as PyTorch counts."""
    parameters = {name: value.requires_grad_() for name, value in Ensemble.initial(network, MEMBERS, Noise(0)).parameters.items()}
    x_t, t = torch.randn(2, rows, network.length, network.vocab_size), torch.ones(2, rows, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = network.outputs(parameters, x_t, t, drop)
        forward = counter.get_total_flops()
        logits.sum().backward()
    return forward, counter.get_total_flops()


@pytest.mark.parametrize("network", NETWORKS, ids=["smoke", "odd sizes", "two tokens"])
@pytest.mark.parametrize("rows", [1, 5])
def test_counts_equal_pytorchs(network: Transformer, rows: int) -> None:
    found = network.flops((network.length, network.vocab_size))
    expected = 2 * rows * found.forward, 2 * rows * found.training
    assert of_two(network, keep, rows) == expected
    noises = [member.noise(Noise(0)) for member in MEMBERS]
    assert of_two(network, Dropout.keyed(0.1, noises, 1, torch.device("cpu")), rows) == expected


def test_the_full_network_costs_three_forwards_of_twice_its_weights_a_token() -> None:
    """The usual rule of thumb, 6 operations a weight and token, holds within 5%: attention over 16 tokens costs little."""
    network = Transformer()
    training = network.flops((16, 6)).training
    assert training == pytest.approx(6 * network.parameter_count() * network.length, rel=0.05)
