"""The hierarchical world: a tree of production rules whose leaves are the data ([BG] section 2).

A root symbol is drawn uniformly, then every symbol is replaced by an ordered pair of children,
`depth` times. The law of the pair given its parent a is rules[a, b, c] = P(children (b, c) | parent
a). Nodes are numbered like a heap: 1 is the root, the children of i are 2i and 2i + 1, and the
2^depth leaves come last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinsplit import kernels
from twinsplit.errors import InputError
from twinsplit.kernels.rules import RuleTable
from twinsplit.noise.reference import Noise

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Sequences: TypeAlias = Tensor | npt.NDArray[Any] | Sequence[Sequence[int]]

LARGEST_VOCABULARY = 127
LARGEST_DEPTH = 16
LARGEST_ENUMERATION = 2_000_000
CHUNK_TOKENS = 1 << 20


def contract(table: RuleTable, first: Tensor, second: Tensor) -> Tensor:
    """Log of sum_(i, j) weight[target, i, j] exp(first[i] + second[j]): the one step of message
    passing on a tree.

    first, second: (..., q) log messages, -inf allowed. Returns (..., q). Only allowed rules enter,
    so a forbidden one costs exactly -inf and never a small constant.
    """
    weight, i, j = (torch.from_numpy(a).to(first.device) for a in (table.weight, table.first, table.second))
    return torch.logsumexp(weight.log() + first[..., i] + second[..., j], dim=-1)


@final
@dataclass(frozen=True, eq=False)
class TreeGrammar:
    """Production rules on a complete binary tree.

    rules: (q, q, q) float64, rules[a, b, c] = P(children (b, c) | parent a), every rules[a] summing
    to 1; zeros forbid. depth: the number of expansions; sequences have 2^depth leaves.
    """

    rules: Floats
    depth: int

    def __post_init__(self) -> None:
        rules = np.array(self.rules, dtype=np.float64)
        _check_rules(rules)
        if not 1 <= self.depth <= LARGEST_DEPTH:
            raise InputError(f"a tree of depth {self.depth}", f"choose a depth from 1 to {LARGEST_DEPTH}")
        rules.setflags(write=False)
        object.__setattr__(self, "rules", rules)

    @classmethod
    def published(cls, seed: int = 0, depth: int = 4) -> "TreeGrammar":
        """The grammar of [BG]: 6 symbols, 4 rules each, logits of standard deviation 1; seed 0 is
        the one of its figures."""
        return cls.random(6, depth, 4, 1.0, seed)

    @classmethod
    def random(cls, vocab_size: int, depth: int, rules_per_symbol: int, sigma: float, seed: int) -> "TreeGrammar":
        """A grammar drawn as in [BG]: shuffle the q^2 pairs, deal q to each parent, keep
        `rules_per_symbol`, softmax(sigma N(0, 1)).

        The draws are those of NumPy's legacy generator seeded with `seed` (0..2^32-1), which NumPy
        promises never to change.
        """
        _check_law(vocab_size, rules_per_symbol, sigma, seed)
        generator = np.random.RandomState(seed)
        pairs = np.array([(b, c) for b in range(vocab_size) for c in range(vocab_size)])
        generator.shuffle(pairs)
        logits = np.full((vocab_size,) * 3, -np.inf)
        for parent, dealt in enumerate(pairs.reshape(vocab_size, vocab_size, 2)[:, :rules_per_symbol]):
            logits[parent, dealt[:, 0], dealt[:, 1]] = sigma * generator.randn(rules_per_symbol)
        weights = np.exp(logits - logits.max((1, 2), keepdims=True))
        rules = weights / weights.sum((1, 2), keepdims=True)
        return cls(rules, depth)

    @property
    def vocab_size(self) -> int:
        """The number of symbols, q."""
        return len(self.rules)

    @property
    def length(self) -> int:
        """Leaves per sequence, 2^depth."""
        return 1 << self.depth

    @property
    def rules_per_symbol(self) -> int:
        """The largest number of allowed rules of any parent (q_eff)."""
        return int(self.by_parent.weight.shape[1])

    @cached_property
    def by_parent(self) -> RuleTable:
        """Rules grouped by parent: pairs (left, right)."""
        return RuleTable.from_dense(self.rules)

    @cached_property
    def by_left(self) -> RuleTable:
        """Rules grouped by left child: pairs (parent, right)."""
        return RuleTable.from_dense(self.rules.transpose(1, 0, 2))

    @cached_property
    def by_right(self) -> RuleTable:
        """Rules grouped by right child: pairs (parent, left)."""
        return RuleTable.from_dense(self.rules.transpose(2, 0, 1))

    def root_to_level(self, k: int) -> Floats:
        """(q, q, 2^k): [a, b, j] = P(node j of level k is b | root a), the product of left and
        right marginals on its path."""
        check_level(k, self.depth)
        sides = self.rules.sum(2), self.rules.sum(1)
        paths = [np.eye(self.vocab_size)]
        for _ in range(k):
            paths = [path @ side for path in paths for side in sides]
        return np.stack(paths, axis=-1)

    def sample(self, n: int, seed: int, start: int = 0, factorised: int = 0) -> Tensor:
        """(n, L) int8: sequences start..start+n-1 of the endless list that `seed` names.

        Sequence i depends on (seed, i) alone. factorised = k replaces the k top levels by
        independent root-to-node transitions ([BG] section 2). Integer thresholds are compared with
        32-bit words, so every machine draws the same sequences.
        """
        check_level(factorised, self.depth)
        if n < 0 or start < 0:
            raise InputError(f"{n} sequences from number {start}", "ask for a count and a start that are not negative")
        draw = _Draw.of(self, seed, factorised)
        if kernels.backend() == "numba":
            return draw.compiled(start, n)
        rows = max(1, CHUNK_TOKENS // draw.words)
        chunks = [draw.reference(torch.arange(i, min(i + rows, start + n))) for i in range(start, start + n, rows)]
        return torch.cat([torch.empty(0, self.length, dtype=torch.int8), *chunks])

    def log_likelihood(self, sequences: Sequences) -> Tensor:
        """(n,) float64, natural log of P(sequence) with a uniform root; -inf where the grammar
        forbids it. sequences: (n, L)."""
        tokens = self.tokens(sequences)
        rows = max(1, CHUNK_TOKENS // (self.length * self.vocab_size * self.rules_per_symbol))
        return torch.cat([torch.empty(0, dtype=torch.float64), *(self._inside(part) for part in torch.split(tokens, rows))])

    def _inside(self, tokens: Tensor) -> Tensor:
        message = torch.nn.functional.one_hot(tokens, self.vocab_size).double().log()
        for _ in range(self.depth):
            message = contract(self.by_parent, message[:, 0::2], message[:, 1::2])
        return torch.logsumexp(message[:, 0], dim=-1) - float(np.log(self.vocab_size))

    def tokens(self, sequences: Sequences) -> Tensor:
        """`sequences` (n, L) as int64; refuses a wrong length and tokens outside 0..q-1."""
        tokens = torch.as_tensor(sequences)
        if tokens.ndim != 2 or tokens.shape[1] != self.length or tokens.is_floating_point():
            raise InputError(
                f"sequences of shape {tuple(tokens.shape)} and type {tokens.dtype}", f"give integers of shape (n, {self.length})"
            )
        tokens = tokens.long()
        if tokens.numel() and (int(tokens.min()) < 0 or int(tokens.max()) >= self.vocab_size):
            raise InputError(f"tokens {int(tokens.min())}..{int(tokens.max())}", f"use symbols 0..{self.vocab_size - 1}")
        return tokens

    def enumerate(self) -> tuple[Tensor, Tensor]:
        """Every allowed sequence (N, L) int8, in lexicographic order, and its probability (N,) float64.

        Refuses grammars with more than 2,000,000 derivations.
        """
        self._check_enumerable()
        languages = [(np.array([[a]], dtype=np.int8), np.ones(1)) for a in range(self.vocab_size)]
        for _ in range(self.depth):
            languages = [_expand(languages, pairs) for pairs in self.rules]
        sequences = np.concatenate([s for s, _ in languages])
        probabilities = np.concatenate([p for _, p in languages]) / self.vocab_size
        distinct, which = np.unique(sequences, axis=0, return_inverse=True)
        return torch.from_numpy(distinct), torch.from_numpy(np.bincount(which.reshape(-1), probabilities, len(distinct)))

    def _check_enumerable(self) -> None:
        derivations = np.ones(self.vocab_size)
        for _ in range(self.depth):
            derivations = np.minimum(np.einsum("abc,b,c->a", self.rules > 0, derivations, derivations), 1e12)
        if derivations.sum() > LARGEST_ENUMERATION:
            raise InputError(f"this grammar has {derivations.sum():.0e} derivations or more", "enumerate a shallower or smaller one")


def _expand(languages: list[tuple[npt.NDArray[np.int8], Floats]], pairs: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """All (sequence, probability) below a parent whose children have law `pairs` and the given languages."""
    sequences, probabilities = [], []
    for b, c in zip(*np.nonzero(pairs), strict=True):
        (left, p_left), (right, p_right) = languages[b], languages[c]
        sequences.append(np.hstack([np.repeat(left, len(right), axis=0), np.tile(right, (len(left), 1))]))
        probabilities.append(pairs[b, c] * np.repeat(p_left, len(right)) * np.tile(p_right, len(left)))
    return np.concatenate(sequences), np.concatenate(probabilities)


def thresholds(probabilities: Floats) -> Integers:
    """(..., r - 1) int64: outcome i is drawn when exactly i thresholds are at most a 32-bit word.

    probabilities: (..., r). A threshold is round(2^32 * cumulative); beyond the last possible
    outcome it is 2^32, which no word reaches, so that an impossible outcome is never drawn.
    """
    cumulative = np.rint(np.cumsum(probabilities, axis=-1) * 2.0**32).astype(np.int64)
    tail = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1]
    exhausted = np.concatenate([tail[..., 1:] == 0, np.ones_like(tail[..., :1], dtype=bool)], axis=-1)
    return np.where(exhausted, 1 << 32, cumulative)[..., :-1]


@final
@dataclass(frozen=True, eq=False)
class _Draw:
    """Sampling as table look-ups: word 0 of a sequence picks the root, word i the children of node
    i, word L + j a transition.

    transition: (2^k, q, q - 1) thresholds from the root to node j of level k; expansion: (q, R - 1)
    thresholds over the rules.
    """

    noise: Noise
    depth: int
    level: int
    table: RuleTable
    transition: Integers
    expansion: Integers

    @classmethod
    def of(cls, grammar: TreeGrammar, seed: int, level: int) -> "_Draw":
        table = grammar.by_parent
        transition = thresholds(np.ascontiguousarray(grammar.root_to_level(level).transpose(2, 0, 1)))
        return cls(Noise(seed, "grammar"), grammar.depth, level, table, transition, thresholds(table.weight))

    @property
    def words(self) -> int:
        """32-bit words per sequence."""
        return (1 << self.depth) + ((1 << self.level) if self.level else 0)

    def reference(self, sample_ids: Tensor) -> Tensor:
        """(n, L) int8 for sample_ids (n,), in torch."""
        words = self.noise.bits(0, sample_ids, self.words)
        symbols = self._top(words)
        for level in range(self.level, self.depth):
            picked = _outcome(self.expansion, symbols, words[:, 1 << level : 2 << level])
            children = [torch.from_numpy(side)[symbols, picked] for side in (self.table.first, self.table.second)]
            symbols = torch.stack(children, dim=-1).flatten(1)
        return symbols.to(torch.int8)

    def _top(self, words: Tensor) -> Tensor:
        """(n, 2^k) symbols of level k."""
        root = (words[:, :1] * len(self.expansion)) >> 32
        if not self.level:
            return root
        own = words[:, 1 << self.depth :]
        return torch.cat([_outcome(table, root, own[:, j : j + 1]) for j, table in enumerate(self.transition)], dim=1)

    def compiled(self, start: int, n: int) -> Tensor:
        """(n, L) int8 for samples start..start+n-1, from the kernel."""
        from twinsplit.kernels.grammar import sample

        tables = (self.table.first, self.table.second, self.expansion, self.transition)
        return torch.from_numpy(sample(self.noise.key, start, n, self.depth, self.level, tables))


def _outcome(table: Integers, symbols: Tensor, words: Tensor) -> Tensor:
    return (torch.from_numpy(table)[symbols] <= words[..., None]).sum(-1)


def check_level(k: int, depth: int) -> None:
    """Refuse a number of top levels to factorise outside 0..depth."""
    if not 0 <= k <= depth:
        raise InputError(f"level {k} of a tree of depth {depth}", f"choose a level from 0 to {depth}")


def _check_vocabulary(vocab_size: int) -> None:
    if not 2 <= vocab_size <= LARGEST_VOCABULARY:
        raise InputError(f"a vocabulary of {vocab_size} symbols", f"choose from 2 to {LARGEST_VOCABULARY}")


def _check_law(vocab_size: int, rules_per_symbol: int, sigma: float, seed: int) -> None:
    _check_vocabulary(vocab_size)
    if not 1 <= rules_per_symbol <= vocab_size:
        raise InputError(f"{rules_per_symbol} rules per symbol with {vocab_size} symbols", f"choose from 1 to {vocab_size}")
    if not 0 <= sigma < 100:
        raise InputError(f"sigma = {sigma}", "choose a spread of the logits from 0 up to 100")
    if not 0 <= seed < 1 << 32:
        raise InputError(f"grammar seed {seed}", "choose from 0 to 2^32 - 1")


def _check_rules(rules: Floats) -> None:
    if rules.ndim != 3 or len(set(rules.shape)) != 1:
        raise InputError(f"rules of shape {rules.shape}", "give P(left, right | parent) as an array (q, q, q)")
    _check_vocabulary(len(rules))
    if not (np.isfinite(rules).all() and (rules >= 0).all() and np.allclose(rules.sum((1, 2)), 1.0, rtol=0, atol=1e-9)):
        raise InputError("rules that are not probabilities", "make every rules[a] non-negative with sum 1")
