"""The part of an ensemble that one worker steps: weights, moments and average of some members, and the step itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.schedule import Noising
from twinsplit.diffusion.series import Member
from twinsplit.errors import InputError
from twinsplit.networks import fused
from twinsplit.networks.arithmetic import product_dtype
from twinsplit.networks.dropout import Dropout
from twinsplit.networks.network import Drop, Network, keep
from twinsplit.networks.parametrisation import Parametrisation
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Training
from twinsplit.training.batches import batch_rows, draw_eps, epoch_size, times_of
from twinsplit.training.loss import member_losses
from twinsplit.training.rates import rate_factor
from twinsplit.training.stack import Stack

BUFFERS = ("weights", "exp_avg", "exp_avg_sq", "average")


@final
@dataclass(frozen=True, eq=False)
class Task:
    """What all members share: how to train, what outputs mean under which noising process, and the root of all randomness."""

    training: Training
    parametrisation: Parametrisation
    root: Noise

    @property
    def schedule(self) -> Noising:
        """The noising process."""
        return self.parametrisation.noising


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """Members on one device. samples: (K, n, ...), member k's split; buffers: flat float32, one of each kind in BUFFERS."""

    network: Network
    task: Task
    members: tuple[Member, ...]
    samples: Tensor
    buffers: dict[str, Tensor]

    def stack(self, kind: str) -> Stack:
        """Named views on one buffer."""
        return Stack.over(self.buffers[kind], self.network, len(self.members))

    def noises(self) -> list[Noise]:
        """Each member's source of randomness."""
        return [member.noise(self.task.root) for member in self.members]

    def load(self, tensors: Mapping[str, Tensor], members: slice) -> None:
        """Take up the state KIND.NAME -> (all members, ...) for these members; what it leaves out stays zero."""
        for kind in BUFFERS:
            if any(name.startswith(f"{kind}.") for name in tensors):
                self.stack(kind).load(tensors, f"{kind}.", members)


def allocate(network: Network, members: int, device: torch.device) -> dict[str, Tensor]:
    """Zeroed buffers."""
    size = members * network.size_in_numbers()
    return {kind: torch.zeros(size, device=device) for kind in BUFFERS}


def advance(shard: Shard, first: int, last: int) -> tuple[Shard, Tensor]:
    """Take steps first..last: the shard after them, and (steps, K) training losses, float32 on the CPU.

    Go on with the shard that is returned. In this process it is the one given, whose buffers are stepped in place; from a worker
    process a new one comes back, and the one given is as it was.

    Raises InputError where a loss is not finite.
    """
    stepper = Stepper.on(shard, first - 1)
    losses = torch.stack([stepper.step(step) for step in range(first, last + 1)]).cpu()
    finite = losses.isfinite().all(1)
    if not bool(finite.all()):
        bad = int((~finite).int().argmax())
        member = shard.members[int((~losses[bad].isfinite()).int().argmax())]
        raise InputError(
            f"training diverged: the loss of split {member.split}, seed {member.seed} is not finite at step {first + bad}",
            "lower training.learning_rate (or use precision float32) and choose another --out; earlier checkpoints are intact",
        )
    return shard, losses


@final
class Stepper:
    """A shard made ready to step: leaves for autograd, gradients in one buffer, Adam on it as one parameter."""

    def __init__(self, shard: Shard, optimizer: torch.optim.Adam, leaves: dict[str, Tensor], grad: Tensor) -> None:
        self.shard = shard
        self.optimizer = optimizer
        self.leaves = leaves
        self.grad = grad
        self.state: dict[str, Tensor] = {}
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        written_out = fused.serves(shard.network, len(shard.members), grad, shard.task.training)
        dtype = product_dtype(shard.task.training.precision, grad.device)
        self.backward = self._fused(fused.FusedLoss.of(shard.network, leaves, gradients, dtype)) if written_out else self.autograd

    @classmethod
    def on(cls, shard: Shard, done: int) -> "Stepper":
        """With moments taken from the shard's buffers after `done` steps."""
        weights, grad = shard.buffers["weights"], torch.zeros_like(shard.buffers["weights"])
        gradients = Stack.over(grad, shard.network, len(shard.members)).views
        leaves: dict[str, Tensor] = {}
        for name, view in shard.stack("weights").views.items():
            leaves[name] = torch.nn.Parameter(view)
            leaves[name].grad = gradients[name]
        flat = torch.nn.Parameter(weights)
        flat.grad = grad
        optimizer = torch.optim.Adam([flat], lr=shard.task.training.learning_rate, fused=True)
        optimizer.state[flat] = {
            "step": torch.tensor(float(done), device=weights.device),
            "exp_avg": shard.buffers["exp_avg"],
            "exp_avg_sq": shard.buffers["exp_avg_sq"],
        }
        return cls(shard, optimizer, leaves, grad)

    def step(self, step: int) -> Tensor:
        """One step of every member; (K,) losses before it."""
        self.grad.zero_()
        losses = self.backward(step)
        self._set_rate(step)
        self.optimizer.step()
        self._settle()
        self._average(step)
        return losses

    def autograd(self, step: int) -> Tensor:
        """(K,) losses; their gradients are added to `grad`."""
        losses = self._losses(step)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def _fused(self, loss: fused.FusedLoss) -> Callable[[int], Tensor]:
        """The same for a shard that `fused.serves`."""

        def backward(step: int) -> Tensor:
            target, x_t, t = self._batch(step)
            return loss(target[0], x_t[0], t[0], self._drop(step))[None]

        return backward

    def _losses(self, step: int) -> Tensor:
        losses, self.state = self.forward(*self._batch(step), self._drop(step))
        return losses

    def forward(self, target: Tensor, x_t: Tensor, t: Tensor, drop: Drop) -> tuple[Tensor, dict[str, Tensor]]:
        """(K,) losses of a batch of every member and their networks' state after it; the part of a step that an accelerator gains
        from compiling.
        """
        task = self.shard.task
        dtype = product_dtype(task.training.precision, x_t.device)
        with torch.autocast(x_t.device.type, dtype, enabled=dtype != torch.float32):
            outputs, state = self.shard.network.learning(self.leaves, x_t, t, drop)
        return member_losses(task.training, outputs, target, t, task.schedule), state

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The target, x_t (K, b, ...) and times (K, b); members of one seed share order, times and noise."""
        shard, device, task = self.shard, self.grad.device, self.shard.task
        n, state = shard.samples.shape[1], task.parametrisation.state(tuple(shard.samples.shape[2:]))
        draw_times = times_of(task.training)
        drawn = {}
        for noise in dict.fromkeys(shard.noises()):
            rows = batch_rows(noise, step, n, task.training.batch, device, epoch_size(task.training, n))
            t = draw_times(noise, step, len(rows), task.schedule, device)
            drawn[noise] = rows, t, draw_eps(noise, step, len(rows), state, device)
        rows, t, eps = (torch.stack(parts) for parts in zip(*(drawn[noise] for noise in shard.noises()), strict=True))
        samples = shard.samples[torch.arange(len(rows), device=device)[:, None], rows]
        signal, sigma = (scale.float() for scale in task.schedule.scales(t))
        target = task.parametrisation.target(samples, eps, sigma)
        return target, task.parametrisation.noised(samples, eps, signal, sigma), t

    def _drop(self, step: int) -> Drop:
        rate = self.shard.network.dropout
        return Dropout.keyed(rate, self.shard.noises(), step, self.grad.device) if rate else keep

    def _set_rate(self, step: int) -> None:
        training, n = self.shard.task.training, self.shard.samples.shape[1]
        factor = rate_factor(training.schedule, step, training.steps, epoch_size(training, n), training.batch)
        self.optimizer.param_groups[0]["lr"] = training.learning_rate * factor

    @torch.no_grad()
    def _settle(self) -> None:
        """Running statistics take their new values; Adam left them alone, because their gradient and with it its moments are 0."""
        for name, value in self.state.items():
            self.leaves[name].copy_(value)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Moving average; early on the decay grows as step / (step + 9), so that the start is forgotten."""
        decay = min(self.shard.task.training.ema_decay, step / (step + 9)) if self.shard.task.training.ema_decay else 0.0
        self.shard.buffers["average"].lerp_(self.shard.buffers["weights"], 1 - decay)
