"""Loss and gradient of one member, written out."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from twinsplit.networks.dropout import Dropout
from twinsplit.networks.fused.arrays import Gradients, Workspace, accumulate, layer_views, nbytes, raw
from twinsplit.networks.fused.dropping import Branch, Dropping, Keep, Words
from twinsplit.networks.fused.forward import FusedLogits, is_factor, pieces
from twinsplit.networks.network import Drop, Network, keep
from twinsplit.networks.transformer import Transformer, timestep_embedding


def kept_bytes(spec: Transformer, n: int, dtype: torch.dtype) -> int:
    """What `FusedLoss.kept_bytes` is after batches of n sequences, without making the arrays."""
    sizes = {piece.stop - piece.start for piece in pieces(n, spec)}
    with torch.device("meta"):
        holders: list[object] = [Words(spec, n)] if spec.dropout else []
        for size in sizes:
            holders += [Workspace(spec, size, spec.layers, dtype), Gradients(spec, size, dtype)]
    return nbytes(*holders)


@final
class FusedLoss:
    """Call with a batch of one member: the loss, and its gradient added to `gradients`."""

    def __init__(
        self, spec: Transformer, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> None:
        """parameters, gradients: name -> (1, *shape) float32, views that stay where they are; dtype: of the layers' products."""
        self.spec, self.parameters, self.dtype = spec, parameters, dtype
        self.factors = {name: value.detach().to(dtype) for name, value in parameters.items() if is_factor(name)}  # views in float32
        self.forward = FusedLogits(spec, parameters, self.factors)
        self.p, self.kernel = self.forward.p, self.forward.kernel
        self.g = {name: value[0] for name, value in gradients.items()}
        self.layers = [layer_views(self.g, i) for i in range(spec.layers)]
        self.keep = Keep(spec)
        self.spaces: dict[int, tuple[Workspace, Gradients]] = {}
        self.words: dict[int, Words] = {}

    @classmethod
    def of(cls, network: Network, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], dtype: torch.dtype) -> "FusedLoss":
        """For a network that `serves` admits."""
        assert isinstance(network, Transformer)
        return cls(network, parameters, gradients, dtype)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """() float32 loss for tokens (n, L), x_t (n, L, q) and t (n,)."""
        self._round()
        words = None if drop is keep else self._draw(len(tokens), drop)
        loss, features = 0.0, timestep_embedding(t, self.spec.time_features)
        for piece in pieces(len(tokens), self.spec):
            dropping = words.of(piece) if words else self.keep
            x = x_t[piece].reshape(-1, self.spec.vocab_size)
            loss += self._piece(tokens[piece].reshape(-1), x, features[piece], tokens.numel(), dropping)
        return torch.tensor(loss, dtype=torch.float32)

    def kept_bytes(self) -> int:
        """Bytes of activations, of gradients on their way and of dropout's words: arrays that are used again at every step."""
        return nbytes(*(holder for pair in self.spaces.values() for holder in pair), *self.words.values())

    def _round(self) -> None:
        if self.dtype != torch.float32:
            for name, factor in self.factors.items():
                factor.copy_(self.parameters[name])

    def _draw(self, n: int, rule: Drop) -> Words:
        assert isinstance(rule, Dropout), f"no dropout of the kind {type(rule).__name__} is written out"
        if n not in self.words:
            self.words[n] = Words(self.spec, n)
        self.words[n].draw(rule)
        return self.words[n]

    def _space(self, n: int) -> tuple[Workspace, Gradients]:
        if n not in self.spaces:
            self.spaces[n] = Workspace(self.spec, n, self.spec.layers, self.dtype), Gradients(self.spec, n, self.dtype)
        return self.spaces[n]

    def _piece(self, tokens: Tensor, x: Tensor, features: Tensor, count: int, dropping: Dropping) -> float:
        """The piece's share of the loss, a mean over `count` tokens."""
        space, grad = self._space(len(features))
        logits = self.forward(x, features, space, dropping)
        loss: float = self.kernel.cross_entropy(raw(logits), raw(tokens), count, raw(grad.logits))
        self.back(x, features, space, grad, dropping)
        return loss

    def back(self, x: Tensor, features: Tensor, space: Workspace, grad: Gradients, dropping: Dropping) -> None:
        """From the gradient of the logits to that of every parameter."""
        g = self.g
        accumulate(g["output.weight"], grad.logits.T, space.x[-1])
        self.kernel.add_rows(raw(grad.logits), raw(g["output.bias"]))
        torch.mm(grad.logits, self.p["output.weight"], out=grad.a)
        for i in reversed(range(self.spec.layers)):
            self.feed_back(i, space, grad, dropping)
            self.attend_back(i, space, grad, dropping)
        accumulate(g["input.weight"], grad.a.T, x)
        self.kernel.add_rows(raw(grad.a), raw(g["input.bias"]))
        each = grad.a.view(space.n, self.spec.length, -1)
        g["position"].add_(each.sum(0))
        per_sequence = each.sum(1)
        accumulate(g["time.weight"], per_sequence.T, features)
        g["time.bias"].add_(per_sequence.sum(0))

    def feed_back(self, i: int, space: Workspace, grad: Gradients, dropping: Dropping) -> None:
        """grad.b, the gradient of space.middle[i], from grad.a, that of the layer's output."""
        f, g = self.forward.factors[i], self.layers[i]
        self.norm_back(i, "fed", space, grad, dropping)
        accumulate(g["feedforward.out.weight"], grad.branch_b.T, space.hidden[i])
        torch.mm(grad.branch_b, f["feedforward.out.weight"], out=grad.wide)
        dropping.activate_back(i, grad.wide, space.hidden[i], g["feedforward.in.bias"])
        accumulate(g["feedforward.in.weight"], grad.wide.T, space.middle_factor[i])
        accumulate(grad.b, grad.wide, f["feedforward.in.weight"])

    def attend_back(self, i: int, space: Workspace, grad: Gradients, dropping: Dropping) -> None:
        """grad.a, the gradient of the layer's input, from grad.b."""
        f, g = self.forward.factors[i], self.layers[i]
        self.norm_back(i, "attended", space, grad, dropping)
        accumulate(g["attention.out.weight"], grad.branch_a.T, space.mixed[i])
        torch.mm(grad.branch_a, f["attention.out.weight"], out=grad.mixed)
        dropping.attend_back(i, space, grad)
        self.kernel.add_rows(raw(grad.qkv), raw(g["attention.qkv.bias"]))
        accumulate(g["attention.qkv.weight"], grad.qkv.T, space.x_factor[i])
        accumulate(grad.a, grad.qkv, f["attention.qkv.weight"])

    def norm_back(self, i: int, branch: Branch, space: Workspace, grad: Gradients, dropping: Dropping) -> None:
        """The gradient before the norm, of the stream and of the branch that was added to it: from a to b (fed) or from b to a."""
        g = self.layers[i]
        if branch == "fed":
            name, bias, k, source, out, share = "norm2", g["feedforward.out.bias"], 1, grad.a, grad.b, grad.branch_b
        else:
            name, bias, k, source, out, share = "norm1", g["attention.out.bias"], 0, grad.b, grad.a, grad.branch_a
        gain, unit, inverse = self.forward.layers[i][f"{name}.weight"], space.unit[i][k], space.inverse[i][k]
        sums = (g[f"{name}.weight"], g[f"{name}.bias"], out, dropping.sums(grad, bias))
        self.kernel.norm_backward(*(raw(a) for a in (source, gain, unit, inverse, *sums)))
        dropping.add_back(i, branch, out, share, bias)
