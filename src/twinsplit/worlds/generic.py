"""The measures that every world has, from samples, a noising process and a parametrisation alone.

A world with an exact posterior, or with measures of its own kind of data, adds to these.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser, Posterior
from twinsplit.diffusion.series import Twins
from twinsplit.execution.local import Executor
from twinsplit.measures.divergence import ordered_pairs, sample_split_divergence
from twinsplit.networks.parametrisation import Draw, Parametrisation
from twinsplit.noise.reference import Noise
from twinsplit.recipes import RunRecipe
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Evaluator, Measure, Measured
from twinsplit.worlds.parts import draw_parts

CHUNK = 1024
SAMPLED = "nearest_neighbours"


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """Clean samples x_0 (n, *sample) with fixed noised states x_t (n, *state) at times t (n,), and their noise eps (n, *state)."""

    x_0: Tensor
    x_t: Tensor
    t: Tensor
    eps: Tensor


@final
@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of a run. splits (S, n, *sample), held_out (m, *sample); held-out sample i is named S n + i for its noise."""

    recipe: RunRecipe
    parametrisation: Parametrisation
    split_samples: Tensor
    held_out_samples: Tensor
    oracle: Denoiser[Any] | None = None

    @cached_property
    def held_out_fixed(self) -> Probe:
        """Held-out samples at the fixed time."""
        return self._probe(self.held_out_samples, self._held_out_names, self.recipe.measured_time)

    @cached_property
    def held_out(self) -> Probe:
        """Held-out samples, each at a time of its own, uniform on 1..T (fixed-time training: at the learned one)."""
        return self._probe(self.held_out_samples, self._held_out_names, self.recipe.only_time)

    @cached_property
    def splits(self) -> tuple[Probe, ...]:
        """As many samples of every split as there are held-out ones, over all times."""
        count, most = self.split_samples.shape[1], len(self.held_out_samples)
        names = (torch.arange(count)[:most] + split * count for split in range(len(self.split_samples)))
        return tuple(self._probe(own[:most], ids, self.recipe.only_time) for own, ids in zip(self.split_samples, names, strict=True))

    @cached_property
    def exact_held_out_fixed(self) -> Posterior | None:
        """The oracle's posterior on `held_out_fixed`, where there is an oracle."""
        return None if self.oracle is None else posterior(self.oracle, self.held_out_fixed)

    @property
    def _held_out_names(self) -> Tensor:
        return torch.arange(len(self.held_out_samples)) + self.split_samples.shape[0] * self.split_samples.shape[1]

    def _probe(self, x_0: Tensor, ids: Tensor, t: int | None) -> Probe:
        draws = [self._drawn(x_0, ids, t, draw) for draw in range(self.recipe.repeats.noise_draws)]
        return Probe(*(torch.cat([getattr(one, name) for one in draws]) for name in ("x_0", "x_t", "t", "eps")))

    def _drawn(self, x_0: Tensor, ids: Tensor, t: int | None, draw: int) -> Probe:
        noise = Noise(self.recipe.seed).child("measuring")
        times = noise.child("time").integers(draw, ids, 1, self.parametrisation.noising.T) if t is None else torch.full_like(ids, t)
        eps = noise.child("eps").normal(draw, ids, self.parametrisation.state(tuple(x_0.shape[1:])), torch.float32)
        signal, sigma = (scale.float() for scale in self.parametrisation.noising.scales(times))
        x_t = self.parametrisation.noised(x_0[None], eps[None], signal[None], sigma[None])[0]
        return Probe(x_0, x_t, times, eps)


def chunks(probe: Probe) -> Iterator[Probe]:
    """The probe in parts of at most CHUNK samples."""
    parts = (torch.split(value, CHUNK) for value in (probe.x_0, probe.x_t, probe.t, probe.eps))
    return (Probe(*part) for part in zip(*parts, strict=True))


@torch.no_grad()
def posterior(denoiser: Denoiser[Any], probe: Probe) -> Posterior:
    """One network's posterior of a whole probe, on the CPU whatever its device."""
    there = denoiser.device
    parts = [denoiser(part.x_t.to(there), part.t.to(there)).cpu() for part in chunks(probe)]
    joined: Posterior = type(parts[0]).cat(parts)
    return joined


@final
@dataclass(frozen=True, eq=False)
class Predictions:
    """Posteriors and losses of the networks of one checkpoint on the probes; each is computed once."""

    twins: Twins
    probes: Probes

    @cached_property
    def fixed(self) -> list[Posterior]:
        """Every network's posterior of the held-out samples at the fixed time."""
        return [posterior(denoiser, self.probes.held_out_fixed) for denoiser in self.twins.denoisers()]

    def losses(self, k: int, probe: Probe) -> Tensor:
        """(n,) the training loss of network k on each sample of a probe, averaged over its entries."""
        denoiser, ask = self.twins.member(k), self.probes.parametrisation.losses
        there = denoiser.device
        return torch.cat([ask(denoiser, *(v.to(there) for v in (p.x_0, p.x_t, p.t, p.eps))).cpu() for p in chunks(probe)])

    @property
    def count(self) -> int:
        """Number of networks."""
        return len(self.twins.members)

    def name(self, k: int, suffix: str = "") -> dict[str, int]:
        """The columns that name network k."""
        member = self.twins.members[k]
        return {f"member{suffix}": k, f"split{suffix}": member.split, f"seed{suffix}": member.seed}


def split_divergence_rows(predictions: Predictions) -> Rows:
    """A row per ordered pair (a, b) of networks: KL(a || b) in nats on held-out samples at the fixed time."""
    rows: Rows = []
    for a, b in ordered_pairs(predictions.count):
        if a < b:
            both = sample_split_divergence(predictions.fixed[a], predictions.fixed[b])
            rows.append(predictions.name(a, "_a") | predictions.name(b, "_b") | {"values": both[:, 0]})
            rows.append(predictions.name(b, "_a") | predictions.name(a, "_b") | {"values": both[:, 1]})
    return rows


def test_loss_rows(predictions: Predictions) -> Rows:
    """A row per network: loss on held-out samples over all times."""
    return [predictions.name(k) | {"values": predictions.losses(k, predictions.probes.held_out)} for k in range(predictions.count)]


def train_loss_rows(predictions: Predictions) -> Rows:
    """A row per network: loss on samples of its own split over all times."""
    own = predictions.probes.splits
    members = enumerate(predictions.twins.members)
    return [predictions.name(k) | {"values": predictions.losses(k, own[member.split])} for k, member in members]


def fixed_time_loss_rows(predictions: Predictions) -> Rows:
    """A row per network: loss on held-out samples at the fixed time."""
    probe = predictions.probes.held_out_fixed
    return [predictions.name(k) | {"values": predictions.losses(k, probe)} for k in range(predictions.count)]


def oracle_divergence_rows(predictions: Predictions) -> Rows:
    """A row per network: KL(oracle || network) in nats on held-out samples at the fixed time."""
    exact = predictions.probes.exact_held_out_fixed
    assert exact is not None
    return [predictions.name(k) | {"values": exact.kl(model)} for k, model in enumerate(predictions.fixed)]


STANDARD: Mapping[str, Callable[[Predictions], Rows]] = {
    "sample_split_divergence": split_divergence_rows,
    "test_loss": test_loss_rows,
    "train_loss": train_loss_rows,
    "fixed_time_loss": fixed_time_loss_rows,
}
WITH_ORACLE = {"oracle_divergence": oracle_divergence_rows}


@final
class GenericEvaluator(Evaluator):
    """The generic measures and those that a world adds; the predictions of one checkpoint serve all of them."""

    def __init__(self, probes: Probes, extra: tuple[Measure, ...] = ()) -> None:
        self.probes = probes
        self.measures = dict(STANDARD) | (WITH_ORACLE if probes.oracle is not None else {}) | {one.name: one.rows for one in extra}
        self.predictions: Predictions | None = None

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"predictions": None}

    def rows(self, twins: Twins, name: str) -> Rows:
        if self.predictions is None or self.predictions.twins is not twins:
            self.predictions = Predictions(twins, self.probes)
        rows: Rows = self.measures[name](self.predictions)
        return rows


@final
@dataclass(frozen=True, eq=False)
class Drawing:
    """How samples are drawn: the sampler, their number, the shape of a state, and noise that all networks share."""

    draw: Draw
    count: int
    shape: tuple[int, ...]
    noise: Noise

    def part(self, denoiser: Denoiser[Any], ids: Tensor) -> Tensor:
        """The samples (n, *state) with these names (n,), on the CPU."""
        return self.draw(denoiser, self.shape, self.noise, ids).samples.cpu()

    def __call__(self, denoiser: Denoiser[Any]) -> Tensor:
        """All of them."""
        return torch.cat([self.part(denoiser, ids) for ids in torch.split(torch.arange(self.count, device=denoiser.device), CHUNK)])


@final
@dataclass(frozen=True, eq=False)
class Near:
    """Distances to the nearest training sample. clean: from samples (n, *sample) to the states (n, *state) that are compared."""

    clean: Callable[[Tensor], Tensor]

    def __call__(self, task: tuple[Tensor, Tensor]) -> Any:
        """(n,) Euclidean distance of each state to the nearest of the training samples."""
        states, training = task
        nearest = [torch.cdist(part.flatten(1), self.clean(training).flatten(1)).amin(1) for part in torch.split(states, CHUNK)]
        return torch.cat(nearest).float().numpy()


def measure_samples(
    run: Run[Any], load: Callable[[int], Twins], drawing: Drawing, probes: Probes, steps: tuple[int, ...], executor: Executor
) -> Iterator[Measured]:
    """Draw samples at the given checkpoints and measure how near they come to each network's own training samples.

    A row per network, and a row per split with the distances of the held-out samples (member -1), which no network has seen.
    """
    near = Near(partial(clean_states, probes.parametrisation))
    todo = [step for step in steps if step not in run.measured(SAMPLED)]
    fresh = _held_out_rows(near, probes) if todo else []
    for step in todo:
        twins = load(step)
        drawn = [torch.cat(parts) for parts in draw_parts(drawing.part, twins.denoisers(), drawing.count, CHUNK, executor)]
        tasks = [(states, probes.split_samples[member.split]) for states, member in zip(drawn, twins.members, strict=True)]
        rows = [
            {"member": k, "split": member.split, "seed": member.seed, "source": "generated", "values": found}
            for k, (member, found) in enumerate(zip(twins.members, executor.map(near, tasks), strict=True))
        ]
        run.write_tensors("samples", step, {"samples": torch.stack(drawn)})
        run.write_table(SAMPLED, step, as_table(step, rows + fresh))
        yield Measured(step, (SAMPLED,))


def clean_states(parametrisation: Parametrisation, samples: Tensor) -> Tensor:
    """(n, *state) states without noise of samples (n, *sample)."""
    nothing = torch.zeros(1, len(samples), *parametrisation.state(tuple(samples.shape[1:])))
    ones = torch.ones(1, len(samples))
    return parametrisation.noised(samples[None], nothing, ones, torch.zeros_like(ones))[0]


def _held_out_rows(near: Near, probes: Probes) -> Rows:
    held_out = near.clean(probes.held_out_samples)
    return [
        {"member": -1, "split": i, "seed": -1, "source": "held_out", "values": near((held_out, own))}
        for i, own in enumerate(probes.split_samples)
    ]
