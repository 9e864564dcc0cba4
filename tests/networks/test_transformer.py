"""The transformer equals PyTorch's own encoder with the same weights, member by member, in values and gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from reference import shared
from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.networks.transformer import Transformer, timestep_embedding
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loss import token_cross_entropy

SMALL = Transformer(vocab_size=5, length=4, width=16, layers=2, heads=2, feedforward=24, dropout=0.0)


class PlainDenoiser(nn.Module):
    """The published network as one would write it with torch.nn."""

    def __init__(self, net: Transformer) -> None:
        super().__init__()
        self.net = net
        self.input = nn.Linear(net.vocab_size, net.width)
        self.position = nn.Parameter(torch.zeros(net.length, net.width))
        self.time = nn.Linear(net.time_features, net.width)
        layer = nn.TransformerEncoderLayer(net.width, net.heads, net.feedforward, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, net.layers, enable_nested_tensor=False)
        self.output = nn.Linear(net.width, net.vocab_size)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        time = self.time(timestep_embedding(t, self.net.time_features).to(x_t.dtype))
        return self.output(self.encoder(self.input(x_t) + self.position + time[:, None]))


NAMES = {
    "attention.qkv.": "self_attn.in_proj_",
    "attention.out.": "self_attn.out_proj.",
    "feedforward.in.": "linear1.",
    "feedforward.out.": "linear2.",
}


def plain_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name.replace("layers.", "encoder.layers.")


def plain_with(net: Transformer, parameters: dict[str, torch.Tensor]) -> PlainDenoiser:
    module = PlainDenoiser(net).double()
    module.load_state_dict({plain_name(name): value for name, value in parameters.items()})
    return module


@pytest.fixture
def stacked() -> dict[str, torch.Tensor]:
    members = (Member(0, 0), Member(1, 1), Member(2, 2))
    return {name: value.double() for name, value in Ensemble.initial(SMALL, members, Noise(3)).parameters.items()}


def inputs(members: int, n: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.arange(members * n)
    x_t = Noise(1, "x").normal(0, ids, (SMALL.length, SMALL.vocab_size)).view(members, n, SMALL.length, SMALL.vocab_size)
    t = Noise(1, "t").integers(0, ids, 1, 50).view(members, n)
    tokens = (Noise(1, "tokens").uniform(0, ids, (SMALL.length,)) * SMALL.vocab_size).long().view(members, n, SMALL.length)
    return x_t, t, tokens


def test_logits_equal_pytorchs_encoder(stacked: dict[str, torch.Tensor]) -> None:
    x_t, t, _ = inputs(3)
    ours = SMALL.outputs(stacked, x_t, t)
    for k in range(3):
        plain = plain_with(SMALL, {name: value[k] for name, value in stacked.items()})
        torch.testing.assert_close(ours[k], plain(x_t[k], t[k]), rtol=1e-11, atol=1e-11)


def test_a_members_gradient_is_that_of_the_network_alone(stacked: dict[str, torch.Tensor]) -> None:
    x_t, t, tokens = inputs(3)
    leaves = {name: value.clone().requires_grad_() for name, value in stacked.items()}
    losses = torch.stack([_loss64(SMALL.outputs(leaves, x_t, t)[k], tokens[k]) for k in range(3)])
    losses.sum().backward()
    for k in range(3):
        plain = plain_with(SMALL, {name: value[k] for name, value in stacked.items()})
        _loss64(plain(x_t[k], t[k]), tokens[k]).backward()
        grads = {name: value.grad for name, value in plain.named_parameters()}
        for name, leaf in leaves.items():
            torch.testing.assert_close(leaf.grad[k], grads[plain_name(name)], rtol=1e-9, atol=1e-12)


def _loss64(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


def test_the_loss_is_one_mean_per_member() -> None:
    _, _, tokens = inputs(2)
    logits = Noise(0, "logits").normal(0, torch.arange(2 * 7), (SMALL.length, SMALL.vocab_size)).view(2, 7, SMALL.length, -1)
    expected = [_loss64(logits[k].float(), tokens[k]) for k in range(2)]
    torch.testing.assert_close(token_cross_entropy(logits, tokens), torch.stack(expected))


def test_the_published_network_has_its_published_sizes() -> None:
    net = Transformer()
    assert (net.width, net.layers, net.heads, net.feedforward, net.dropout, net.length) == (512, 8, 4, 1024, 0.1, 16)
    assert net.parameter_count() == sum(p.numel() for p in PlainDenoiser(net).parameters())


def test_timestep_embedding_equals_the_papers() -> None:
    arrays = shared("hierarchical.npz")
    ours = timestep_embedding(torch.from_numpy(arrays["t"]), 32)
    np.testing.assert_allclose(ours.numpy(), arrays["timestep_embedding_dim32"], atol=1e-6)


def test_initial_weights_follow_pytorchs_laws() -> None:
    net = Transformer(layers=1)
    bounds = {"layers.0.attention.qkv.weight": (6 / (4 * 512)) ** 0.5, "layers.0.feedforward.out.weight": 1024**-0.5, "input.bias": 6**-0.5}
    for name, bound in bounds.items():
        value = net.initial(name, Noise(0))
        assert value.abs().max() <= bound
        assert abs(float(value.std()) / (bound / 3**0.5) - 1) < 0.05
    assert float(net.initial("layers.0.attention.qkv.bias", Noise(0)).abs().max()) == 0
    assert float(net.initial("layers.0.norm1.weight", Noise(0)).min()) == 1


@pytest.mark.parametrize("sizes", [{"width": 10, "heads": 3}, {"layers": 0}, {"heads": 0}, {"dropout": 1.0}, {"time_features": 5}])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Transformer(**sizes)  # type: ignore[arg-type]
