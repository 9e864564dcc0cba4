"""Training losses, one number per member: errors of the prediction, weighted by the time they were made at, then averaged."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from twinsplit.diffusion.schedule import Noising, Schedule
from twinsplit.errors import InputError
from twinsplit.recipes import Training


def cross_entropies(logits: Tensor, tokens: Tensor) -> Tensor:
    """(K, n, L) nats: minus the log probability of each token; logits (K, n, L, q), tokens (K, n, L) int64."""
    return F.cross_entropy(logits.float().flatten(0, -2), tokens.flatten(), reduction="none").view(tokens.shape)


def squared_errors(logits: Tensor, tokens: Tensor) -> Tensor:
    """(K, n, L, q): squared difference of the posterior mean (the softmax) and the one-hot x_0, entry by entry."""
    posterior_mean = logits.float().softmax(-1)
    return (posterior_mean - F.one_hot(tokens, logits.shape[-1])).square()


def noise_errors(predicted: Tensor, eps: Tensor) -> Tensor:
    """(K, n, ...): squared difference of the predicted noise (or residual, as the parametrisation has it) and the noise, entry by entry."""
    return (predicted.float() - eps).square()


def uniform(errors: Tensor, t: Tensor, schedule: Noising) -> Tensor:
    """As they are."""
    return errors


def vlb(errors: Tensor, t: Tensor, schedule: Noising) -> Tensor:
    """Each sample's errors (K, n, ...) times `Schedule.vlb_weight` at its t (K, n); weights are not normalised over the batch."""
    if not isinstance(schedule, Schedule):
        raise InputError("weights of the variational bound for a process that adds noise only", 'choose training.weighting = "uniform"')
    weights = _vlb_weights(schedule, errors.device)[t - 1]
    return errors * weights.view(weights.shape + (1,) * (errors.ndim - weights.ndim))


@lru_cache(maxsize=8)
def _vlb_weights(schedule: Schedule, device: torch.device) -> Tensor:
    return schedule.vlb_weight().float().to(device)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropies,
    "squared_error": squared_errors,
    "noise": noise_errors,
}
WEIGHTINGS: dict[str, Callable[[Tensor, Tensor, Noising], Tensor]] = {"uniform": uniform, "vlb": vlb}


def token_cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """(K,) cross-entropy in nats averaged over tokens; logits (K, n, L, q), tokens (K, n, L) int64."""
    return cross_entropies(logits, tokens).flatten(1).mean(1)


def member_losses(training: Training, outputs: Tensor, target: Tensor, t: Tensor, schedule: Noising) -> Tensor:
    """(K,) the recipe's loss: a plain mean over samples and tokens (squared error: and symbols, as published) or pixels, after the weights.

    outputs (K, n, ...) and target (K, n, ...) of a `Parametrisation`, t (K, n) int64 in 1..T.
    """
    errors = LOSSES[training.loss](outputs, target)
    return WEIGHTINGS[training.weighting](errors, t, schedule).flatten(1).mean(1)
