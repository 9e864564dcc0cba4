"""What dropout does in a written-out step: nothing, or what `Dropout` does, with the same words in the same order.

A step works on a batch piece by piece, but words are drawn for whole batches, layer by layer: they are drawn before the first piece.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.networks.dropout import Dropout
from twinsplit.networks.fused.arrays import Gradients, Workspace, raw, refresh
from twinsplit.networks.transformer import Transformer

Branch = Literal["attended", "fed"]


class Dropping(ABC):
    """The places of a layer where dropout acts: attention weights, both branches that are added to the stream, the hidden numbers."""

    @abstractmethod
    def attend(self, i: int, space: Workspace) -> None:
        """space.mixed[i] from space.qkv[i]."""

    @abstractmethod
    def add(self, i: int, branch: Branch, values: Tensor) -> None:
        """What the branch adds, in place."""

    @abstractmethod
    def activate(self, i: int, hidden: Tensor) -> None:
        """ReLU, then dropout, in place."""

    @abstractmethod
    def attend_back(self, i: int, space: Workspace, grad: Gradients) -> None:
        """grad.qkv from grad.mixed."""

    @abstractmethod
    def activate_back(self, i: int, grad: Tensor, hidden: Tensor, total: Tensor) -> None:
        """The gradient before ReLU from that after dropout, in place; its sum over rows is added to total."""

    @abstractmethod
    def sums(self, grad: Gradients, total: Tensor) -> Tensor:
        """Where the norm's backward pass leaves the sum of the stream's gradient, which `add_back` turns into the branch's."""

    @abstractmethod
    def add_back(self, i: int, branch: Branch, stream: Tensor, out: Tensor, total: Tensor) -> None:
        """out: the gradient of the branch from that of the stream; its sum over rows is added to total, unless `sums` did."""


@final
class Keep(Dropping):
    """No dropout."""

    def __init__(self, spec: Transformer) -> None:
        from twinsplit.kernels import attention, encoder

        sizes = spec.length, spec.heads, spec.width // spec.heads
        self.forward, self.backward = attention.attention_forward(*sizes), attention.attention_backward(*sizes)
        self.kernel: Any = encoder

    def attend(self, i: int, space: Workspace) -> None:
        self.forward(raw(space.qkv[i]), raw(space.weights[i]), raw(space.mixed[i]))

    def add(self, i: int, branch: Branch, values: Tensor) -> None:
        pass

    def activate(self, i: int, hidden: Tensor) -> None:
        hidden.relu_()

    def attend_back(self, i: int, space: Workspace, grad: Gradients) -> None:
        self.backward(raw(grad.mixed), raw(space.qkv[i]), raw(space.weights[i]), raw(grad.qkv))

    def activate_back(self, i: int, grad: Tensor, hidden: Tensor, total: Tensor) -> None:
        self.kernel.relu_backward(raw(grad), raw(hidden), np.float32(1.0), raw(total))

    def sums(self, grad: Gradients, total: Tensor) -> Tensor:
        return total

    def add_back(self, i: int, branch: Branch, stream: Tensor, out: Tensor, total: Tensor) -> None:
        refresh(out, stream)


@final
class Drop(Dropping):
    """Dropout of some sequences of a batch. words: for each layer, place -> int16 for these sequences."""

    def __init__(self, spec: Transformer, words: list[dict[str, Any]], rule: Dropout) -> None:
        from twinsplit.kernels import attention, encoder

        sizes = spec.length, spec.heads, spec.width // spec.heads
        self.forward, self.backward = attention.dropped_forward(*sizes), attention.dropped_backward(*sizes)
        self.kernel: Any = encoder
        self.words, self.least, self.gain = words, np.int16(rule.least), np.float32(rule.gain)

    def attend(self, i: int, space: Workspace) -> None:
        weights, kept = raw(space.weights[i]), raw(space.kept_weights[i])
        self.forward(raw(space.qkv[i]), self.words[i]["weights"], self.least, self.gain, weights, kept, raw(space.mixed[i]))

    def add(self, i: int, branch: Branch, values: Tensor) -> None:
        self.kernel.drop(raw(values), self.words[i][branch], self.least, self.gain)

    def activate(self, i: int, hidden: Tensor) -> None:
        self.kernel.relu_drop(raw(hidden), self.words[i]["hidden"], self.least, self.gain)

    def attend_back(self, i: int, space: Workspace, grad: Gradients) -> None:
        weights, kept = raw(space.weights[i]), raw(space.kept_weights[i])
        self.backward(raw(grad.mixed), raw(space.qkv[i]), weights, kept, raw(grad.qkv))

    def activate_back(self, i: int, grad: Tensor, hidden: Tensor, total: Tensor) -> None:
        self.kernel.relu_backward(raw(grad), raw(hidden), self.gain, raw(total))

    def sums(self, grad: Gradients, total: Tensor) -> Tensor:
        return grad.unused

    def add_back(self, i: int, branch: Branch, stream: Tensor, out: Tensor, total: Tensor) -> None:
        self.kernel.drop_backward(raw(stream), self.words[i][branch], self.least, self.gain, raw(out), raw(total))


@final
class Words:
    """The words of a batch of n sequences, in the order in which `Transformer` asks for dropout."""

    def __init__(self, spec: Transformer, n: int) -> None:
        rows = n * spec.length
        self.spec = spec
        self.shapes = {
            "weights": (n, spec.heads, spec.length, spec.length),
            "attended": (rows, spec.width),
            "hidden": (rows, spec.feedforward),
            "fed": (rows, spec.width),
        }
        self.layers = [{place: Dropout.room(prod(shape)) for place, shape in self.shapes.items()} for _ in range(spec.layers)]

    def draw(self, rule: Dropout) -> None:
        """Those of a step."""
        self.rule = rule
        for layer in self.layers:
            for words in layer.values():
                rule.draw(0, words)

    def of(self, piece: slice) -> Drop:
        """Dropout of a piece of the batch, a range of its sequences."""
        words = [{place: self._part(words, place, piece) for place, words in layer.items()} for layer in self.layers]
        return Drop(self.spec, words, self.rule)

    def _part(self, words: Tensor, place: str, piece: slice) -> Any:
        shape = self.shapes[place]
        each = 1 if place == "weights" else self.spec.length
        part: Tensor = words.view(torch.int16)[: prod(shape)].view(shape)[piece.start * each : piece.stop * each]
        return part.numpy()
