"""Loss and gradient of one small transformer on the CPU, written out: no graph, no allocation, compiled loops between the products.

The same function as `Transformer.outputs`, `token_cross_entropy` and autograd, to float32 rounding (the tests compare them). It serves one
member in float32 without dropout where the kernels do; everything else takes the general path.
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.networks.network import Network
from twinsplit.networks.transformer import Transformer, timestep_embedding
from twinsplit.recipes import Training

PIECE = 128  # sequences evaluated together
WIDEST = 256  # beyond, matrix products are nearly all of a step


def evaluates(network: Network, weight: Tensor) -> bool:
    """Whether `evaluate` may stand for the network's own forward pass."""
    small = isinstance(network, Transformer) and network.width <= WIDEST
    return small and weight.dtype == torch.float32 and kernels.serves(weight)


def serves(network: Network, members: int, weight: Tensor, training: Training) -> bool:
    """Whether a step may go through here: one member, no dropout, and the plain loss that is written out."""
    plain = (training.precision, training.loss, training.weighting) == ("float32", "cross_entropy", "uniform")
    return members == 1 and plain and not getattr(network, "dropout", 0.0) and evaluates(network, weight)


@final
class Workspace:
    """Arrays of one batch size, used again at every step. Training keeps every layer's, evaluation has one set for all of them."""

    def __init__(self, spec: Transformer, n: int, kept: int) -> None:
        """kept: layers whose arrays are kept, all of them or 1."""

        def each(*shape: int) -> list[Tensor]:
            return [torch.empty(shape) for _ in range(kept)] * (spec.layers // kept)

        rows, d, f = n * spec.length, spec.width, spec.feedforward
        self.n = n
        self.x = [*each(rows, d), torch.empty(rows, d)]  # the layers' inputs, and the last one's output
        self.middle, self.mixed, self.qkv, self.hidden = each(rows, d), each(rows, d), each(rows, 3 * d), each(rows, f)
        self.weights = each(n, spec.heads, spec.length, spec.length)
        self.unit = list(zip(each(rows, d), each(rows, d), strict=True))
        self.inverse = list(zip(each(rows), each(rows), strict=True))
        self.logits, self.a = torch.empty(rows, spec.vocab_size), torch.empty(rows, d)


@final
class Gradients:
    """What the backward pass writes on its way."""

    def __init__(self, spec: Transformer, n: int) -> None:
        rows = n * spec.length
        self.logits, self.b = torch.empty(rows, spec.vocab_size), torch.empty(rows, spec.width)
        self.wide, self.qkv = torch.empty(rows, spec.feedforward), torch.empty(rows, 3 * spec.width)


@final
class FusedLogits:
    """The forward pass of one member."""

    def __init__(self, spec: Transformer, parameters: Mapping[str, Tensor]) -> None:
        """parameters: name -> (1, *shape), views that stay where they are."""
        from twinsplit.kernels import encoder

        self.spec = spec
        self.p = {name: value[0].detach() for name, value in parameters.items()}
        self.layers = [layer_views(self.p, i) for i in range(spec.layers)]
        self.kernel: Any = encoder
        self.attention = encoder.attention_forward(spec.length, spec.heads, spec.width // spec.heads)

    def __call__(self, x: Tensor, features: Tensor, space: Workspace) -> Tensor:
        """space.logits (N, q) from x (N, q) and the times' features (n, .)."""
        self.embed(x, features, space)
        for i in range(self.spec.layers):
            self.layer(i, space)
        return torch.addmm(self.p["output.bias"], space.x[-1], self.p["output.weight"].T, out=space.logits)

    def embed(self, x: Tensor, features: Tensor, space: Workspace) -> None:
        """The first layer's input."""
        out = torch.addmm(self.p["input.bias"], x, self.p["input.weight"].T, out=space.x[0])
        time = torch.addmm(self.p["time.bias"], features, self.p["time.weight"].T)
        out.view(space.n, self.spec.length, -1).add_(self.p["position"]).add_(time[:, None])

    def layer(self, i: int, space: Workspace) -> None:
        """The next layer's input."""
        p, x = self.layers[i], space.x[i]
        torch.addmm(p["attention.qkv.bias"], x, p["attention.qkv.weight"].T, out=space.qkv[i])
        self.attention(space.qkv[i].numpy(), space.weights[i].numpy(), space.mixed[i].numpy())
        torch.addmm(p["attention.out.bias"], space.mixed[i], p["attention.out.weight"].T, out=space.a)
        self.norm(p, "norm1", space.a, x, space.unit[i][0], space.inverse[i][0], space.middle[i])
        torch.addmm(p["feedforward.in.bias"], space.middle[i], p["feedforward.in.weight"].T, out=space.hidden[i]).relu_()
        torch.addmm(p["feedforward.out.bias"], space.hidden[i], p["feedforward.out.weight"].T, out=space.a)
        self.norm(p, "norm2", space.a, space.middle[i], space.unit[i][1], space.inverse[i][1], space.x[i + 1])

    def norm(self, p: Mapping[str, Tensor], name: str, *arrays: Tensor) -> None:
        """out = norm(x + changed) for arrays (changed, x, unit, inverse, out)."""
        changed, x, unit, inverse, out = (a.numpy() for a in arrays)
        self.kernel.norm_forward(changed, x, p[f"{name}.weight"].numpy(), p[f"{name}.bias"].numpy(), unit, inverse, out)


def layer_views(tensors: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    """One layer's tensors under their names within it."""
    prefix = f"layers.{i}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def evaluate(network: Network, parameters: Mapping[str, Tensor], x_t: Tensor, t: Tensor) -> Tensor:
    """(n, L, q) logits of one member for x_t (n, L, q) and t (n,), in pieces that stay in the cache."""
    assert isinstance(network, Transformer)
    forward, n = FusedLogits(network, parameters), len(x_t)
    out, features = torch.empty(n, network.length, network.vocab_size), timestep_embedding(t, network.time_features)
    x, space = x_t.float().contiguous(), Workspace(network, min(n, PIECE), 1)
    for start in range(0, n, PIECE):
        piece = slice(start, min(start + PIECE, n))
        if piece.stop - start != space.n:
            space = Workspace(network, piece.stop - start, 1)
        out[piece] = forward(x[piece].flatten(0, 1), features[piece], space).view(out[piece].shape)
    return out


@final
class FusedLoss:
    """Call with a batch of one member: the loss, and its gradient left in `gradients` (which must be zero before)."""

    def __init__(self, spec: Transformer, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """parameters, gradients: name -> (1, *shape), views that stay where they are."""
        self.spec, self.forward = spec, FusedLogits(spec, parameters)
        self.p, self.kernel = self.forward.p, self.forward.kernel
        self.g = {name: value[0] for name, value in gradients.items()}
        self.layers = [layer_views(self.g, i) for i in range(spec.layers)]
        self.attention = self.kernel.attention_backward(spec.length, spec.heads, spec.width // spec.heads)
        self.spaces: dict[int, tuple[Workspace, Gradients]] = {}

    @classmethod
    def of(cls, network: Network, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> "FusedLoss":
        """For a network that `serves` admits."""
        assert isinstance(network, Transformer)
        return cls(network, parameters, gradients)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """() float32 loss for tokens (n, L), x_t (n, L, q) and t (n,)."""
        n = len(tokens)
        if n not in self.spaces:
            self.spaces[n] = Workspace(self.spec, n, self.spec.layers), Gradients(self.spec, n)
        space, grad = self.spaces[n]
        x, features = x_t.reshape(-1, self.spec.vocab_size), timestep_embedding(t, self.spec.time_features)
        logits = self.forward(x, features, space)
        loss = self.kernel.cross_entropy(logits.numpy(), tokens.reshape(-1).numpy(), grad.logits.numpy())
        self.back(x, features, space, grad)
        return torch.tensor(loss, dtype=torch.float32)

    def back(self, x: Tensor, features: Tensor, space: Workspace, grad: Gradients) -> None:
        """From the gradient of the logits to that of every parameter."""
        g = self.g
        torch.mm(grad.logits.T, space.x[-1], out=g["output.weight"])
        self.kernel.add_rows(grad.logits.numpy(), g["output.bias"].numpy())
        torch.mm(grad.logits, self.p["output.weight"], out=space.a)
        for i in reversed(range(self.spec.layers)):
            self.layer_back(i, space, grad)
        torch.mm(space.a.T, x, out=g["input.weight"])
        self.kernel.add_rows(space.a.numpy(), g["input.bias"].numpy())
        each = space.a.view(space.n, self.spec.length, -1)
        torch.sum(each, 0, out=g["position"])
        per_sequence = each.sum(1)
        torch.mm(per_sequence.T, features, out=g["time.weight"])
        torch.sum(per_sequence, 0, out=g["time.bias"])

    def layer_back(self, i: int, space: Workspace, grad: Gradients) -> None:
        """space.a: the gradient of the layer's output, replaced by that of its input."""
        p, g = self.forward.layers[i], self.layers[i]
        self.norm_back(i, "norm2", "feedforward.out.bias", space.a, space.unit[i][1], space.inverse[i][1], grad.b)
        torch.mm(grad.b.T, space.hidden[i], out=g["feedforward.out.weight"])
        torch.mm(grad.b, p["feedforward.out.weight"], out=grad.wide)
        self.kernel.relu_backward(grad.wide.numpy(), space.hidden[i].numpy(), g["feedforward.in.bias"].numpy())
        torch.mm(grad.wide.T, space.middle[i], out=g["feedforward.in.weight"])
        grad.b.addmm_(grad.wide, p["feedforward.in.weight"])
        self.norm_back(i, "norm1", "attention.out.bias", grad.b, space.unit[i][0], space.inverse[i][0], space.a)
        torch.mm(space.a.T, space.mixed[i], out=g["attention.out.weight"])
        torch.mm(space.a, p["attention.out.weight"], out=grad.b)
        self.attention(grad.b.numpy(), space.qkv[i].numpy(), space.weights[i].numpy(), grad.qkv.numpy())
        self.kernel.add_rows(grad.qkv.numpy(), g["attention.qkv.bias"].numpy())
        torch.mm(grad.qkv.T, space.x[i], out=g["attention.qkv.weight"])
        space.a.addmm_(grad.qkv, p["attention.qkv.weight"])

    def norm_back(self, i: int, name: str, bias: str, *arrays: Tensor) -> None:
        """arrays (grad, unit, inverse, out): out is the gradient before the norm; its sum is that of the linear bias before it."""
        gain, g = self.forward.layers[i][f"{name}.weight"].numpy(), self.layers[i]
        sums = g[f"{name}.weight"].numpy(), g[f"{name}.bias"].numpy()
        grad, unit, inverse, out = (a.numpy() for a in arrays)
        self.kernel.norm_backward(grad, gain, unit, inverse, *sums, out, g[bias].numpy())
