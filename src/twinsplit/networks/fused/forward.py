"""The forward pass of one member, written out."""

from collections.abc import Iterator, Mapping
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.networks.fused.arrays import Workspace, layer_views, raw, refresh
from twinsplit.networks.fused.dropping import Dropping, Keep
from twinsplit.networks.network import Network
from twinsplit.networks.transformer import Transformer, timestep_embedding

PIECE_ROWS = 1024  # tokens worked on together: few enough that arrays stay in the cache, enough for products to run at full speed


def pieces(n: int, spec: Transformer) -> Iterator[slice]:
    """Ranges of n sequences."""
    size = max(1, PIECE_ROWS // spec.length)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def is_factor(name: str) -> bool:
    """Whether a parameter takes part in the layers' products, which may be rounded; the first and last products are small."""
    return name.startswith("layers.") and "norm" not in name


@final
class FusedLogits:
    """From noised leaves and features of their times to logits."""

    def __init__(self, spec: Transformer, parameters: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> None:
        """parameters: name -> (1, *shape), views that stay where they are; float32 but for those that stand rounded in `factors`."""
        from twinsplit.kernels import encoder

        self.spec = spec
        self.p = {name: value[0].detach() for name, value in parameters.items()}
        self.layers = [layer_views(self.p, i) for i in range(spec.layers)]
        members = {name: value[0].detach() for name, value in factors.items()}
        self.factors = [layer_views(members, i) for i in range(spec.layers)]
        self.kernel: Any = encoder

    def __call__(self, x: Tensor, features: Tensor, space: Workspace, dropping: Dropping) -> Tensor:
        """space.logits (N, q) from x (N, q) and the times' features (n, .)."""
        self.embed(x, features, space)
        for i in range(self.spec.layers):
            refresh(space.x_factor[i], space.x[i])
            self.attend(i, space, dropping)
            self.feed(i, space, dropping)
        return torch.addmm(self.p["output.bias"], space.x[-1], self.p["output.weight"].T, out=space.logits)

    def embed(self, x: Tensor, features: Tensor, space: Workspace) -> None:
        """The first layer's input."""
        out = torch.addmm(self.p["input.bias"], x, self.p["input.weight"].T, out=space.x[0])
        time = torch.addmm(self.p["time.bias"], features, self.p["time.weight"].T)
        out.view(space.n, self.spec.length, -1).add_(self.p["position"]).add_(time[:, None])

    def attend(self, i: int, space: Workspace, dropping: Dropping) -> None:
        """space.middle[i]: layer i's input and what its attention adds, normed."""
        f = self.factors[i]
        torch.addmm(f["attention.qkv.bias"], space.x_factor[i], f["attention.qkv.weight"].T, out=space.qkv[i])
        dropping.attend(i, space)
        torch.addmm(f["attention.out.bias"], space.mixed[i], f["attention.out.weight"].T, out=space.changed)
        dropping.add(i, "attended", space.changed)
        self.norm(i, "norm1", space.changed, space.x[i], space.unit[i][0], space.inverse[i][0], space.middle[i])
        refresh(space.middle_factor[i], space.middle[i])

    def feed(self, i: int, space: Workspace, dropping: Dropping) -> None:
        """The next layer's input: that and what the feedforward part adds, normed."""
        f = self.factors[i]
        torch.addmm(f["feedforward.in.bias"], space.middle_factor[i], f["feedforward.in.weight"].T, out=space.hidden[i])
        dropping.activate(i, space.hidden[i])
        torch.addmm(f["feedforward.out.bias"], space.hidden[i], f["feedforward.out.weight"].T, out=space.changed)
        dropping.add(i, "fed", space.changed)
        self.norm(i, "norm2", space.changed, space.middle[i], space.unit[i][1], space.inverse[i][1], space.x[i + 1])

    def norm(self, i: int, name: str, *arrays: Tensor) -> None:
        """out = norm(x + changed) for arrays (changed, x, unit, inverse, out)."""
        p = self.layers[i]
        changed, x, unit, inverse, out = (raw(a) for a in arrays)
        self.kernel.norm_forward(changed, x, raw(p[f"{name}.weight"]), raw(p[f"{name}.bias"]), unit, inverse, out)


@torch.no_grad()
def evaluate(network: Network, parameters: Mapping[str, Tensor], x_t: Tensor, t: Tensor) -> Tensor:
    """(n, L, q) float32 logits of one member for x_t (n, L, q) and t (n,). Parameters in bfloat16 mean products in bfloat16."""
    assert isinstance(network, Transformer)
    dtype = next(iter(parameters.values())).dtype
    single = {name: value if is_factor(name) else value.float() for name, value in parameters.items()}
    forward, keep, n = FusedLogits(network, single, parameters), Keep(network), len(x_t)
    out, features = torch.empty(n, network.length, network.vocab_size), timestep_embedding(t, network.time_features)
    x = x_t.float().contiguous()
    spaces: dict[int, Workspace] = {}
    for piece in pieces(n, network):
        size = piece.stop - piece.start
        if size not in spaces:
            spaces[size] = Workspace(network, size, 1, dtype)
        out[piece] = forward(x[piece].flatten(0, 1), features[piece], spaces[size], keep).view(out[piece].shape)
    return out
