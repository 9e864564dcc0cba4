"""Decompose the test loss into the cross-entropy against an exact denoiser and the rest ([BG] fig.
4b)."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical


def token_loss(model: Categorical, tokens: Tensor) -> Tensor:
    """(n,) cross-entropy of tokens (n, L) in nats per token."""
    return -model.log_prob(tokens) / tokens.shape[-1]


@final
@dataclass(frozen=True, eq=False)
class Decomposition:
    """loss = oracle_term + excess_term, each (n,) in nats per token.

    oracle_term: cross-entropy of the model against the exact posterior; excess_term: the rest, 0 in
    expectation on fresh data, below 0 where the model leans on these very samples.
    """

    oracle_term: Tensor
    excess_term: Tensor


def decompose(model: Categorical, oracle: Categorical, tokens: Tensor) -> Decomposition:
    """Split the loss on tokens (n, L) whose noised versions gave both posteriors."""
    oracle_term = oracle.cross_entropy(model) / tokens.shape[-1]
    return Decomposition(oracle_term, token_loss(model, tokens) - oracle_term)
