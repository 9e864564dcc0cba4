"""Floating-point operations of a network, counted from its sizes: matrix products only, 2 a b c for (a, b) times (b, c).

That is how `torch.utils.flop_counter` counts. Sums, norms, softmax, masks and the optimiser are left out; at width 512 they are below 1%
of the operations (not of the time).
"""

from twinsplit.networks.transformer import Transformer


def forward_flops(network: Transformer) -> int:
    """Of one sequence: 2 L d (4 d + 2 L + 2 f) a layer, and the first and last products."""
    length, d = network.length, network.width
    projections = 2 * length * d * 3 * d + 2 * length * d * d
    mixing = 2 * 2 * length * length * d
    feedforward = 2 * 2 * length * d * network.feedforward
    return _input_flops(network) + network.layers * (projections + mixing + feedforward) + 2 * length * d * network.vocab_size


def training_flops(network: Transformer) -> int:
    """Of one sequence forward and backward: a product has two gradients of its own size, but x_t and the features of t need none."""
    return 3 * forward_flops(network) - _input_flops(network)


def _input_flops(network: Transformer) -> int:
    return 2 * network.length * network.vocab_size * network.width + 2 * network.time_features * network.width
