"""Loss and gradient of one small transformer on the CPU, written out: no graph, no allocation, compiled loops between the products.

The same function as `Transformer.logits`, `token_cross_entropy` and autograd, to float32 rounding (the tests compare them). It serves one
member in float32 without dropout where the kernels do; everything else takes the general path.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.networks.network import Network
from twinsplit.networks.transformer import Transformer, timestep_embedding

WIDEST = 256  # beyond, matrix products are nearly all of a step


def serves(network: Network, members: int, weights: Tensor, precision: str) -> bool:
    """Whether a step may go through here."""
    plain = isinstance(network, Transformer) and network.dropout == 0 and network.width <= WIDEST
    return plain and members == 1 and precision == "float32" and kernels.serves(weights)


@final
class Workspace:
    """Arrays of one batch size, used again at every step. Per layer, what the backward pass looks at."""

    def __init__(self, spec: Transformer, n: int) -> None:
        rows, d, f = n * spec.length, spec.width, spec.feedforward
        self.n = n
        self.x = [torch.empty(rows, d) for _ in range(spec.layers + 1)]  # the layers' inputs, and the last one's output
        self.middle = [torch.empty(rows, d) for _ in range(spec.layers)]
        self.qkv = [torch.empty(rows, 3 * d) for _ in range(spec.layers)]
        self.mixed = [torch.empty(rows, d) for _ in range(spec.layers)]
        self.hidden = [torch.empty(rows, f) for _ in range(spec.layers)]
        self.weights = [torch.empty(n, spec.heads, spec.length, spec.length) for _ in range(spec.layers)]
        self.unit = [(torch.empty(rows, d), torch.empty(rows, d)) for _ in range(spec.layers)]
        self.inverse = [(torch.empty(rows), torch.empty(rows)) for _ in range(spec.layers)]
        self.logits, self.logits_grad = torch.empty(rows, spec.vocab_size), torch.empty(rows, spec.vocab_size)
        self.a, self.b, self.wide, self.qkv_grad = (
            torch.empty(rows, d),
            torch.empty(rows, d),
            torch.empty(rows, f),
            torch.empty(rows, 3 * d),
        )


@final
class FusedLoss:
    """Call with a batch of one member: the loss, and its gradient left in `gradients` (which must be zero before)."""

    def __init__(self, spec: Transformer, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """parameters, gradients: name -> (1, *shape), views that stay where they are."""
        self.spec = spec
        self.p = {name: value[0].detach() for name, value in parameters.items()}
        self.g = {name: value[0] for name, value in gradients.items()}
        self.spaces: dict[int, Workspace] = {}

    @classmethod
    def of(cls, network: Network, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> "FusedLoss":
        """For a network that `serves` admits."""
        assert isinstance(network, Transformer)
        return cls(network, parameters, gradients)

    @cached_property
    def kernel(self) -> Any:
        """The compiled loops."""
        from twinsplit.kernels import encoder

        return encoder

    @cached_property
    def attention(self) -> tuple[Any, Any]:
        """Forward and backward for this network's lengths."""
        sizes = self.spec.length, self.spec.heads, self.spec.width // self.spec.heads
        return self.kernel.attention_forward(*sizes), self.kernel.attention_backward(*sizes)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """() float32 loss for tokens (n, L), x_t (n, L, q) and t (n,)."""
        n = len(tokens)
        space = self.spaces[n] = self.spaces.get(n) or Workspace(self.spec, n)
        x, features = x_t.reshape(-1, self.spec.vocab_size), timestep_embedding(t, self.spec.time_features)
        self.embed(x, features, space)
        for i in range(self.spec.layers):
            self.layer(i, space)
        torch.addmm(self.p["output.bias"], space.x[-1], self.p["output.weight"].T, out=space.logits)
        loss = self.kernel.cross_entropy(space.logits.numpy(), tokens.reshape(-1).numpy(), space.logits_grad.numpy())
        self.back(x, features, space)
        return torch.tensor(loss, dtype=torch.float32)

    def embed(self, x: Tensor, features: Tensor, space: Workspace) -> None:
        """The first layer's input."""
        out = torch.addmm(self.p["input.bias"], x, self.p["input.weight"].T, out=space.x[0])
        time = torch.addmm(self.p["time.bias"], features, self.p["time.weight"].T)
        out.view(space.n, self.spec.length, -1).add_(self.p["position"]).add_(time[:, None])

    def layer(self, i: int, space: Workspace) -> None:
        """The next layer's input."""
        p, x = self.layer_views(self.p, i), space.x[i]
        torch.addmm(p["attention.qkv.bias"], x, p["attention.qkv.weight"].T, out=space.qkv[i])
        self.attention[0](space.qkv[i].numpy(), space.weights[i].numpy(), space.mixed[i].numpy())
        torch.addmm(p["attention.out.bias"], space.mixed[i], p["attention.out.weight"].T, out=space.a)
        self.norm(p, "norm1", space.a, x, space.unit[i][0], space.inverse[i][0], space.middle[i])
        torch.addmm(p["feedforward.in.bias"], space.middle[i], p["feedforward.in.weight"].T, out=space.hidden[i]).relu_()
        torch.addmm(p["feedforward.out.bias"], space.hidden[i], p["feedforward.out.weight"].T, out=space.a)
        self.norm(p, "norm2", space.a, space.middle[i], space.unit[i][1], space.inverse[i][1], space.x[i + 1])

    def norm(self, p: Mapping[str, Tensor], name: str, *arrays: Tensor) -> None:
        """out = norm(x + changed) for arrays (changed, x, unit, inverse, out)."""
        changed, x, unit, inverse, out = (a.numpy() for a in arrays)
        self.kernel.norm_forward(changed, x, p[f"{name}.weight"].numpy(), p[f"{name}.bias"].numpy(), unit, inverse, out)

    def layer_views(self, tensors: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
        """One layer's tensors under their names within it."""
        prefix = f"layers.{i}."
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    def back(self, x: Tensor, features: Tensor, space: Workspace) -> None:
        """From the gradient of the logits to that of every parameter."""
        g, grad = self.g, space.logits_grad
        self.linear_back("output", grad, space.x[-1], g)
        self.kernel.add_rows(grad.numpy(), g["output.bias"].numpy())
        torch.mm(grad, self.p["output.weight"], out=space.a)
        for i in reversed(range(self.spec.layers)):
            self.layer_back(i, space)
        self.linear_back("input", space.a, x, g)
        self.kernel.add_rows(space.a.numpy(), g["input.bias"].numpy())
        each = space.a.view(space.n, self.spec.length, -1)
        torch.sum(each, 0, out=g["position"])
        per_sequence = each.sum(1)
        torch.mm(per_sequence.T, features, out=g["time.weight"])
        torch.sum(per_sequence, 0, out=g["time.bias"])

    def linear_back(self, name: str, grad: Tensor, x: Tensor, g: Mapping[str, Tensor]) -> None:
        """The gradient of a linear layer's weight."""
        torch.mm(grad.T, x, out=g[f"{name}.weight"])

    def layer_back(self, i: int, space: Workspace) -> None:
        """space.a: the gradient of the layer's output, replaced by that of its input."""
        p, g = self.layer_views(self.p, i), self.layer_views(self.g, i)
        self.norm_back(p, g, "norm2", "feedforward.out.bias", space.a, space.unit[i][1], space.inverse[i][1], space.b)
        self.linear_back("feedforward.out", space.b, space.hidden[i], g)
        torch.mm(space.b, p["feedforward.out.weight"], out=space.wide)
        self.kernel.relu_backward(space.wide.numpy(), space.hidden[i].numpy(), g["feedforward.in.bias"].numpy())
        self.linear_back("feedforward.in", space.wide, space.middle[i], g)
        space.b.addmm_(space.wide, p["feedforward.in.weight"])
        self.norm_back(p, g, "norm1", "attention.out.bias", space.b, space.unit[i][0], space.inverse[i][0], space.a)
        self.linear_back("attention.out", space.a, space.mixed[i], g)
        torch.mm(space.a, p["attention.out.weight"], out=space.b)
        self.attention[1](space.b.numpy(), space.qkv[i].numpy(), space.weights[i].numpy(), space.qkv_grad.numpy())
        self.kernel.add_rows(space.qkv_grad.numpy(), g["attention.qkv.bias"].numpy())
        self.linear_back("attention.qkv", space.qkv_grad, space.x[i], g)
        space.a.addmm_(space.qkv_grad, p["attention.qkv.weight"])

    def norm_back(self, p: Mapping[str, Tensor], g: Mapping[str, Tensor], name: str, bias: str, *arrays: Tensor) -> None:
        """arrays (grad, unit, inverse, out): out is the gradient before the norm; its sum is that of the linear bias before it."""
        grad, unit, inverse, out = (a.numpy() for a in arrays)
        self.kernel.norm_backward(
            grad, p[f"{name}.weight"].numpy(), unit, inverse, g[f"{name}.weight"].numpy(), g[f"{name}.bias"].numpy(), out, g[bias].numpy()
        )
