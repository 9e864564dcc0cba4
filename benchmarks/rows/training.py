"""One step of K = 2 twins, the full and a small network, against two eager float32 networks one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import final

import torch
from torch import Tensor

from rows.case import Case, Precision, Row, Size, agree, compare, products
from rows.plain_network import PlainTransformer
from twinsplit.execution.local import Executor, available_cores, open_executor
from twinsplit.networks.transformer import Transformer
from twinsplit.recipes import Data, Network, Recipe, Training
from twinsplit.training.loop import deal
from twinsplit.training.step import Shard, Stepper, advance
from twinsplit.worlds.sequences.world import HierarchicalWorld

FULL = Recipe(data=Data(samples=20_000, split_size=2_000, held_out=100))
SMALL = replace(
    FULL,
    data=replace(FULL.data, depth=3, split_size=1_000),
    network=Network(width=64, layers=3, heads=4, feedforward=128, dropout=0.0),
    training=Training(steps=3_600, batch=128, schedule="constant", precision="float32", checkpoints=2, first_checkpoint=1),
)
CHECKED = 16  # batch of the comparison of results, small because the eager float32 step is slow
TINY = Network(width=16, layers=1, heads=2, feedforward=32, dropout=0.0)
SIZES = {
    "full": {"train_full": (FULL, 2, 1, 4.0), "train_small": (SMALL, 200, 40, 4.0)},
    "tiny": {
        "train_full": (replace(FULL, network=TINY, training=replace(FULL.training, batch=8)), 2, 1, 4.0),
        "train_small": (replace(SMALL, network=TINY, training=replace(SMALL.training, batch=8)), 2, 1, 4.0),
    },
}  # recipe, steps of ours, steps of the reference, goal


@final
@dataclass(frozen=True, eq=False)
class Bench:
    """A recipe made ready: untrained twins, their splits."""

    world: HierarchicalWorld
    shards: list[Shard]

    @classmethod
    def of(cls, recipe: Recipe) -> "Bench":
        """Shards with their first weights."""
        world = HierarchicalWorld.of(recipe)
        ensemble = world.ensemble()
        shards = deal(ensemble, world.split_samples(torch.device("cpu")), world.task())
        for k, shard in enumerate(shards):
            named = {f"{kind}.{name}": value for kind in ("weights", "average") for name, value in ensemble.parameters.items()}
            shard.load(named, slice(k, k + 1))
        return cls(world, shards)

    def plain(self) -> list[tuple[PlainTransformer, torch.optim.Adam]]:
        """The reference's two networks with the same weights."""
        networks = [PlainTransformer(network_of(self.world)).load(shard.stack("weights").views, 0) for shard in self.shards]
        return [(network, torch.optim.Adam(network.parameters(), lr=self.world.recipe.training.learning_rate)) for network in networks]

    def batches(self, step: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Each twin's (tokens, x_t, t) of a step."""
        drawn = (Stepper.on(shard, step - 1)._batch(step) for shard in self.shards)
        return [(tokens[0], x_t[0], t[0]) for tokens, x_t, t in drawn]


def network_of(world: HierarchicalWorld) -> Transformer:
    """The transformer of a world."""
    assert isinstance(world.network, Transformer)
    return world.network


def plain_step(network: PlainTransformer, optimizer: torch.optim.Adam, tokens: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """One eager step; the loss."""
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(network(x, t).flatten(0, 1), tokens.flatten())
    loss.backward()
    optimizer.step()
    return loss.detach()


def plain_draw(splits: Tensor, world: HierarchicalWorld, batch: int) -> Callable[[int], tuple[Tensor, Tensor, Tensor]]:
    """How the reference draws a batch of one twin."""
    signal, sigma = (scale.float() for scale in world.schedule.scales(torch.arange(world.schedule.T + 1)))

    def draw(twin: int) -> tuple[Tensor, Tensor, Tensor]:
        tokens, t = splits[twin][torch.randint(splits.shape[1], (batch,))], torch.randint(1, world.schedule.T + 1, (batch,))
        x_0 = torch.nn.functional.one_hot(tokens, world.grammar.vocab_size).float()
        return tokens, signal[t][:, None, None] * x_0 + sigma[t][:, None, None] * torch.randn_like(x_0), t

    return draw


def plain_steps(bench: Bench, twins: list[tuple[PlainTransformer, torch.optim.Adam]], steps: int) -> None:
    """Steps of both networks, one network after the other."""
    draw = plain_draw(bench.world.split_samples(torch.device("cpu")), bench.world, bench.world.recipe.training.batch)
    for _ in range(steps):
        for twin, (network, optimizer) in enumerate(twins):
            plain_step(network, optimizer, *draw(twin))


def check(recipe: Recipe, tolerance: float) -> str:
    """Losses of two steps without dropout, from the same weights, on the same batches; in float32 and in the recipe's precision."""
    still = replace(recipe, network=replace(recipe.network, dropout=0.0), training=replace(recipe.training, batch=CHECKED))
    caption = [check_losses(replace(still, training=replace(still.training, precision="float32")), 1e-4)]
    if recipe.training.precision != "float32":
        caption.append(check_losses(still, tolerance))
    return "; ".join(caption)


def check_losses(recipe: Recipe, tolerance: float) -> str:
    """The second loss shows that the first step's gradients were the same, too."""
    bench = Bench.of(recipe)
    batches = [bench.batches(step) for step in (1, 2)]
    twins = bench.plain()
    reference = torch.stack([plain_step(*twin, *step[k]) for step in batches for k, twin in enumerate(twins)])
    ours = torch.cat([advance(shard, 1, 2)[1] for shard in bench.shards], 1).flatten()
    return agree(ours, reference, tolerance, f"{recipe.training.precision} losses of 2 steps")


def flops(network: Transformer, tokens: int) -> float:
    """Multiply-adds, times two, of a forward and backward pass: 6 per weight and token, and the attention's products."""
    weights = sum(prod(shape) for name, shape in network.shapes().items() if name.endswith("weight") and "norm" not in name)
    return tokens * (6 * weights + 12 * network.layers * network.length * network.width)


def our_steps(bench: Bench, workers: Executor, steps: int) -> None:
    """Steps of both twins, each in a process of its own; they go over the same step numbers every time."""
    list(workers.map(partial(advance, first=1, last=steps), bench.shards))


def row(name: str, size: Size, rounds: int) -> Row:
    """One network."""
    recipe, ours_steps, reference_steps, goal = SIZES[size][name]
    bench = Bench.of(recipe)
    precision: Precision = products() if recipe.training.precision == "bfloat16" else "float32"
    network, batch = network_of(bench.world), recipe.training.batch
    reference = bench.plain()
    with open_executor(min(2, available_cores())) as workers:
        return compare(
            Case(
                name,
                goal,
                f"one step of two twins, {network.layers} layers, width {network.width}, batch {batch}, {network.length} tokens",
                lambda: our_steps(bench, workers, ours_steps),
                lambda: plain_steps(bench, reference, reference_steps),
                lambda: check(recipe, 0.02),
                1,
                ours_steps,
                reference_steps,
                2 * flops(network, batch * network.length),
                precision,
            ),
            rounds,
        )


ROWS = {name: partial(row, name) for name in SIZES["full"]}
