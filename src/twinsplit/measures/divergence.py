"""Divergences of two denoisers on the same noised inputs, one value per sample."""

from itertools import permutations

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Posterior


def sample_split_divergence(first: Posterior, second: Posterior) -> Tensor:
    """(n, 2) KL(first || second) and KL(second || first) in nats, summed over sites ([BG] eq. 5 and
    its mirror).

    The symmetrised divergence is the mean of the two columns; swapped twins swap the columns;
    identical twins give 0.
    """
    return torch.stack([first.kl(second), second.kl(first)], dim=-1)


def oracle_divergence(oracle: Posterior, model: Posterior) -> Tensor:
    """(n,) KL(oracle || model) in nats, summed over sites; with BP_k as the oracle, the
    sequential-learning curves of [BG] fig. 6."""
    return oracle.kl(model)


def ordered_pairs(members: int) -> tuple[tuple[int, int], ...]:
    """Return every (a, b) with a != b."""
    return tuple(permutations(range(members), 2))
