"""The U-Net of diffusion models for images: diffusers' `UNet2DModel`, as a pure function of stacked parameters."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.errors import InputError, require_sizes
from twinsplit.networks.module import Opened
from twinsplit.networks.network import Drop, Network, Parameters, keep
from twinsplit.noise.reference import Noise

REMEDY = "pip install 'twinsplit[images]' (without torchvision, or with one that fits your torch)"


def diffusers() -> Any:
    """The library, loaded when first needed: it takes seconds."""
    try:
        import diffusers as library
    except Exception as error:  # an installed torchvision that does not fit raises RuntimeError from deep inside
        raise InputError(f"U-Nets need diffusers, which does not load here: {error}", REMEDY) from error
    return library


@final
@dataclass(frozen=True)
class UNet(Network):
    """x_t (n, C, H, W) to a prediction of the same shape; t in 1..T, which diffusers counts from 0.

    channels: of each level, halving the size between levels; attention: levels that have it, 0 the finest. The defaults are the published
    network of [BG]'s face world, of 4,023,233 parameters for one channel.
    """

    image_channels: int = 1
    size: int = 32
    channels: tuple[int, ...] = (32, 64, 128)
    layers_per_block: int = 2
    attention: tuple[int, ...] = (1, 2)
    norm_groups: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require_sizes("network", image_channels=self.image_channels, layers_per_block=self.layers_per_block, norm_groups=self.norm_groups)
        require_sizes("network", levels=len(self.channels), **{f"channels[{i}]": size for i, size in enumerate(self.channels)})
        halvings = 1 << (len(self.channels) - 1)
        _require(self.size % halvings == 0, f"images of {self.size} pixels a side cannot be halved {len(self.channels) - 1} times")
        odd = [c for c in self.channels if c % self.norm_groups]
        _require(not odd, f"network.channels {odd} are no multiples of network.norm_groups {self.norm_groups}")
        _require(
            set(self.attention) <= set(range(len(self.channels))),
            f"network.attention {list(self.attention)} names levels that are not there",
        )
        _require(0 <= self.dropout < 1, f"network.dropout {self.dropout} is no rate")

    def configuration(self) -> dict[str, Any]:
        """diffusers' own arguments."""
        levels = range(len(self.channels))
        return {
            "sample_size": self.size,
            "in_channels": self.image_channels,
            "out_channels": self.image_channels,
            "layers_per_block": self.layers_per_block,
            "block_out_channels": self.channels,
            "down_block_types": tuple("AttnDownBlock2D" if i in self.attention else "DownBlock2D" for i in levels),
            "up_block_types": tuple("AttnUpBlock2D" if i in self.attention else "UpBlock2D" for i in reversed(levels)),
            "norm_num_groups": self.norm_groups,
            "dropout": self.dropout,
        }

    def module(self) -> Any:
        """A new `UNet2DModel` with PyTorch's own initial weights."""
        return diffusers().UNet2DModel(**self.configuration())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in _skeleton(self).module.named_parameters()}

    def initial(self, name: str, noise: Noise) -> Tensor:
        """PyTorch's own laws: uniform within 1/sqrt(fan in) for convolutions and linear layers, 1 and 0 for group norms."""
        shapes = self.shapes()
        weight = shapes[name.removesuffix("bias") + "weight" if name.endswith("bias") else name]
        if len(weight) == 1:
            return torch.full(shapes[name], float(name.endswith("weight")))
        unit = noise.child(name).uniform(0, torch.arange(shapes[name][0]), shapes[name][1:]).float() * 2 - 1
        scaled: Tensor = unit / prod(weight[1:]) ** 0.5
        return scaled

    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, C, H, W) predictions for x_t (K, n, C, H, W) at t (K, n)."""
        skeleton, members = _skeleton(self), enumerate(zip(x_t, t - 1, strict=True))
        called = [skeleton.call({n: v[k] for n, v in parameters.items()}, drop.member(k), x, at) for k, (x, at) in members]
        return torch.stack([found.sample for found in called])


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InputError(what, "correct the sizes of the network")


@lru_cache(maxsize=8)
def _skeleton(network: UNet) -> Opened:
    """The module without weights."""
    with torch.device("meta"):
        return Opened(network.module())
