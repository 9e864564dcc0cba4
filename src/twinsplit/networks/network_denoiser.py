"""One member whose outputs are token logits, as a denoiser."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.networks import fused
from twinsplit.networks.arithmetic import product_dtype
from twinsplit.networks.network import Network


@final
@dataclass(frozen=True, eq=False)
class NetworkDenoiser(Denoiser[Categorical]):
    """One member as a denoiser. parameters: name -> (1, *shape)."""

    network: Network
    parameters: Mapping[str, Tensor]

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        weight = next(iter(self.parameters.values()))
        dtype = weight.dtype
        times = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        if len(x_t) and fused.evaluates(self.network, weight):
            return Categorical.from_logits(fused.evaluate(self.network, self.parameters, x_t, times))
        logits = self.network.outputs(self.parameters, x_t.to(dtype)[None], times[None])[0]
        return Categorical.from_logits(logits.float() if dtype == torch.bfloat16 else logits)

    def computing(self, precision: str) -> "NetworkDenoiser":
        """The same network with weights and activations in what a recipe's precision means on its device; posteriors stay float32."""
        dtype = product_dtype(precision, self.device)
        return NetworkDenoiser(self.network, {name: value.to(dtype) for name, value in self.parameters.items()})
