"""The exact posterior of noised sequences, whole and truncated, against batched log-space belief propagation over all q^3 rules."""

from functools import partial

import torch
from torch import Tensor

from rows.case import Case, Row, Size, agree, compare
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.tree import TreeOracle, leaf_log_likelihood
from twinsplit.noise.reference import Noise

SIZES = {"full": (20_000, 5_000), "tiny": (96, 48)}
BATCH, TIME = 500, 75


def plain_up(log_rules: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(n, nodes, q) messages to the parents from those of the children."""
    terms = log_rules + left[..., None, :, None] + right[..., None, None, :]
    return torch.logsumexp(terms.flatten(-2), -1)


def plain_down(log_rules: Tensor, parent: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(n, 2 nodes, q) messages to the children from their parents and siblings."""
    terms = log_rules + parent[..., :, None, None]
    to_left = torch.logsumexp((terms + right[..., None, None, :]).transpose(-3, -2).flatten(-2), -1)
    to_right = torch.logsumexp((terms + left[..., None, :, None]).movedim(-1, -3).flatten(-2), -1)
    return torch.stack([to_left, to_right], 2).flatten(1, 2)


def plain_posterior(h: Tensor, rules: Tensor, transition: Tensor, levels: int) -> Tensor:
    """(n, L, q) log marginals; h (n, L, q), rules (q, q, q), transition (2^k, q, q), levels = depth - k."""
    log_rules, ups = rules.log(), [h]
    for _ in range(levels):
        ups.insert(0, plain_up(log_rules, ups[0][:, 0::2], ups[0][:, 1::2]))
    at_root = torch.logsumexp(transition.log() + ups[0][:, :, None, :], -1)
    others = at_root.sum(1, keepdim=True) - at_root
    down = torch.logsumexp(transition.mT.log() + others[:, :, None, :], -1)
    for up in ups[1:]:
        down = plain_down(log_rules, down, up[:, 0::2], up[:, 1::2])
    return torch.log_softmax(down + h, -1)


def plain(h: Tensor, oracle: TreeOracle) -> Tensor:
    """The same in batches of 500, in the dtype of h."""
    rules, transition = torch.tensor(oracle.grammar.rules, dtype=h.dtype), oracle.transition.to(h.dtype)
    levels = oracle.grammar.depth - oracle.truncation
    return torch.cat([plain_posterior(part, rules, transition, levels) for part in h.split(BATCH)])


def row(k: int, size: Size, rounds: int) -> Row:
    """BP_k; k = 0 is exact."""
    total, few = SIZES[size]
    grammar, schedule = TreeGrammar.published(), Schedule.diffusion_lm()
    x_0 = torch.nn.functional.one_hot(grammar.sample(total, 1).long(), grammar.vocab_size).double()
    x_t = schedule.noised(x_0, TIME, Noise(0, "eps").normal(0, torch.arange(total), tuple(x_0.shape[1:])))
    h = leaf_log_likelihood(x_t, TIME, schedule)
    return compare(belief_case(TreeOracle(grammar, schedule, k), h, h[:few].float()), rounds)


def belief_case(oracle: TreeOracle, h: Tensor, single: Tensor) -> Case:
    """One truncation; h (total, L, q) float64, single: the reference's share in float32."""
    total, few = len(h), len(single)
    sense = "log-posteriors in float64"
    return Case(
        f"belief_k{oracle.truncation}",
        40,
        f"posterior of {total:,} noised sequences, depth 4, q = 6; reference: {few:,} of them in float32, by proportion",
        lambda: oracle.marginals(h),
        lambda: plain(single, oracle),
        lambda: agree(oracle.marginals(h[:few]).clamp(min=-500), plain(h[:few], oracle).clamp(min=-500), 1e-8, sense),
        total,
        total,
        few,
    )


ROWS = {f"belief_k{k}": partial(row, k) for k in range(5)}
