"""Floating-point operations of a network: matrix products and convolutions only, 2 a b c for (a, b) times (b, c).

That is how `torch.utils.flop_counter` counts. Sums, norms, softmax, masks and the optimiser are left out; at width 512 they are below 1%
of the operations (not of the time).
"""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from twinsplit.networks.blind_unet import BlindUNet
from twinsplit.networks.network import Network
from twinsplit.networks.transformer import Transformer
from twinsplit.networks.unet import UNet


def forward_flops(network: Network) -> int:
    """Of one sample through one network."""
    return _transformer_flops(network) if isinstance(network, Transformer) else _counted(network)[0]


def training_flops(network: Network) -> int:
    """Of one sample forward and backward: a product has two gradients of its own size, but what comes from the data needs none."""
    return 3 * _transformer_flops(network) - _input_flops(network) if isinstance(network, Transformer) else _counted(network)[1]


def _transformer_flops(network: Transformer) -> int:
    """Of one sequence: 2 L d (4 d + 2 L + 2 f) a layer, and the first and last products."""
    length, d = network.length, network.width
    projections = 2 * length * d * 3 * d + 2 * length * d * d
    mixing = 2 * 2 * length * length * d
    feedforward = 2 * 2 * length * d * network.feedforward
    return _input_flops(network) + network.layers * (projections + mixing + feedforward) + 2 * length * d * network.vocab_size


def _input_flops(network: Transformer) -> int:
    return 2 * network.length * network.vocab_size * network.width + 2 * network.time_features * network.width


@lru_cache(maxsize=8)
def _counted(network: Network) -> tuple[int, int]:
    """(forward, forward and backward) of one image, by PyTorch's counter on tensors without values."""
    assert isinstance(network, UNet | BlindUNet)
    parameters = {name: torch.empty(1, *shape, device="meta", requires_grad=True) for name, shape in network.shapes().items()}
    x_t = torch.empty(1, 1, network.image_channels, network.size, network.size, device="meta")
    with FlopCounterMode(display=False) as counter:
        predicted = network.outputs(parameters, x_t, torch.ones(1, 1, dtype=torch.int64, device="meta"))
        forward = counter.get_total_flops()
        predicted.sum().backward()  # type: ignore[no-untyped-call]
        return forward, counter.get_total_flops()
