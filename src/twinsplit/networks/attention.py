"""Softmax attention over short sequences."""

import torch.nn.functional as F
from torch import Tensor

from twinsplit.networks.network import Drop, keep


def attention(qkv: Tensor, drop: Drop) -> Tensor:
    """(B, L, H * d) from packed queries, keys and values (B, L, 3, H, d); `drop` acts on the attention weights."""
    q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
    mixed = F.scaled_dot_product_attention(q, k, v) if drop is keep else _explicit(q, k, v, drop)
    return mixed.transpose(1, 2).flatten(2)


def _explicit(q: Tensor, k: Tensor, v: Tensor, drop: Drop) -> Tensor:
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
    return drop(weights) @ v
