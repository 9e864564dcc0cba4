"""The training loop: a generator of checkpoints. It prints nothing; the caller decides what to log and when to stop."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.series import Member
from twinsplit.execution.local import Executor, Inline
from twinsplit.networks.network import Network
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.recipes import RunRecipe
from twinsplit.runs.imported import refuse_imported
from twinsplit.runs.store import Run
from twinsplit.training.ensemble import Ensemble, ReadAs
from twinsplit.training.stack import concatenated
from twinsplit.training.step import Shard, Task, advance, allocate


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A point on disk from which the run resumes. loss: (K,) mean training loss since the last one; kept: whether it stays."""

    step: int
    loss: Tensor
    kept: bool


def milestones(recipe: RunRecipe) -> tuple[int, ...]:
    """Steps at which training pauses to save: the kept checkpoints and every `save_every` steps."""
    regular = range(recipe.training.save_every, recipe.training.steps, recipe.training.save_every)
    return tuple(sorted({*recipe.checkpoint_steps(), *regular}))


def train(ensemble: Ensemble, splits: Tensor, task: Task, run: Run[Any], executor: Executor | None = None) -> Iterator[Checkpoint]:
    """Train every member on its split to the end, resuming where the run's folder stands; yields after each save.

    ensemble: untrained members; splits: (S, n, ...) samples to learn. The same run continues to the same bits on the same
    machine: noise is keyed by step, so weights, moments, average and step are the whole state. Raises InputError where the loss is not
    finite, the disk refuses, or the run's networks were imported.
    """
    refuse_imported(run.path)
    executor = executor or Inline()
    shards = deal(ensemble, splits, task)
    done = run.resume_step()
    _restore(shards, _saved_state(run, done) if done else _first_state(ensemble))
    for step in milestones(run.recipe):
        if step > done:
            losses = []
            for k, (shard, loss) in enumerate(executor.map(partial(advance, first=done + 1, last=step), shards)):
                shards[k] = shard  # at once, so that its predecessor is let go
                losses.append(loss.mean(0))
            save(shards, run, step)
            done = step
            yield Checkpoint(step, torch.cat(losses), step in run.recipe.checkpoint_steps())


def save(shards: list[Shard], run: Run[Any], step: int) -> None:
    """Weights (and their average) in the checkpoint, Adam's moments beside it; then drop older resume points."""
    kinds = ("weights", "average") if run.recipe.training.ema_decay else ("weights",)
    run.save(step, _gathered(shards, kinds))
    run.save(step, _gathered(shards, ("exp_avg", "exp_avg_sq")), ".optimizer")
    run.prune()


def _gathered(shards: list[Shard], kinds: tuple[str, ...]) -> dict[str, Tensor]:
    return concatenated([{k: v for kind in kinds for k, v in shard.stack(kind).named(f"{kind}.").items()} for shard in shards])


def _first_state(ensemble: Ensemble) -> dict[str, Tensor]:
    return {f"{kind}.{name}": value for kind in ("weights", "average") for name, value in ensemble.parameters.items()}


def _saved_state(run: Run[Any], step: int) -> dict[str, Tensor]:
    tensors = run.load(step)
    if not run.recipe.training.ema_decay:
        tensors |= {name.replace("weights.", "average.", 1): value for name, value in tensors.items()}
    return tensors | run.load(step, ".optimizer")


def _restore(shards: list[Shard], tensors: dict[str, Tensor]) -> None:
    first = 0
    for shard in shards:
        shard.load(tensors, slice(first, first + len(shard.members)))
        first += len(shard.members)


def deal(ensemble: Ensemble, splits: Tensor, task: Task) -> list[Shard]:
    """The ensemble in shards with zeroed buffers: on the CPU one per member, so that no bit depends on the number of workers; on an
    accelerator all members in one, where one large batched product beats many small ones.
    """
    count = len(ensemble.members)
    size = 1 if splits.device.type == "cpu" else count
    return [_shard(ensemble, splits, task, slice(k, k + size)) for k in range(0, count, size)]


def _shard(ensemble: Ensemble, splits: Tensor, task: Task, part: slice) -> Shard:
    members = ensemble.members[part]
    samples = splits[[member.split for member in members]]
    return Shard(ensemble.network, task, members, samples, allocate(ensemble.network, len(members), splits.device))


def load_ensemble(
    run: Run[Any], network: Network, step: int, device: torch.device | str = "cpu", read_as: ReadAs = NetworkDenoiser
) -> Ensemble:
    """The members at a kept checkpoint, as evaluated: the average where the recipe keeps one, else the weights."""
    prefix = "average." if run.recipe.training.ema_decay else "weights."
    tensors = run.load(step)
    parameters = {name: tensors[prefix + name].to(device) for name in network.shapes()}
    return Ensemble(network, tuple(Member(*names) for names in run.recipe.members), parameters, read_as)
