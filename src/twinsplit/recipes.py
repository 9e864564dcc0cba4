"""Recipes: everything that decides a run's numbers, as plain data; and the presets `smoke`, `laptop`, `paper`.

A recipe is read from TOML or JSON, checked key by key, and written into the run folder. Two runs with equal recipes on one
machine have equal bits. Sizes that change only speed (workers, chunk sizes) are not part of it.
"""

import dataclasses
import difflib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final, get_origin

from twinsplit.errors import InputError


def require(condition: bool, what: str, remedy: str) -> None:
    """Refuse a value with a reason and a remedy."""
    if not condition:
        raise InputError(what, remedy)


@final
@dataclass(frozen=True)
class Data:
    """The world and how it is split.

    grammar: the rule-drawing law; vocab_size (q), depth (l), rules_per_symbol (q_eff), sigma and grammar_seed define it.
    factorised: top levels (k) replaced by independent transitions from the root, so that BP_k is the exact posterior; 0: none.
    path: a prepared data folder (`twinsplit data grammar`) instead of drawing `samples` sequences here.
    splits: number of disjoint splits; split_size: sequences in each (n); held_out: sequences measured on, disjoint by content.
    apart: the held-out set shares no content with the first `apart` rows, in which all splits lie, so that runs of several sizes
    are judged on one and the same held-out set; 0: disjoint from this run's own splits.
    published_splits: for imported networks, the numbers i of their splits, whose rows are [i n, (i+1) n); empty for disjoint ones.
    """

    vocab_size: int = 6
    depth: int = 4
    rules_per_symbol: int = 4
    sigma: float = 1.0
    grammar_seed: int = 0
    factorised: int = 0
    samples: int = 1_000_000
    path: str = ""
    splits: int = 2
    split_size: int = 5_000
    held_out: int = 4_000
    apart: int = 0
    published_splits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.splits >= 2, f"data.splits = {self.splits}", "twins need at least 2 disjoint splits")
        require(min(self.split_size, self.held_out, self.samples) >= 1, "a data size is below 1", "give positive sizes")
        numbers = self.published_splits
        distinct = len(set(numbers)) == self.splits and min(numbers, default=0) >= 0
        require(not numbers or distinct, f"data.published_splits = {list(numbers)}", f"name {self.splits} different splits from 0 on")
        require(0 <= self.factorised <= self.depth, f"data.factorised = {self.factorised}", f"choose 0 to the depth, {self.depth}")


@final
@dataclass(frozen=True)
class Diffusion:
    """The noising process: T steps of the named schedule."""

    schedule: Literal["diffusion_lm", "one_minus_sqrt"] = "diffusion_lm"
    T: int = 500


@final
@dataclass(frozen=True)
class Network:
    """Sizes of the transformer (see networks.transformer.Transformer)."""

    width: int = 512
    layers: int = 8
    heads: int = 4
    feedforward: int = 1024
    dropout: float = 0.1


@final
@dataclass(frozen=True)
class Training:
    """Optimisation: Adam on a loss of the posterior of noised sequences.

    loss: cross-entropy of the tokens, or squared error of the posterior mean, each averaged over all its entries.
    weighting: of each sample's loss by its time: uniform, or vlb (diffusion.schedule.Schedule.vlb_weight).
    times: t uniform on 1..T, or critical: Gaussian of mean and deviation 0.15 T, conditioned on 1..T.
    seeds_per_split: networks per split that differ only in the seed of their weights, order and noise.
    schedule: constant; published (factor 1 to 0.5 over 50 epochs, then cosine to 0.1 at the end); or warmup (up to 1 over 500 epochs,
    then cosine to 0.1 at the end; a shorter run ends while it still rises).
    ema_decay: moving average of the weights used for evaluation; 0 evaluates the raw weights, as published.
    checkpoints: kept at log-spaced steps from first_checkpoint to steps. save_every: steps between resume points.
    checkpoint_list: these steps instead, ascending, the last one `steps`.
    """

    steps: int = 200_000
    batch: int = 512
    learning_rate: float = 3e-4
    schedule: Literal["constant", "published", "warmup"] = "published"
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    weighting: Literal["uniform", "vlb"] = "uniform"
    times: Literal["uniform", "critical"] = "uniform"
    ema_decay: float = 0.0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seeds_per_split: int = 1
    checkpoints: int = 25
    first_checkpoint: int = 1_000
    save_every: int = 2_000
    checkpoint_list: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = (self.steps, self.batch, self.seeds_per_split, self.checkpoints, self.first_checkpoint, self.save_every)
        require(min(sizes) >= 1, "a training size is below 1", "give positive steps, batch, seeds_per_split, checkpoints, save_every")
        require(
            self.first_checkpoint <= self.steps, f"training.first_checkpoint {self.first_checkpoint} lies after the last step", "lower it"
        )
        require(0 <= self.ema_decay < 1, f"training.ema_decay {self.ema_decay} is no decay", "choose one in [0, 1); 0 turns it off")
        listed = self.checkpoint_list
        ascending = listed == tuple(sorted({*listed, self.steps})) and listed[0] >= 1 if listed else True
        require(ascending, f"training.checkpoint_list = {list(listed)}", f"list steps from 1 in ascending order, the last {self.steps}")
        require(self.learning_rate > 0, f"training.learning_rate {self.learning_rate}", "give a positive one")


@final
@dataclass(frozen=True)
class Measuring:
    """What is measured at every checkpoint, always on the same noised inputs.

    time_fraction: the fixed time of the divergences, as t/T ([BG]: 0.15); decomposition_fraction: that of the terms of the loss
    ([BG] fig. 4b: 0.3). noise_draws: noised copies of each sequence.
    generated: samples drawn per network for nearest neighbours; sampling_steps: reverse steps used (of T).
    uturn_starts: sequences that U-turns start from; uturn_repetitions: U-turns from each.
    profile_times: times t at which the divergence to the oracle is measured; profile_sequences: held-out sequences used for it.
    """

    time_fraction: float = 0.15
    decomposition_fraction: float = 0.3
    noise_draws: int = 1
    generated: int = 2_000
    sampling_steps: int = 50
    uturn_starts: int = 256
    uturn_repetitions: int = 8
    profile_times: int = 40
    profile_sequences: int = 1_000

    def __post_init__(self) -> None:
        for name in ("time_fraction", "decomposition_fraction"):
            require(0 < getattr(self, name) <= 1, f"measuring.{name} {getattr(self, name)}", "choose one in (0, 1]")
        sizes = (self.noise_draws, self.generated, self.sampling_steps, self.uturn_starts, self.uturn_repetitions)
        require(min(*sizes, self.profile_times, self.profile_sequences) >= 1, "a measuring size is below 1", "give positive sizes")


@final
@dataclass(frozen=True)
class Recipe:
    """A whole run. seed: of data, weights, order and noise."""

    name: str = "paper"
    seed: int = 0
    data: Data = field(default_factory=Data)
    diffusion: Diffusion = field(default_factory=Diffusion)
    network: Network = field(default_factory=Network)
    training: Training = field(default_factory=Training)
    measuring: Measuring = field(default_factory=Measuring)

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        """(split, seed) of every network, in storage order; every network has a seed of its own, as in [BG]."""
        repeats = self.training.seeds_per_split
        return tuple((split, split * repeats + i) for split in range(self.data.splits) for i in range(repeats))

    @property
    def measured_time(self) -> int:
        """The fixed time of the divergences, in 1..T."""
        return max(1, round(self.measuring.time_fraction * self.diffusion.T))

    @property
    def decomposed_time(self) -> int:
        """The fixed time of the terms of the loss, in 1..T."""
        return max(1, round(self.measuring.decomposition_fraction * self.diffusion.T))

    def checkpoint_steps(self) -> tuple[int, ...]:
        """The listed steps, or log-spaced integers, distinct; the last one is `training.steps`."""
        if self.training.checkpoint_list:
            return self.training.checkpoint_list
        first, last, count = self.training.first_checkpoint, self.training.steps, self.training.checkpoints
        ratio = (last / first) ** (1 / max(count - 1, 1))
        return tuple(sorted({round(first * ratio**i) for i in range(count - 1)} | {last}))

    def to_json(self) -> dict[str, Any]:
        """Plain nested data."""
        return dataclasses.asdict(self)


QUICKSTART = Recipe(
    name="laptop",
    data=Data(depth=3, samples=40_000, splits=6, split_size=256, held_out=2_000),
    diffusion=Diffusion(T=200),
    network=Network(width=64, layers=3, heads=4, feedforward=128, dropout=0.0),
    training=Training(
        steps=3_600,
        batch=64,
        learning_rate=2e-3,
        schedule="constant",
        ema_decay=0.998,
        precision="float32",
        checkpoints=36,
        first_checkpoint=30,
        save_every=600,
    ),
    measuring=Measuring(generated=1_000),
)

SMOKE = Recipe(
    name="smoke",
    data=Data(depth=2, vocab_size=4, rules_per_symbol=2, samples=2_000, splits=2, split_size=6, held_out=48),
    diffusion=Diffusion(T=50),
    network=Network(width=16, layers=1, heads=2, feedforward=32, dropout=0.0),
    training=Training(
        steps=60,
        batch=6,
        learning_rate=3e-3,
        schedule="constant",
        ema_decay=0.9,
        precision="float32",
        checkpoints=8,
        first_checkpoint=4,
        save_every=20,
    ),
    measuring=Measuring(generated=32, sampling_steps=10),
)

SHIPPED = Path(__file__).parent / "published"
PUBLISHED = ("paper-5000.toml", "paper-12000.toml", "paper-70000.toml")
PRESETS = {"smoke": SMOKE, "laptop": QUICKSTART, "paper": Recipe()}


def preset(name: str) -> Recipe:
    """The recipe of a scale."""
    require(name in PRESETS, f"no scale named {name!r}", f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def read_recipe(path: Path) -> Recipe:
    """A recipe from a .toml or .json file; keys that are left out keep the `paper` values.

    A bare name that is no file here may be one of the recipes that come with the package, `PUBLISHED`.
    """
    if path.name == str(path) and not path.exists() and path.name in PUBLISHED:
        path = SHIPPED / path.name
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(
            f"cannot read the recipe {path}: {error.strerror}", f"check the path, or name one of {', '.join(PUBLISHED)}"
        ) from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid {path.suffix or 'JSON'}: {error}", "correct the file") from error
    return recipe_from(values, str(path))


def recipe_from(values: Any, where: str) -> Recipe:
    """A recipe from plain nested data; unknown keys and wrong types are refused."""
    built = _build(Recipe, values, where)
    assert isinstance(built, Recipe)
    return built


def _build(kind: Any, values: Any, where: str) -> object:
    require(isinstance(values, dict), f"{where} is not a table of settings", "write key = value pairs")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        close = difflib.get_close_matches(key, fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"
        require(key in fields, f"{where}: unknown key {key!r}", hint)
    return kind(**{key: _value(fields[key].type, value, f"{where}: {key}") for key, value in values.items()})


def _value(annotation: Any, value: Any, where: str) -> object:
    if dataclasses.is_dataclass(annotation):
        return _build(annotation, value, where)
    if get_origin(annotation) is tuple:
        integers = isinstance(value, list | tuple) and all(type(entry) is int for entry in value)
        require(integers, f"{where} = {value!r} is no list of integers", "give a list of integers")
        return tuple(value)
    choices = getattr(annotation, "__args__", None)
    if choices:
        require(value in choices, f"{where} = {value!r}", f"choose one of {', '.join(choices)}")
        return value
    if annotation is float and type(value) is int:
        return float(value)
    require(type(value) is annotation, f"{where} = {value!r} is no {annotation.__name__}", f"give a value of type {annotation.__name__}")
    return value
