"""The written-out step against autograd."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from twinsplit import kernels
from twinsplit.diffusion.series import Member
from twinsplit.networks import fused
from twinsplit.networks.dropout import Dropout
from twinsplit.networks.network import Drop, keep
from twinsplit.networks.transformer import Transformer
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.stack import Stack

pytestmark = pytest.mark.skipif(kernels.backend() != "numba", reason="the written-out step needs numba")
SPECS = [
    Transformer(vocab_size=6, length=8, width=64, layers=3, heads=4, feedforward=128, dropout=0.0),
    Transformer(vocab_size=4, length=4, width=16, layers=1, heads=2, feedforward=32, dropout=0.0),
    Transformer(vocab_size=5, length=16, width=24, layers=2, heads=3, feedforward=40, dropout=0.0),
    Transformer(vocab_size=6, length=16, width=128, layers=2, heads=2, feedforward=64, dropout=0.0),  # heads too wide to unroll
]
IDS = ["demo", "tiny", "odd", "wide"]


def dropout() -> Dropout:
    """Half a batch's activations go; every call draws the same."""
    return Dropout.keyed(0.3, [Noise(7)], 1, torch.device("cpu"))


DROPS: dict[str, Callable[[], Drop]] = {"whole": lambda: keep, "dropped": dropout}


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


def autograd(spec: Transformer, stack: Stack, dtype: torch.dtype, drop: Drop, n: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients by the general path, all of it in one type of numbers."""
    tokens, x_t, t = batch(spec, n)
    leaves = {name: value.detach().to(dtype).requires_grad_() for name, value in stack.views.items()}
    logits = spec.outputs(leaves, x_t.to(dtype)[None], t[None], drop)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), tokens.flatten())
    return float(loss.detach()), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def written_out(spec: Transformer, stack: Stack, dtype: torch.dtype, drop: Drop, n: int) -> tuple[float, dict[str, torch.Tensor]]:
    """The same by the written-out step, with products of `dtype`."""
    own = Stack.zeros(spec, 1)
    loss = fused.FusedLoss(spec, stack.views, own.views, dtype)(*batch(spec, n), drop)
    return float(loss), own.views


def check_float32(spec: Transformer, stack: Stack, drop: Callable[[], Drop], n: int) -> None:
    """Against float64, the written-out step may err by no more than a few times what autograd errs in float32."""
    loss, exact = autograd(spec, stack, torch.float64, drop(), n)
    _, single = autograd(spec, stack, torch.float32, drop(), n)
    value, own = written_out(spec, stack, torch.float32, drop(), n)
    assert value == pytest.approx(loss, rel=1e-5)
    for name, gradient in exact.items():
        size, error, allowed = (float(a.abs().max()) for a in (gradient, own[name] - gradient, single[name] - gradient))
        assert error <= 5 * allowed + 2e-6 * size + 1e-8, name


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("drop", DROPS)
def test_loss_and_gradient_are_autograds(spec: Transformer, scale: float, drop: str) -> None:
    spec = replace(spec, dropout=0.3 if drop == "dropped" else 0.0)
    check_float32(spec, weights(spec, scale), DROPS[drop], 33)


@pytest.mark.parametrize("drop", DROPS)
def test_a_batch_in_pieces_gives_the_same(drop: str) -> None:
    """240 sequences of 8 tokens are two pieces, the second one smaller; each takes its own part of the batch's dropout.

    (Not 300: one of those has a hidden number so near 0 that float32 takes it for the other side of the ReLU.)
    """
    spec = replace(SPECS[0], dropout=0.3 if drop == "dropped" else 0.0)
    check_float32(spec, weights(spec, 1.0), DROPS[drop], 240)


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
@pytest.mark.parametrize("drop", DROPS)
def test_products_in_bfloat16_err_no_more_than_autocast(spec: Transformer, drop: str) -> None:
    """Against float64, over all parameters: by no more than a half above what PyTorch's autocast errs."""
    spec, n = replace(spec, dropout=0.3 if drop == "dropped" else 0.0), 64
    stack = weights(spec, 1.0)
    loss, exact = autograd(spec, stack, torch.float64, DROPS[drop](), n)
    with torch.autocast("cpu", torch.bfloat16):
        _, cast = autograd(spec, stack, torch.float32, DROPS[drop](), n)
    value, own = written_out(spec, stack, torch.bfloat16, DROPS[drop](), n)
    assert value == pytest.approx(loss, rel=0.02)
    error, allowed = (sum(float((g[name] - exact[name]).square().sum()) for name in exact) ** 0.5 for g in (own, cast))
    size = sum(float(gradient.square().sum()) for gradient in exact.values()) ** 0.5
    assert 1e-4 * size < error < 1.5 * allowed < 0.2 * size


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("drop", "n"), [("whole", 20), ("dropped", 20), ("dropped", 150)])
def test_kept_bytes_are_known_beforehand(dtype: torch.dtype, drop: str, n: int) -> None:
    """A batch of one piece, and one of two whose arrays both stay."""
    spec = replace(SPECS[0], dropout=0.3 if drop == "dropped" else 0.0)
    loss = fused.FusedLoss(spec, weights(spec, 1.0).views, Stack.zeros(spec, 1).views, dtype)
    loss(*batch(spec, n), DROPS[drop]())
    assert loss.kept_bytes() == fused.kept_bytes(spec, n, dtype)
    activations = 4 * n * spec.length * spec.layers * spec.width
    assert fused.kept_bytes(spec, n, dtype) > 5 * activations
    assert fused.kept_bytes(spec, n, torch.bfloat16) != fused.kept_bytes(spec, n, torch.float32)


@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_evaluation_is_the_networks_own(n: int) -> None:
    spec = SPECS[0]
    stack, (_, x_t, t) = weights(spec, 1.0), batch(spec, n)
    exact = spec.outputs({name: value.double() for name, value in stack.views.items()}, x_t.double()[None], t[None])[0]
    torch.testing.assert_close(fused.evaluate(spec, stack.views, x_t, t).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_evaluation_with_bfloat16_weights_is_near(n: int) -> None:
    """Rounding the weights and the products' factors moves logits a little; the network's own forward pass rounds everything else, too."""
    spec = SPECS[3]
    stack, (_, x_t, t) = weights(spec, 1.0), batch(spec, n)
    exact = spec.outputs({name: value.double() for name, value in stack.views.items()}, x_t.double()[None], t[None])[0]
    rounded = {name: value.bfloat16() for name, value in stack.views.items()}
    own = fused.evaluate(spec, rounded, x_t, t).double()
    plain = spec.outputs(rounded, x_t.bfloat16()[None], t[None])[0].double()
    assert own.dtype == torch.float64
    assert float((own - exact).square().mean()) < float((plain - exact).square().mean())


PLAIN = Training(precision="float32")


def test_what_it_serves() -> None:
    spec, here = SPECS[0], torch.zeros(1)
    for admitted in (spec, Transformer(), Transformer(width=64, feedforward=128, dropout=0.1)):
        assert fused.serves(admitted, 1, here, PLAIN)
        assert fused.serves(admitted, 1, here, replace(PLAIN, precision="bfloat16"))
    assert not fused.serves(spec, 2, here, PLAIN)
    assert not fused.serves(spec, 1, torch.zeros(1, device="meta"), PLAIN)
    assert not fused.serves(spec, 1, here.double(), PLAIN)
    assert not fused.serves(spec, 1, here, replace(PLAIN, loss="squared_error"))
    assert not fused.serves(spec, 1, here, replace(PLAIN, weighting="vlb"))
