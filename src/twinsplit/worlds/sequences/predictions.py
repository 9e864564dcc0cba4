"""The examination of one checkpoint: every member answers every probe; every measure is a table that keeps its replicates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.measures.decomposition import decompose, token_loss
from twinsplit.measures.divergence import oracle_divergence, ordered_pairs, sample_split_divergence
from twinsplit.runs.rows import Rows
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.sequences.probes import Probe
from twinsplit.worlds.world import Examiner

CHUNK = 1024


@final
@dataclass(frozen=True, eq=False)
class Questions:
    """The probes and the exact answers. Held-out sequences at the fixed time and over all times; each split's likewise.

    oracles: truncation k -> log posterior (n, L, q) float32 on `held_out_fixed`; exact_*: the exact one on each probe, BP_k with
    k = level, that of the data;
    oracles_splits: per split, truncation k -> the same on its probe in `splits_fixed`.
    """

    held_out_fixed: Probe
    held_out: Probe
    splits_fixed: tuple[Probe, ...]
    splits: tuple[Probe, ...]
    oracles: tuple[Tensor, ...]
    exact_held_out: Tensor
    exact_splits: tuple[Tensor, ...]
    exact_splits_fixed: tuple[Tensor, ...]
    oracles_splits: tuple[tuple[Tensor, ...], ...]
    later: "Later"
    level: int = 0

    @property
    def exact_held_out_fixed(self) -> Tensor:
        """(n, L, q) on `held_out_fixed`."""
        return self.oracles[self.level]


@final
@dataclass(frozen=True, eq=False)
class Later:
    """Held-out sequences and splits at the time of the decomposition, with the exact log posteriors on them."""

    held_out: Probe
    splits: tuple[Probe, ...]
    exact_held_out: Tensor
    exact_splits: tuple[Tensor, ...]


@torch.no_grad()
def answer(denoiser: Denoiser[Any], probe: Probe) -> Categorical:
    """One member's posterior on a probe, on the CPU whatever the member's device, in bounded memory."""
    there, chunks = denoiser.device, zip(torch.split(probe.x_t, CHUNK), torch.split(probe.t, CHUNK), strict=True)
    return Categorical(torch.cat([denoiser(x_t.to(there), t.to(there)).log_probs.cpu() for x_t, t in chunks]))


@final
@dataclass(frozen=True, eq=False)
class Examination:
    """An ensemble before its questions; answers are computed once, when a measure needs them."""

    ensemble: Ensemble
    questions: Questions

    @cached_property
    def fixed(self) -> list[Categorical]:
        """Every member on the held-out sequences at the fixed time."""
        return [answer(denoiser, self.questions.held_out_fixed) for denoiser in self.ensemble.denoisers()]

    @cached_property
    def averaged(self) -> list[Categorical]:
        """Every member on the held-out sequences over all times."""
        return [answer(denoiser, self.questions.held_out) for denoiser in self.ensemble.denoisers()]

    @cached_property
    def own(self) -> list[Categorical]:
        """Every member on its own split over all times."""
        return [answer(self.ensemble.member(k), self.questions.splits[m.split]) for k, m in self._named()]

    @cached_property
    def own_fixed(self) -> list[Categorical]:
        """Every member on its own split at the fixed time."""
        return [answer(self.ensemble.member(k), self.questions.splits_fixed[m.split]) for k, m in self._named()]

    @cached_property
    def on_splits(self) -> list[list[Categorical]]:
        """For each split, every member on that split at the fixed time: others' training data are fresh to a network."""
        return [[answer(denoiser, probe) for denoiser in self.ensemble.denoisers()] for probe in self.questions.splits_fixed]

    def _named(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.ensemble.members))

    def name(self, k: int, suffix: str = "") -> dict[str, int]:
        """The columns that name member k."""
        member = self.ensemble.members[k]
        return {f"member{suffix}": k, f"split{suffix}": member.split, f"seed{suffix}": member.seed}


def split_divergence_rows(exam: Examination) -> Rows:
    """A row per ordered pair (a, b) of members: KL(a || b) on held-out sequences at the fixed time."""
    pairs = [pair for pair in ordered_pairs(len(exam.fixed)) if pair[0] < pair[1]]
    rows = []
    for a, b in pairs:
        both = sample_split_divergence(exam.fixed[a], exam.fixed[b])
        rows.append(exam.name(a, "_a") | exam.name(b, "_b") | {"values": both[:, 0]})
        rows.append(exam.name(b, "_a") | exam.name(a, "_b") | {"values": both[:, 1]})
    return rows


def oracle_divergence_rows(exam: Examination) -> Rows:
    """A row per member and truncation k: KL(BP_k || member) on held-out sequences at the fixed time."""
    oracles = [Categorical(log_probs) for log_probs in exam.questions.oracles]
    return [
        exam.name(m) | {"truncation": k, "values": oracle_divergence(oracle, model)}
        for m, model in enumerate(exam.fixed)
        for k, oracle in enumerate(oracles)
    ]


def train_split_divergence_rows(exam: Examination) -> Rows:
    """A row per ordered pair (a, b) of members: KL(a || b) on the training data of a, at the fixed time."""
    rows = []
    for a, b in ordered_pairs(len(exam.ensemble.members)):
        models = exam.on_splits[exam.ensemble.members[a].split]
        rows.append(exam.name(a, "_a") | exam.name(b, "_b") | {"values": models[a].kl(models[b])})
    return rows


def train_oracle_divergence_rows(exam: Examination) -> Rows:
    """A row per member and truncation k: KL(BP_k || member) on its own training data at the fixed time."""
    return [
        exam.name(m) | {"truncation": k, "values": oracle_divergence(Categorical(log_probs), model)}
        for m, model in enumerate(exam.own_fixed)
        for k, log_probs in enumerate(exam.questions.oracles_splits[exam.ensemble.members[m].split])
    ]


def test_loss_rows(exam: Examination) -> Rows:
    """A row per member: loss on held-out sequences over all times, nats per token."""
    tokens = exam.questions.held_out.tokens
    return [exam.name(m) | {"values": token_loss(model, tokens)} for m, model in enumerate(exam.averaged)]


def train_loss_rows(exam: Examination) -> Rows:
    """A row per member: loss on its own split over all times, nats per token."""
    probes = [exam.questions.splits[member.split] for member in exam.ensemble.members]
    return [exam.name(m) | {"values": token_loss(model, probes[m].tokens)} for m, model in enumerate(exam.own)]


def fixed_time_loss_rows(exam: Examination) -> Rows:
    """A row per member: loss on held-out sequences at the fixed time, nats per token."""
    tokens = exam.questions.held_out_fixed.tokens
    return [exam.name(m) | {"values": token_loss(model, tokens)} for m, model in enumerate(exam.fixed)]


def decomposition_rows(exam: Examination) -> Rows:
    """Rows per member, data (test, train), times (all, fixed) and term (oracle, excess), nats per token."""
    rows: Rows = []
    for m, member in enumerate(exam.ensemble.members):
        for data, times, model, exact, tokens in _settings(exam, m, member.split):
            rows += _terms(exam.name(m) | {"data": data, "times": times}, model, exact, tokens)
    return rows


def fixed_time_decomposition_rows(exam: Examination) -> Rows:
    """Rows per member, data (test, train) and term (oracle, excess) at the time of the decomposition, nats per token."""
    rows: Rows = []
    later = exam.questions.later
    for m, member in enumerate(exam.ensemble.members):
        model, own = exam.ensemble.member(m), later.splits[member.split]
        rows += _terms(exam.name(m) | {"data": "test"}, answer(model, later.held_out), later.exact_held_out, later.held_out.tokens)
        rows += _terms(exam.name(m) | {"data": "train"}, answer(model, own), later.exact_splits[member.split], own.tokens)
    return rows


def _terms(where: dict[str, Any], model: Categorical, exact: Tensor, tokens: Tensor) -> Rows:
    parts = decompose(model, Categorical(exact), tokens)
    return [where | {"term": "oracle", "values": parts.oracle_term}, where | {"term": "excess", "values": parts.excess_term}]


def _settings(exam: Examination, m: int, split: int) -> list[tuple[str, str, Categorical, Tensor, Tensor]]:
    q = exam.questions
    return [
        ("test", "all", exam.averaged[m], q.exact_held_out, q.held_out.tokens),
        ("train", "all", exam.own[m], q.exact_splits[split], q.splits[split].tokens),
        ("test", "fixed", exam.fixed[m], q.exact_held_out_fixed, q.held_out_fixed.tokens),
        ("train", "fixed", exam.own_fixed[m], q.exact_splits_fixed[split], q.splits_fixed[split].tokens),
    ]


MEASURES: dict[str, Callable[[Examination], Rows]] = {
    "sample_split_divergence": split_divergence_rows,
    "oracle_divergence": oracle_divergence_rows,
    "test_loss": test_loss_rows,
    "train_loss": train_loss_rows,
    "fixed_time_loss": fixed_time_loss_rows,
    "loss_decomposition": decomposition_rows,
    "fixed_time_decomposition": fixed_time_decomposition_rows,
    "train_split_divergence": train_split_divergence_rows,
    "train_oracle_divergence": train_oracle_divergence_rows,
}
STANDARD = (
    "sample_split_divergence",
    "oracle_divergence",
    "test_loss",
    "train_loss",
    "fixed_time_loss",
    "loss_decomposition",
)
"""What the onset and the report need; the others are measured when they are asked for."""


@final
class SequenceExaminer(Examiner):
    """The measures of sequences; one checkpoint's answers serve all of them."""

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        self.exam: Examination | None = None

    def rows(self, ensemble: Ensemble, name: str) -> Rows:
        if self.exam is None or self.exam.ensemble is not ensemble:
            self.exam = Examination(ensemble, self.questions)
        return MEASURES[name](self.exam)

    def lowest_losses(self) -> dict[str, float]:
        """Nats per token."""
        q = self.questions
        exact = {"test_loss": (q.exact_held_out, q.held_out), "fixed_time_loss": (q.exact_held_out_fixed, q.held_out_fixed)}
        return {name: float(token_loss(Categorical(log_probs), probe.tokens).mean()) for name, (log_probs, probe) in exact.items()}
