"""The denoiser of the hierarchical world: a post-norm transformer encoder on noised one-hot leaves ([BG] section 2)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from twinsplit.errors import InputError, require_sizes
from twinsplit.networks.attention import attention
from twinsplit.networks.flops import Flops
from twinsplit.networks.network import Drop, Network, Parameters, keep
from twinsplit.noise.reference import Noise

MAX_PERIOD = 10_000.0


@lru_cache(maxsize=64)
def _frequencies(half: int, device: torch.device) -> Tensor:
    return torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32, device=device) / half)


def timestep_embedding(t: Tensor, features: int) -> Tensor:
    """(..., features) float32: cosines, then sines, of t at geometric frequencies down to 1 / 10^4 (Nichol and Dhariwal 2021)."""
    angles = t[..., None].float() * _frequencies(features // 2, t.device)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(K, N, out) from x (K, N, in), weight (K, out, in) and bias (K, out): member k sees its own weights."""
    return torch.baddbmm(bias[:, None], x, weight.mT)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Layer norm over the last axis of x (K, N, d) with gain and bias (K, d)."""
    return torch.addcmul(bias[:, None], F.layer_norm(x, x.shape[-1:]), gain[:, None])


@final
@dataclass(frozen=True)
class Transformer(Network):
    """one-hot -> linear -> width, plus a learned position, plus linear(sinusoidal time); encoder layers; linear -> vocabulary.

    Layers are PyTorch's post-norm TransformerEncoderLayer with ReLU. The defaults are the published configuration.
    """

    vocab_size: int = 6
    length: int = 16
    width: int = 512
    layers: int = 8
    heads: int = 4
    feedforward: int = 1024
    dropout: float = 0.1
    time_features: int = 32

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "length", "width", "layers", "heads", "feedforward", "time_features")
        require_sizes("network", **{name: getattr(self, name) for name in sizes})
        if self.width % self.heads:
            raise InputError(f"network.width {self.width} is not a multiple of network.heads {self.heads}", "make it one")
        if self.time_features % 2:
            raise InputError(f"network.time_features {self.time_features} is odd", "half are cosines, half sines: make it even")
        if not 0 <= self.dropout < 1:
            raise InputError(f"network.dropout {self.dropout} is no rate", "choose one in [0, 1)")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        d, f = self.width, self.feedforward
        layer = {
            "attention.qkv.weight": (3 * d, d),
            "attention.qkv.bias": (3 * d,),
            "attention.out.weight": (d, d),
            "attention.out.bias": (d,),
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            "feedforward.in.weight": (f, d),
            "feedforward.in.bias": (f,),
            "feedforward.out.weight": (d, f),
            "feedforward.out.bias": (d,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
        }
        ends = {
            "input.weight": (d, self.vocab_size),
            "input.bias": (d,),
            "position": (self.length, d),
            "time.weight": (d, self.time_features),
            "time.bias": (d,),
            "output.weight": (self.vocab_size, d),
            "output.bias": (self.vocab_size,),
        }
        return ends | {f"layers.{i}.{name}": shape for i in range(self.layers) for name, shape in layer.items()}

    def initial(self, name: str, noise: Noise) -> Tensor:
        """PyTorch's own laws for linear layers, attention, norms and (standard normal) embeddings."""
        shape = self.shapes()[name]
        if "norm" in name:
            return torch.full(shape, float(name.endswith("weight")))
        if name.endswith(("qkv.bias", "attention.out.bias")):
            return torch.zeros(shape)
        ids = torch.arange(shape[0])
        if name == "position":
            return noise.child(name).normal(0, ids, shape[1:], torch.float32)
        unit = noise.child(name).uniform(0, ids, shape[1:]).float() * 2 - 1
        return unit * self._bound(name)

    def _bound(self, name: str) -> float:
        fan_out, fan_in = self.shapes()[name.removesuffix("bias").removesuffix("weight") + "weight"]
        xavier = "qkv" in name
        return math.sqrt(6 / (fan_in + fan_out)) if xavier else 1 / math.sqrt(fan_in)

    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, L, q) for x_t (K, n, L, q) and t (K, n)."""
        members, n, length, q = x_t.shape
        x = self._embedded(parameters, x_t, t)
        for i in range(self.layers):
            x = self._layer(parameters, f"layers.{i}.", x, drop)
        return linear(x, parameters["output.weight"], parameters["output.bias"]).view(members, n, length, q)

    def flops(self, state: tuple[int, ...]) -> Flops:
        """Of one sequence: 2 L d (4 d + 2 L + 2 f) a layer, and the first and last products. A product has two gradients of its own
        size, but what comes from the data needs none.
        """
        length, d = self.length, self.width
        first = 2 * length * self.vocab_size * d + 2 * self.time_features * d
        layer = 2 * length * d * (4 * d + 2 * length + 2 * self.feedforward)
        forward = first + self.layers * layer + 2 * length * d * self.vocab_size
        return Flops(forward, 3 * forward - first)

    def _embedded(self, p: Parameters, x_t: Tensor, t: Tensor) -> Tensor:
        members, n, length, q = x_t.shape
        tokens = linear(x_t.reshape(members, n * length, q), p["input.weight"], p["input.bias"])
        features = timestep_embedding(t, self.time_features).to(x_t.dtype)
        time = linear(features, p["time.weight"], p["time.bias"])
        tokens = tokens.view(members, n, length, self.width) + p["position"][:, None] + time[:, :, None]
        return tokens.view(members, n * length, self.width)

    def _layer(self, p: Parameters, prefix: str, x: Tensor, drop: Drop) -> Tensor:
        mixed = drop(self._attend(p, prefix + "attention.", x, drop))
        x = layer_norm(x + mixed, p[prefix + "norm1.weight"], p[prefix + "norm1.bias"])
        hidden = drop(torch.relu(linear(x, p[prefix + "feedforward.in.weight"], p[prefix + "feedforward.in.bias"])))
        changed = drop(linear(hidden, p[prefix + "feedforward.out.weight"], p[prefix + "feedforward.out.bias"]))
        return layer_norm(x + changed, p[prefix + "norm2.weight"], p[prefix + "norm2.bias"])

    def _attend(self, p: Parameters, prefix: str, x: Tensor, drop: Drop) -> Tensor:
        members, rows, d = x.shape
        qkv = linear(x, p[prefix + "qkv.weight"], p[prefix + "qkv.bias"])
        qkv = qkv.view(-1, self.length, 3, self.heads, d // self.heads)
        mixed = attention(qkv, drop).view(members, rows, d)
        return linear(mixed, p[prefix + "out.weight"], p[prefix + "out.bias"])
