"""The blind denoiser of [GAHB]: a U-Net without any additive constant, told neither the time nor the noise level.

Convolutions without bias, a batch norm that only divides and multiplies, ReLU and average pooling are all homogeneous, so in evaluation
f(a y) = a f(y) for a > 0: it denoises an image at any contrast alike, and its Jacobian J says all, f(y) = J y (Mohan et al., *Robust and
interpretable blind image denoising via bias-free convolutional neural networks*, ICLR 2020).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from twinsplit.errors import InputError, require_sizes
from twinsplit.networks.network import Drop, Network, Parameters, keep
from twinsplit.noise.reference import Noise

EPSILON = 1e-5
MOMENTUM = 0.1
GAIN_SPREAD, GAIN_LIMIT = 2 / 9 / 64, 0.025
Deviations = Callable[[str, Tensor], Tensor]


@final
@dataclass(frozen=True)
class BlindUNet(Network):
    """y (n, C, H, W) to an estimate of its noise y - x, of the same shape; times are ignored.

    image_channels: C; size: side of the images it learns from (any side that can be halved `blocks` times will do); width: channels of the
    finest level, doubled at each of the `blocks` coarser ones. The defaults are the published network (Kadkhodaie, Guth, Simoncelli and
    Mallat, ICLR 2024; PROTOCOL section 4): 7,659,264 parameters for one channel.

    Each block is two 3 x 3 convolutions; every one but the first and the last of the network is normalised, every one but the last followed
    by ReLU. Pixels are averaged in twos on the way down and spread by 2 x 2 transposed convolutions on the way up, where the block of the
    same level on the way down is put behind them.
    """

    image_channels: int = 1
    size: int = 40
    width: int = 64
    blocks: int = 3

    def __post_init__(self) -> None:
        require_sizes("network", image_channels=self.image_channels, size=self.size, width=self.width, blocks=self.blocks)
        self._refuse_side(self.size, self.size)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Weights in the order of their use; `deviation` is the running standard deviation of what a normalised convolution gives."""
        found: dict[str, tuple[int, ...]] = {}
        for b in range(self.blocks):
            found |= self._block_shapes(f"encoder.{b}", self.image_channels if b == 0 else self._channels(b - 1), self._channels(b))
        found |= self._block_shapes("middle", self._channels(self.blocks - 1), self._channels(self.blocks))
        for b in reversed(range(self.blocks)):
            found[f"upsample.{b}.weight"] = (self._channels(b + 1), self._channels(b), 2, 2)
            found |= self._block_shapes(f"decoder.{b}", self._channels(b + 1), self._channels(b))
        return found

    def state(self) -> frozenset[str]:
        return frozenset(name for name in self.shapes() if name.endswith("deviation"))

    def initial(self, name: str, noise: Noise) -> Tensor:
        """As published: He's normal law for convolutions (a transposed one counts the channels it gives), gains N(0, (2/9/64)^2) held
        within 0.025, deviations 1.
        """
        shape = self.shapes()[name]
        if name.endswith("deviation"):
            return torch.ones(shape)
        normals = noise.child(name).normal(0, torch.arange(shape[0]), shape[1:], torch.float32)
        if name.endswith("gain"):
            return (GAIN_SPREAD * normals).clamp(-GAIN_LIMIT, GAIN_LIMIT)
        return normals * math.sqrt(2.0 / (shape[1] * shape[2] * shape[3]))

    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, C, H, W) residuals of x_t (K, n, C, H, W), divided by the running deviations; t is ignored and nothing is dropped."""
        members = [_member(parameters, k) for k in range(len(x_t))]
        return torch.stack([self._residual(p, x, partial(_running, p)) for p, x in zip(members, x_t, strict=True)])

    def learning(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> tuple[Tensor, dict[str, Tensor]]:
        """`outputs` divided by each member's deviations over its batch and pixels, and its running ones moved a tenth of the way there."""
        members = [_member(parameters, k) for k in range(len(x_t))]
        batches = [_Batch(p) for p in members]
        found = [self._residual(p, x, own) for p, x, own in zip(members, x_t, batches, strict=True)]
        return torch.stack(found), {name: torch.stack([own.running[name] for own in batches]) for name in batches[0].running}

    def _channels(self, level: int) -> int:
        return self.width << level

    def _block_shapes(self, block: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for i, channels in enumerate((inputs, outputs)):
            last = self._is_last(f"{block}.{i}")
            found[f"{block}.{i}.weight"] = (self.image_channels if last else outputs, channels, 3, 3)
            if not last and f"{block}.{i}" != "encoder.0.0":
                found |= {f"{block}.{i}.gain": (outputs,), f"{block}.{i}.deviation": (outputs,)}
        return found

    def _is_last(self, layer: str) -> bool:
        return layer == "decoder.0.1"

    def _residual(self, p: Parameters, y: Tensor, deviations: Deviations) -> Tensor:
        """(n, C, H, W) of one member."""
        self._refuse_side(*y.shape[-2:])
        x, passed = y, []
        for b in range(self.blocks):
            passed.append(self._block(p, f"encoder.{b}", x, deviations))
            x = F.avg_pool2d(passed[-1], 2)
        x = self._block(p, "middle", x, deviations)
        for b in reversed(range(self.blocks)):
            risen = F.conv_transpose2d(x, p[f"upsample.{b}.weight"], stride=2)
            x = self._block(p, f"decoder.{b}", torch.cat([risen, passed[b]], 1), deviations)
        return x

    def _block(self, p: Parameters, block: str, x: Tensor, deviations: Deviations) -> Tensor:
        for layer in (f"{block}.0", f"{block}.1"):
            x = F.conv2d(x, p[f"{layer}.weight"], padding=1)
            if f"{layer}.gain" in p:
                scale = p[f"{layer}.gain"] / deviations(f"{layer}.deviation", x)
                x = x * scale.to(x.dtype)[:, None, None]
            x = x if self._is_last(layer) else F.relu(x)
        return x

    def _refuse_side(self, height: int, width: int) -> None:
        step = 1 << self.blocks
        if height % step or width % step:
            raise InputError(f"images of {height} x {width} pixels cannot be halved {self.blocks} times", f"use sides divisible by {step}")


def _member(parameters: Parameters, k: int) -> dict[str, Tensor]:
    return {name: value[k] for name, value in parameters.items()}


def _running(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    return parameters[name]


@final
class _Batch:
    """Standard deviations over the batch and its pixels, without taking off a mean from what is divided; running ones on the side."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.running: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        deviation = (wide.var((0, 2, 3), correction=0) + EPSILON).sqrt()
        self.running[name] = torch.lerp(self.parameters[name].detach(), deviation.detach(), MOMENTUM)
        return deviation
