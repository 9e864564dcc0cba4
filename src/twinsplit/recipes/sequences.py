"""Recipes of the hierarchical world, and their presets."""

from dataclasses import dataclass, field
from typing import ClassVar, final

from twinsplit.errors import require_sizes
from twinsplit.recipes.parts import DEFAULT_WORLD, Diffusion, RunRecipe, Training, require
from twinsplit.recipes.registry import Entry, enter

SIZES = ("noise_draws", "generated", "sampling_steps", "uturn_starts", "uturn_repetitions", "profile_times", "profile_sequences")


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
        require_sizes("data", split_size=self.split_size, held_out=self.held_out, samples=self.samples, depth=self.depth)
        numbers = self.published_splits
        distinct = len(set(numbers)) == self.splits and min(numbers, default=0) >= 0
        require(not numbers or distinct, f"data.published_splits = {list(numbers)}", f"name {self.splits} different splits from 0 on")
        require(0 <= self.factorised <= self.depth, f"data.factorised = {self.factorised}", f"choose 0 to the depth, {self.depth}")


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
        require_sizes("measuring", **{name: getattr(self, name) for name in SIZES})


@final
@dataclass(frozen=True)
class Recipe(RunRecipe):
    """A whole run in the hierarchical world."""

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    measuring: Measuring = field(default_factory=Measuring)
    world: ClassVar[str] = DEFAULT_WORLD
    samples_called: ClassVar[str] = "sequences"

    def __post_init__(self) -> None:
        super().__post_init__()
        preserving = not self.diffusion.schedule.endswith("_sigma")
        require(preserving, f"diffusion.schedule = {self.diffusion.schedule!r} with sequences", 'choose "diffusion_lm" or "one_minus_sqrt"')
        require(self.training.loss != "noise", 'training.loss = "noise" with sequences', 'choose "cross_entropy" or "squared_error"')

    @property
    def decomposed_time(self) -> int:
        """The fixed time of the terms of the loss, in 1..T: the one that is learned, or else the recipe's fraction of T."""
        return self.only_time or max(1, round(self.measuring.decomposition_fraction * self.diffusion.T))


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

PRESETS: dict[str, Recipe] = {"smoke": SMOKE, "laptop": QUICKSTART, "paper": Recipe()}
enter(Entry(Recipe.world, Recipe, PRESETS, "twinsplit.worlds.sequences.world:HierarchicalWorld", "hierarchical"))
