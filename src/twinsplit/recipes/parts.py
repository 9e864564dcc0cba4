"""What all recipes share: the noising process, the optimisation, and which networks there are."""

import dataclasses
from abc import ABC
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, final

from twinsplit.errors import InputError, require_sizes

DEFAULT_WORLD = "sequences"  # of recipes that name none
LARGEST = 10**18  # beyond it integers leave 64 bits


def require(condition: bool, what: str, remedy: str) -> None:
    """Refuse a value with a reason and a remedy."""
    if not condition:
        raise InputError(what, remedy)


@final
@dataclass(frozen=True)
class Diffusion:
    """The noising process: T steps of the named schedule.

    diffusion_lm, one_minus_sqrt: variance preserving. sqrt_sigma, uniform_sigma: noise is only added, up to deviation 1, with sqrt(sigma)
    or sigma evenly spaced, for blind networks.
    """

    schedule: Literal["diffusion_lm", "one_minus_sqrt", "sqrt_sigma", "uniform_sigma"] = "diffusion_lm"
    T: int = 500


@final
@dataclass(frozen=True)
class Training:
    """Optimisation: Adam on a loss of the posterior of noised samples.

    loss: cross-entropy of the tokens, or squared error of the posterior mean; for images, squared error of the predicted noise. Each is
    averaged over all its entries.
    weighting: of each sample's loss by its time: uniform, or vlb (diffusion.schedule.Schedule.vlb_weight).
    times: t uniform on 1..T; critical: Gaussian of mean and deviation 0.15 T, conditioned on 1..T; or fixed: always `fixed_time`.
    seeds_per_split: networks per split that differ only in the seed of their weights, order and noise.
    schedule: constant; published (factor 1 to 0.5 over 50 epochs, then cosine to 0.1 at the end); warmup (up to 1 over 500 epochs,
    then cosine to 0.1 at the end; a shorter run ends while it still rises); or halving (halved after every 100 epochs).
    epoch_samples: samples in an epoch, each split being repeated to so many; 0: each sample once. Splits of any size then have equal
    exposure, steps and rates: an epoch is epoch_samples / batch steps (100,000 and 512: 196, as published).
    ema_decay: moving average of the weights used for evaluation; 0 evaluates the raw weights, as published.
    checkpoints: kept at steps from first_checkpoint to steps, evenly spaced in log step or, with spacing = linear, in step.
    save_every: steps between resume points.
    checkpoint_list: these steps instead, ascending, the last one `steps`.
    """

    steps: int = 200_000
    batch: int = 512
    learning_rate: float = 3e-4
    schedule: Literal["constant", "published", "warmup", "halving"] = "published"
    loss: Literal["cross_entropy", "squared_error", "noise"] = "cross_entropy"
    weighting: Literal["uniform", "vlb"] = "uniform"
    times: Literal["uniform", "critical", "fixed"] = "uniform"
    ema_decay: float = 0.0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seeds_per_split: int = 1
    checkpoints: int = 25
    first_checkpoint: int = 1_000
    save_every: int = 2_000
    checkpoint_list: tuple[int, ...] = ()
    fixed_time: int = 0
    spacing: Literal["log", "linear"] = "log"
    epoch_samples: int = 0

    def __post_init__(self) -> None:
        require_sizes("training", steps=self.steps, batch=self.batch, seeds_per_split=self.seeds_per_split)
        require_sizes("training", checkpoints=self.checkpoints, first_checkpoint=self.first_checkpoint, save_every=self.save_every)
        require(
            self.first_checkpoint <= self.steps, f"training.first_checkpoint {self.first_checkpoint} lies after the last step", "lower it"
        )
        require(0 <= self.ema_decay < 1, f"training.ema_decay {self.ema_decay} is no decay", "choose one in [0, 1); 0 turns it off")
        listed = self.checkpoint_list
        ascending = listed == tuple(sorted({*listed, self.steps})) and listed[0] >= 1 if listed else True
        require(ascending, f"training.checkpoint_list = {list(listed)}", f"list steps from 1 in ascending order, the last {self.steps}")
        fixed = self.times == "fixed"
        require(
            (self.fixed_time > 0) == fixed, f"training.fixed_time = {self.fixed_time}", 'with times = "fixed" give a time from 1, else 0'
        )
        require(
            self.epoch_samples >= 0, f"training.epoch_samples = {self.epoch_samples}", "give a positive number, or 0 for each sample once"
        )
        require(0 < self.learning_rate < float("inf"), f"training.learning_rate {self.learning_rate}", "give a positive one")


class Shares(Protocol):
    """What the data of every world say of their splits."""

    @property
    def splits(self) -> int:
        """Number of disjoint splits."""
        ...

    @property
    def split_size(self) -> int:
        """Samples in each (n)."""
        ...

    @property
    def held_out(self) -> int:
        """Samples that are measured on."""
        ...


class Repeats(Protocol):
    """What the measuring of every world says of its replicates."""

    @property
    def time_fraction(self) -> float:
        """The fixed time of the divergences, as t/T."""
        ...

    @property
    def noise_draws(self) -> int:
        """Noised copies of each sample."""
        ...

    @property
    def generated(self) -> int:
        """Samples drawn per network."""
        ...

    @property
    def sampling_steps(self) -> int:
        """Reverse steps used for them."""
        ...


def _log(first: int, last: int, intervals: int) -> list[float]:
    ratio = (last / first) ** (1 / intervals)
    return [first * ratio**i for i in range(intervals)]


def _linear(first: int, last: int, intervals: int) -> list[float]:
    return [first + (last - first) * i / intervals for i in range(intervals)]


SPACINGS = {"log": _log, "linear": _linear}


@final
@dataclass(frozen=True)
class Splitting:
    """How a world without tables of its own splits its data: disjoint splits and held-out samples."""

    splits: int = 4
    split_size: int = 256
    held_out: int = 256

    def __post_init__(self) -> None:
        require(self.splits >= 2, f"data.splits = {self.splits}", "twins need at least 2 disjoint splits")
        require_sizes("data", split_size=self.split_size, held_out=self.held_out)


@final
@dataclass(frozen=True)
class Repeating:
    """How often a world without tables of its own measures (see `Repeats`)."""

    time_fraction: float = 0.1
    noise_draws: int = 1
    generated: int = 256
    sampling_steps: int = 50

    def __post_init__(self) -> None:
        require(0 < self.time_fraction <= 1, f"measuring.time_fraction {self.time_fraction}", "choose one in (0, 1]")
        require_sizes("measuring", noise_draws=self.noise_draws, generated=self.generated, sampling_steps=self.sampling_steps)


@dataclass(frozen=True)
class RunRecipe(ABC):
    """A whole run, whatever its world. seed: of data, weights, order and noise.

    A recipe of a world sets the class attribute `world` to the name that the world is registered
    under, and adds the tables `data` (with splits, split_size, held_out), `network` and `measuring`.
    """

    name: str = "paper"
    seed: int = 0
    diffusion: Diffusion = field(default_factory=Diffusion)
    training: Training = field(default_factory=Training)
    world: ClassVar[str]
    samples_called: ClassVar[str] = "samples"
    """what a sample is called in sentences, such as "sequences" or "images" """

    def __post_init__(self) -> None:
        require(abs(self.seed) < LARGEST, f"a seed of {len(str(abs(self.seed)))} digits", "choose one of at most 18")
        last = self.training.fixed_time
        require(
            last <= self.diffusion.T, f"training.fixed_time: time {last} lies after T = {self.diffusion.T}", "choose a time within 1..T"
        )

    @property
    def shares(self) -> Shares:
        """How the data are split: the table `data`."""
        found: Shares = vars(self)["data"]
        return found

    @property
    def repeats(self) -> Repeats:
        """How often things are measured: the table `measuring`."""
        found: Repeats = vars(self)["measuring"]
        return found

    def on_folder(self, folder: Path) -> Self:
        """Return the same recipe, learning from a prepared data folder."""
        data: Any = self.shares
        if not hasattr(data, "path"):
            raise InputError(f"a recipe of the world {self.world!r} names no data folder", "leave --data out")
        return dataclasses.replace(self, data=dataclasses.replace(data, path=str(folder)))  # type: ignore[call-arg]

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        """(split, seed) of every network, in storage order; every network has a seed of its own, as in [BG]."""
        repeats = self.training.seeds_per_split
        return tuple((split, split * repeats + i) for split in range(self.shares.splits) for i in range(repeats))

    @property
    def only_time(self) -> int | None:
        """The one time that fixed-time training knows, in 1..T; None where networks learn many."""
        return self.training.fixed_time or None

    @property
    def measured_time(self) -> int:
        """The fixed time of the divergences, in 1..T: the one that is learned, or else the recipe's fraction of T."""
        return self.only_time or max(1, round(self.repeats.time_fraction * self.diffusion.T))

    def checkpoint_steps(self) -> tuple[int, ...]:
        """The listed steps, or spaced integers, distinct; the last one is `training.steps`."""
        if self.training.checkpoint_list:
            return self.training.checkpoint_list
        first, last, count = self.training.first_checkpoint, self.training.steps, self.training.checkpoints
        between = SPACINGS[self.training.spacing](first, last, max(count - 1, 1))
        return tuple(sorted({round(step) for step in between[: count - 1]} | {last}))

    def to_json(self) -> dict[str, Any]:
        """Return plain nested data, with the name of the world where it is not the default one."""
        named = {} if self.world == DEFAULT_WORLD else {"world": self.world}
        return dataclasses.asdict(self) | named


def difference(old: RunRecipe, new: RunRecipe) -> str:
    """Return the keys whose values differ, each with both."""
    if old.world != new.world:
        return f"one is of {old.samples_called}, the other of {new.samples_called}"
    before, after = flat(old.to_json()), flat(new.to_json())
    return ", ".join(f"{key} {before.get(key)!r} there, {after.get(key)!r} asked" for key in before if before[key] != after.get(key))


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}.{key}" if prefix else key).items()}
