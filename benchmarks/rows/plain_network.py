"""The network as one would write it in PyTorch: nn.TransformerEncoder, eager, float32. Loads twinsplit's weights for the comparison."""

import math

import torch
from torch import Tensor, nn

from twinsplit.networks.network import Parameters
from twinsplit.networks.transformer import Transformer


class PlainTransformer(nn.Module):
    """Noised one-hot leaves and a time to logits."""

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        self.features = spec.time_features
        self.input, self.output = nn.Linear(spec.vocab_size, spec.width), nn.Linear(spec.width, spec.vocab_size)
        self.time, self.position = nn.Linear(spec.time_features, spec.width), nn.Parameter(torch.randn(spec.length, spec.width))
        layer = nn.TransformerEncoderLayer(spec.width, spec.heads, spec.feedforward, spec.dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, spec.layers, enable_nested_tensor=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(n, L, q) from x (n, L, q) and t (n,)."""
        half = self.features // 2
        angles = t[:, None].float() * torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        time = self.time(torch.cat([angles.cos(), angles.sin()], -1))
        return self.output(self.encoder(self.input(x) + self.position + time[:, None]))

    @torch.no_grad()
    def load(self, parameters: Parameters, k: int) -> "PlainTransformer":
        """Take up member k of twinsplit's parameters."""
        own = dict(self.named_parameters())
        for name, value in parameters.items():
            own[plain_name(name)].copy_(value[k])
        return self


def plain_name(name: str) -> str:
    """PyTorch's name of a parameter."""
    for ours, theirs in (
        ("layers.", "encoder.layers."),
        ("attention.qkv.", "self_attn.in_proj_"),
        ("attention.out.", "self_attn.out_proj."),
        ("feedforward.in.", "linear1."),
        ("feedforward.out.", "linear2."),
    ):
        name = name.replace(ours, theirs)
    return name
