"""Predictions of the networks of one checkpoint on every probe; every measure of them is a table that keeps its replicates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.series import Twins
from twinsplit.measures.decomposition import decompose, token_loss
from twinsplit.measures.divergence import oracle_divergence, ordered_pairs, sample_split_divergence
from twinsplit.runs.rows import Rows
from twinsplit.worlds.evaluator import Evaluator
from twinsplit.worlds.sequences.probe_sets import SequenceProbes
from twinsplit.worlds.sequences.probes import Probe

CHUNK = 1024


@torch.no_grad()
def answer(denoiser: Denoiser[Any], probe: Probe) -> Categorical:
    """One member's posterior on a probe, on the CPU whatever the member's device, in bounded memory."""
    there, chunks = denoiser.device, zip(torch.split(probe.x_t, CHUNK), torch.split(probe.t, CHUNK), strict=True)
    return Categorical(torch.cat([denoiser(x_t.to(there), t.to(there)).log_probs.cpu() for x_t, t in chunks]))


@final
@dataclass(frozen=True, eq=False)
class Predictions:
    """Posteriors of the networks of a checkpoint on the probes; each is computed once, when a measure needs it."""

    twins: Twins
    probes: SequenceProbes

    @cached_property
    def fixed(self) -> list[Categorical]:
        """Every member on the held-out sequences at the fixed time."""
        return [answer(denoiser, self.probes.held_out_fixed) for denoiser in self.twins.denoisers()]

    @cached_property
    def averaged(self) -> list[Categorical]:
        """Every member on the held-out sequences over all times."""
        return [answer(denoiser, self.probes.held_out) for denoiser in self.twins.denoisers()]

    @cached_property
    def own(self) -> list[Categorical]:
        """Every member on its own split over all times."""
        return [answer(self.twins.member(k), self.probes.splits[m.split]) for k, m in self._named()]

    @cached_property
    def own_fixed(self) -> list[Categorical]:
        """Every member on its own split at the fixed time."""
        return [answer(self.twins.member(k), self.probes.splits_fixed[m.split]) for k, m in self._named()]

    @cached_property
    def on_splits(self) -> list[list[Categorical]]:
        """For each split, every member on that split at the fixed time: others' training data are fresh to a network."""
        return [[answer(denoiser, probe) for denoiser in self.twins.denoisers()] for probe in self.probes.splits_fixed]

    def _named(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.twins.members))

    def name(self, k: int, suffix: str = "") -> dict[str, int]:
        """The columns that name member k."""
        member = self.twins.members[k]
        return {f"member{suffix}": k, f"split{suffix}": member.split, f"seed{suffix}": member.seed}


def split_divergence_rows(predictions: Predictions) -> Rows:
    """A row per ordered pair (a, b) of members: KL(a || b) on held-out sequences at the fixed time."""
    pairs = [pair for pair in ordered_pairs(len(predictions.fixed)) if pair[0] < pair[1]]
    rows = []
    for a, b in pairs:
        both = sample_split_divergence(predictions.fixed[a], predictions.fixed[b])
        rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"values": both[:, 0]})
        rows.append(predictions.name(b, "_a") | predictions.name(a, "_b") | {"values": both[:, 1]})
    return rows


def oracle_divergence_rows(predictions: Predictions) -> Rows:
    """A row per member and truncation k: KL(BP_k || member) on held-out sequences at the fixed time."""
    oracles = [Categorical(log_probs) for log_probs in predictions.probes.oracles]
    return [
        predictions.name(m) | {"truncation": k, "values": oracle_divergence(oracle, model)}
        for m, model in enumerate(predictions.fixed)
        for k, oracle in enumerate(oracles)
    ]


def train_split_divergence_rows(predictions: Predictions) -> Rows:
    """A row per ordered pair (a, b) of members: KL(a || b) on the training data of a, at the fixed time."""
    rows = []
    for a, b in ordered_pairs(len(predictions.twins.members)):
        models = predictions.on_splits[predictions.twins.members[a].split]
        rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"values": models[a].kl(models[b])})
    return rows


def train_oracle_divergence_rows(predictions: Predictions) -> Rows:
    """A row per member and truncation k: KL(BP_k || member) on its own training data at the fixed time."""
    return [
        predictions.name(m) | {"truncation": k, "values": oracle_divergence(Categorical(log_probs), model)}
        for m, model in enumerate(predictions.own_fixed)
        for k, log_probs in enumerate(predictions.probes.oracles_splits[predictions.twins.members[m].split])
    ]


def test_loss_rows(predictions: Predictions) -> Rows:
    """A row per member: loss on held-out sequences over all times, nats per token."""
    tokens = predictions.probes.held_out.tokens
    return [predictions.name(m) | {"values": token_loss(model, tokens)} for m, model in enumerate(predictions.averaged)]


def train_loss_rows(predictions: Predictions) -> Rows:
    """A row per member: loss on its own split over all times, nats per token."""
    probes = [predictions.probes.splits[member.split] for member in predictions.twins.members]
    return [predictions.name(m) | {"values": token_loss(model, probes[m].tokens)} for m, model in enumerate(predictions.own)]


def fixed_time_loss_rows(predictions: Predictions) -> Rows:
    """A row per member: loss on held-out sequences at the fixed time, nats per token."""
    tokens = predictions.probes.held_out_fixed.tokens
    return [predictions.name(m) | {"values": token_loss(model, tokens)} for m, model in enumerate(predictions.fixed)]


def decomposition_rows(predictions: Predictions) -> Rows:
    """Rows per member, data (test, train), times (all, fixed) and term (oracle, excess), nats per token."""
    rows: Rows = []
    for m, member in enumerate(predictions.twins.members):
        for data, times, model, exact, tokens in _settings(predictions, m, member.split):
            rows += _terms(predictions.name(m) | {"data": data, "times": times}, model, exact, tokens)
    return rows


def fixed_time_decomposition_rows(predictions: Predictions) -> Rows:
    """Rows per member, data (test, train) and term (oracle, excess) at the time of the decomposition, nats per token."""
    rows: Rows = []
    probes = predictions.probes
    for m, member in enumerate(predictions.twins.members):
        model, own = predictions.twins.member(m), probes.splits_later[member.split]
        rows += _terms(
            predictions.name(m) | {"data": "test"},
            answer(model, probes.held_out_later),
            probes.exact_held_out_later,
            probes.held_out_later.tokens,
        )
        rows += _terms(predictions.name(m) | {"data": "train"}, answer(model, own), probes.exact_splits_later[member.split], own.tokens)
    return rows


def _terms(where: dict[str, Any], model: Categorical, exact: Tensor, tokens: Tensor) -> Rows:
    parts = decompose(model, Categorical(exact), tokens)
    return [where | {"term": "oracle", "values": parts.oracle_term}, where | {"term": "excess", "values": parts.excess_term}]


def _settings(predictions: Predictions, m: int, split: int) -> list[tuple[str, str, Categorical, Tensor, Tensor]]:
    q = predictions.probes
    return [
        ("test", "all", predictions.averaged[m], q.exact_held_out, q.held_out.tokens),
        ("train", "all", predictions.own[m], q.exact_splits[split], q.splits[split].tokens),
        ("test", "fixed", predictions.fixed[m], q.exact_held_out_fixed, q.held_out_fixed.tokens),
        ("train", "fixed", predictions.own_fixed[m], q.exact_splits_fixed[split], q.splits_fixed[split].tokens),
    ]


MEASURES: dict[str, Callable[[Predictions], Rows]] = {
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
class SequenceEvaluator(Evaluator):
    """The measures of sequences; the predictions of one checkpoint serve all of them."""

    def __init__(self, probes: SequenceProbes) -> None:
        self.probes = probes
        self.predictions: Predictions | None = None

    def prepare(self, names: tuple[str, ...]) -> "SequenceEvaluator":
        self.probes.prepare(names)
        return self

    def rows(self, twins: Twins, name: str) -> Rows:
        if self.predictions is None or self.predictions.twins is not twins:
            self.predictions = Predictions(twins, self.probes)
        return MEASURES[name](self.predictions)

    def lowest_losses(self) -> dict[str, float]:
        """Nats per token."""
        p = self.probes
        exact = {"test_loss": (p.exact_held_out, p.held_out), "fixed_time_loss": (p.exact_held_out_fixed, p.held_out_fixed)}
        return {name: float(token_loss(Categorical(log_probs), probe.tokens).mean()) for name, (log_probs, probe) in exact.items()}
