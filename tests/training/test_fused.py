"""The written-out step against autograd."""

from dataclasses import replace

import pytest
import torch

from twinsplit import kernels
from twinsplit.networks.transformer import Transformer
from twinsplit.noise import Noise
from twinsplit.recipes import Training
from twinsplit.training import fused
from twinsplit.training.ensemble import Ensemble, Member
from twinsplit.training.loss import token_cross_entropy
from twinsplit.training.stack import Stack

pytestmark = pytest.mark.skipif(kernels.backend() != "numba", reason="the written-out step needs numba")
SPECS = [
    Transformer(vocab_size=6, length=8, width=64, layers=3, heads=4, feedforward=128, dropout=0.0),
    Transformer(vocab_size=4, length=4, width=16, layers=1, heads=2, feedforward=32, dropout=0.0),
    Transformer(vocab_size=5, length=16, width=24, layers=2, heads=3, feedforward=40, dropout=0.0),
]


def batch(spec: Transformer, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = Noise(1, "tokens").integers(0, torch.arange(n * spec.length), 0, spec.vocab_size - 1).view(n, -1)
    x_t = 3 * Noise(1, "x").normal(0, torch.arange(n), (spec.length, spec.vocab_size), torch.float32)
    return tokens, x_t, Noise(1, "t").integers(0, torch.arange(n), 1, 200)


def weights(spec: Transformer, scale: float) -> Stack:
    """Untrained weights, every one moved, so that no bias is zero and no gain one."""
    stack = Stack.zeros(spec, 1)
    for name, value in Ensemble.initial(spec, (Member(0, 0),), Noise(0)).parameters.items():
        stack.views[name].copy_(value)
    stack.flat.mul_(scale).add_(0.1 * Noise(2, "move").normal(0, torch.arange(1), (len(stack.flat),), torch.float32)[0])
    return stack


@pytest.mark.parametrize("spec", SPECS, ids=["demo", "tiny", "odd"])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_loss_and_gradient_are_autograds(spec: Transformer, scale: float) -> None:
    """In float32 against float64: the written-out step may err by no more than a few times what autograd errs."""
    stack, (tokens, x_t, t) = weights(spec, scale), batch(spec, 33)
    exact = {name: value.double().requires_grad_() for name, value in stack.views.items()}
    loss = token_cross_entropy_double(spec, exact, tokens, x_t, t)
    loss.backward()
    own = Stack.zeros(spec, 1)
    value = fused.FusedLoss(spec, stack.views, own.views)(tokens, x_t, t)
    leaves = {name: view.clone().requires_grad_() for name, view in stack.views.items()}
    token_cross_entropy(spec.outputs(leaves, x_t[None], t[None]), tokens[None]).sum().backward()
    assert float(value) == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, parameter in exact.items():
        size = float(parameter.grad.abs().max())
        error = float((own.views[name] - parameter.grad).abs().max())
        allowed = float((leaves[name].grad - parameter.grad).abs().max())
        assert error <= 5 * allowed + 2e-6 * size + 1e-8, name


def token_cross_entropy_double(spec: Transformer, parameters: dict[str, torch.Tensor], *data: torch.Tensor) -> torch.Tensor:
    tokens, x_t, t = data
    logits = spec.outputs(parameters, x_t.double()[None], t[None])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 2), tokens.flatten())


def test_a_batch_of_another_size_and_a_second_call_give_the_same_bits() -> None:
    spec = SPECS[0]
    stack, own = weights(spec, 1.0), Stack.zeros(spec, 1)
    loss = fused.FusedLoss(spec, stack.views, own.views)
    first, gradient = loss(*batch(spec, 20)), own.flat.clone()
    own.flat.zero_()
    loss(*batch(spec, 7))
    own.flat.zero_()
    assert torch.equal(loss(*batch(spec, 20)), first)
    assert torch.equal(own.flat, gradient)


@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_evaluation_is_the_networks_own(n: int) -> None:
    spec = SPECS[0]
    stack, (_, x_t, t) = weights(spec, 1.0), batch(spec, n)
    exact = spec.outputs({name: value.double() for name, value in stack.views.items()}, x_t.double()[None], t[None])[0]
    torch.testing.assert_close(fused.evaluate(spec, stack.views, x_t, t).double(), exact, rtol=1e-5, atol=1e-5)


PLAIN = Training(precision="float32")


def test_what_it_serves() -> None:
    spec, here = SPECS[0], torch.zeros(1)
    wide, dropped = Transformer(dropout=0.0), Transformer(width=64, feedforward=128, dropout=0.1)
    assert fused.serves(spec, 1, here, PLAIN)
    assert not fused.serves(spec, 2, here, PLAIN)
    assert not fused.serves(spec, 1, here, replace(PLAIN, precision="bfloat16"))
    assert not fused.serves(wide, 1, here, PLAIN)
    assert not fused.serves(dropped, 1, here, PLAIN)
    assert not fused.serves(spec, 1, torch.zeros(1, device="meta"), PLAIN)
    assert not fused.serves(spec, 1, here, replace(PLAIN, loss="squared_error"))
    assert not fused.serves(spec, 1, here, replace(PLAIN, weighting="vlb"))
