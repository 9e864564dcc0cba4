"""The exact denoiser of the hierarchical world: belief propagation on the tree, whole or truncated
([BG] section 2).

Each leaf i brings a log-likelihood h[i, b] of its symbol b. Messages climb from the leaves,

    up_parent(a) = sum_(b, c) M[a, b, c] up_left(b) up_right(c),

meet at the root, whose law is uniform, and come down again, each child hearing its parent and its
sibling,

    down_left(b) = sum_(a, c) M[a, b, c] down_parent(a) up_right(c)     (and the mirror image on the right);

a leaf's posterior is proportional to down(b) exp h(b). In BP_k the k top levels are replaced by
independent transitions from the root to the 2^k nodes of level k; k = 0 is exact, k = depth has
leaves independent given the root. Everything is kept as logarithms in float64 with true -inf for
what is impossible. A node's own evidence is left out by products over the others, never by
division.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.data.grammar import Sequences, TreeGrammar, check_level, contract
from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.schedule import Schedule, expand_like
from twinsplit.errors import InputError
from twinsplit.kernels.rules import RuleTable

CHUNK_TERMS = 1 << 21


def leaf_log_likelihood(x_t: Tensor, t: int | Tensor, schedule: Schedule) -> Tensor:
    """h (n, L, q) float64: log p(x_t | x_0[i] = b) up to a constant per leaf, x_t sqrt(alpha_bar) /
    (1 - alpha_bar); t in 1..T."""
    alpha_bar = schedule.at(t)
    if bool((alpha_bar == 1).any()):
        raise InputError("a posterior at t = 0, where nothing is hidden", f"choose times from 1 to {schedule.T}")
    return x_t.double() * expand_like(alpha_bar.sqrt() / (1.0 - alpha_bar), x_t.double())


def _centred(message: Tensor) -> Tensor:
    """The same message up to a factor, its largest entry 0, so that sums of logarithms stay small
    and keep their digits."""
    top = message.amax(-1, keepdim=True)
    return message - top.where(top > -torch.inf, torch.zeros_like(top))


def _sound(h: Tensor, result: Tensor) -> Tensor:
    """Return the result; raise InputError where the evidence h behind it is NaN, infinite or impossible."""
    if not bool(h.max() < torch.inf):  # a maximum with NaN in it is NaN
        raise InputError("a leaf log-likelihood holds NaN or +inf", "check the x_t that it comes from")
    if bool(result.max().isnan()):
        raise InputError("no sequence of the grammar explains the evidence", "hide more leaves, or check the tokens")
    return result


def _interleaved(left: Tensor, right: Tensor) -> Tensor:
    return torch.stack([left, right], dim=2).flatten(1, 2)


def _others(message: Tensor) -> Tensor:
    """(n, m, q) -> (n, m, q): for each of the m nodes the sum of the logarithms of all other nodes."""
    before = torch.zeros_like(message)
    before[:, 1:] = message[:, :-1].cumsum(1)
    after = torch.zeros_like(message)
    after[:, :-1] = message[:, 1:].flip(1).cumsum(1).flip(1)
    return before + after


@final
@dataclass(frozen=True, eq=False)
class TreeOracle(Denoiser[Categorical]):
    """E[x_0 | x_t] and the whole leaf posterior under a tree grammar. truncation: k of BP_k, 0
    (exact) .. depth."""

    grammar: TreeGrammar
    schedule: Schedule
    truncation: int = 0

    def __post_init__(self) -> None:
        check_level(self.truncation, self.grammar.depth)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(L, q): tokens as one-hot rows."""
        return self.grammar.length, self.grammar.vocab_size

    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        """x_t: (n, L, q), any floating dtype; t: an int or (n,) in 1..T. The posterior is in
        float64 on the device of x_t."""
        self._check_shape(x_t)
        return Categorical(self.marginals(leaf_log_likelihood(x_t, t, self.schedule)))

    def marginals(self, leaf_log_likelihood: Tensor) -> Tensor:
        """(n, L, q) float64 log marginals of the leaves given their log-likelihoods (n, L, q); -inf
        rules a symbol out.

        Evidence that no sequence of the grammar explains is refused, and so are NaN and +inf.
        Differentiable in torch's own way.
        """
        h = leaf_log_likelihood.double()
        self._check_shape(h)
        if not len(h):
            return h
        return self._compiled(h) if kernels.serves(h) and not h.requires_grad else _sound(h, self._reference(h))

    def masked_marginals(self, sequences: Sequences, mask: Tensor) -> Tensor:
        """(n, L, q) float64 marginals of the leaves when those where mask (n, L) is True are hidden
        and the others are seen."""
        tokens, hidden = self.grammar.tokens(sequences), torch.as_tensor(mask, dtype=torch.bool)
        if hidden.shape != tokens.shape:
            raise InputError(f"a mask of shape {tuple(hidden.shape)} for sequences {tuple(tokens.shape)}", "give them one shape")
        seen = torch.nn.functional.one_hot(tokens, self.grammar.vocab_size).double().log()
        return self.marginals(seen.masked_fill(hidden[..., None], 0.0)).exp()

    @cached_property
    def transition(self) -> Tensor:
        """(2^k, q, q) float64: [j, a, b] = P(node j of level k is b | root a)."""
        return torch.from_numpy(self.grammar.root_to_level(self.truncation)).permute(2, 0, 1).contiguous()

    def _check_shape(self, x: Tensor) -> None:
        expected = self.state_shape
        if x.ndim != 3 or tuple(x.shape[1:]) != expected:
            raise InputError(f"states of shape {tuple(x.shape)}", f"give (n, {expected[0]}, {expected[1]})")

    def _compiled(self, h: Tensor) -> Tensor:
        from twinsplit.kernels.belief import even_rows, marginals

        values, transition = h.contiguous().numpy(), self.transition.numpy()
        rules = self.grammar.by_parent, self.grammar.by_left, self.grammar.by_right
        even = even_rows(values, rules, transition)
        result = torch.from_numpy(marginals(values, rules, transition, even))
        # Even rows need no check. Torch's own threads are not used: after each call they wait in a
        # loop, on the cores that the next kernel wants.
        if not even.all():
            _sound(h[~even], result[~even])
        return result

    def _reference(self, h: Tensor) -> Tensor:
        widest = max(table.weight.size for table in (self.grammar.by_parent, self.grammar.by_left, self.grammar.by_right))
        rows = max(1, CHUNK_TERMS // (self.grammar.length * widest))
        return torch.cat([self._propagate(part) for part in torch.split(h, rows)])

    def _propagate(self, h: Tensor) -> Tensor:
        up = self._climb(_centred(h))
        down = self._meet(up[0])
        for siblings in up[1:]:
            left, right = siblings[:, 0::2], siblings[:, 1::2]
            down = _interleaved(self._step(self.grammar.by_left, down, right), self._step(self.grammar.by_right, down, left))
        return torch.log_softmax(down + up[-1], dim=-1)

    def _climb(self, leaves: Tensor) -> list[Tensor]:
        """Upward messages of the levels k..depth, level k first."""
        levels = [leaves]
        for _ in range(self.grammar.depth - self.truncation):
            levels.insert(0, self._step(self.grammar.by_parent, levels[0][:, 0::2], levels[0][:, 1::2]))
        return levels

    def _meet(self, up: Tensor) -> Tensor:
        """Messages down to the nodes of level k (n, 2^k, q): through the root, from all other nodes
        of that level."""
        transition = self.transition.log().to(up.device)
        at_root = _centred(torch.logsumexp(transition + up[:, :, None, :], dim=-1))
        return _centred(torch.logsumexp(transition.mT + _others(at_root)[:, :, None, :], dim=-1))

    @staticmethod
    def _step(table: RuleTable, first: Tensor, second: Tensor) -> Tensor:
        return _centred(contract(table, first, second))
