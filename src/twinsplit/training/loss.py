"""Training losses, one number per member."""

import torch.nn.functional as F
from torch import Tensor


def token_cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """(K,) cross-entropy in nats averaged over tokens; logits (K, n, L, q), tokens (K, n, L) int64."""
    losses = F.cross_entropy(logits.float().flatten(0, -2), tokens.flatten(), reduction="none")
    return losses.view(len(tokens), -1).mean(1)
