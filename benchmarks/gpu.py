"""The full network on an accelerator: K members stepped together, against one eager float32 network, in one call of under 10 minutes.

    python benchmarks/gpu.py [--device cuda] [--members 2 15] [--seconds 40] [--json FILE] [--tiny]

Rows: the card's own bfloat16 ceiling (one large product); the plain eager loop, one network, float32; ours with K members in one shard,
bfloat16, data and noising on the device, fused Adam; the same with forward, loss and backward compiled; and that replayed from CUDA graphs.
Before anything is timed, the members of an ensemble must have the losses that they have alone, and every way of stepping those of the
plain one. The last column is the time of the published n = 5,000 run (200,000 steps) at that rate. `--tiny --device cpu` runs the whole
logic on a small network, compiled by a backend that changes nothing. Not yet run on a GPU: none could be had.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, final

import torch

from rows.case import agree
from rows.plain_network import PlainTransformer
from rows.training import FULL, TINY, flops, network_of, plain_draw, plain_step
from twinsplit.recipes import Recipe
from twinsplit.training.step import Shard, Stepper, advance, allocate
from twinsplit.worlds.sequences.world import HierarchicalWorld

PUBLISHED_STEPS = 200_000
CEILING_SIDE = 8192


@final
@dataclass(frozen=True)
class Result:
    """One way of stepping. seconds: of a step of all members; share: of the ceiling; hours: of the published run at that rate."""

    name: str
    members: int
    seconds: float
    share: float
    hours: float


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(step: Callable[[int], object], device: torch.device, limit: float) -> float:
    """Seconds a call, after five that warm up; calls for `limit` seconds, at least five."""
    for i in range(1, 6):
        step(i)
    wait(device)
    start, done = perf_counter(), 0
    while done < 5 or perf_counter() - start < limit:
        step(6 + done)
        done += 1
        if done % 5 == 0:
            wait(device)
    wait(device)
    return (perf_counter() - start) / done


def ceiling(device: torch.device, side: int) -> float:
    """bfloat16 operations a second of one large product: the best of 20."""
    a = torch.randn(side, side, dtype=torch.bfloat16, device=device)
    best = min(rate(lambda _: a @ a, device, 0.0) for _ in range(4))
    return 2 * side**3 / best


def shard_of(recipe: Recipe, device: torch.device) -> tuple[HierarchicalWorld, Shard]:
    """All members of a recipe in one shard on the device, with their first weights."""
    world = HierarchicalWorld.of(recipe)
    ensemble = world.ensemble()
    tokens = world.split_samples(device)[[member.split for member in ensemble.members]]
    shard = Shard(world.network, world.task(), ensemble.members, tokens, allocate(world.network, len(ensemble.members), device))
    named = {f"{kind}.{name}": value.to(device) for kind in ("weights", "average") for name, value in ensemble.parameters.items()}
    shard.load(named, slice(0, len(shard.members)))
    return world, shard


def alone(whole: Shard, k: int) -> Shard:
    """Member k of an untrained shard in a shard of its own."""
    buffers = allocate(whole.network, 1, whole.samples.device)
    shard = Shard(whole.network, whole.task, whole.members[k : k + 1], whole.samples[k : k + 1], buffers)
    shard.load(
        {name: view for kind in ("weights", "average") for name, view in whole.stack(kind).named(f"{kind}.").items()}, slice(k, k + 1)
    )
    return shard


def check_alone(recipe: Recipe, device: torch.device) -> str:
    """Losses of the first two steps of an ensemble equal those of its members alone, in float32 without dropout."""
    still = replace(recipe, network=replace(recipe.network, dropout=0.0), training=replace(recipe.training, precision="float32", batch=16))
    _, together = shard_of(still, device)
    singles = [alone(together, k) for k in range(len(together.members))]
    losses, *own = (advance(shard, 1, 2)[1] for shard in (together, *singles))
    return agree(losses, torch.cat(own, 1), 1e-4, "members together and alone: losses of 2 steps")


def eager(stepper: Stepper) -> Stepper:
    """As it is."""
    return stepper


def compiled(stepper: Stepper, **options: Any) -> Stepper:
    """The same stepper with the forward pass (and with it the backward) compiled; batches, noise and the optimiser stay as they are."""
    stepper.forward = torch.compile(stepper.forward, dynamic=False, **options)  # type: ignore[method-assign]
    return stepper


def graphed(stepper: Stepper) -> Stepper:
    """Compiled, and replayed from CUDA graphs: no kernel is launched by Python. Each step may overwrite the results of the one before."""
    plain_step = compiled(stepper, mode="reduce-overhead").step

    def step(number: int) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return plain_step(number).clone()

    stepper.step = step  # type: ignore[method-assign,assignment]
    return stepper


def ways(tiny: bool) -> dict[str, Callable[[Stepper], Stepper]]:
    """Name -> what is done to a stepper before it is timed. On the small network nothing is compiled that a compiler is needed for."""
    if tiny:
        return {"ours": eager, "ours, compiled": partial(compiled, backend="eager")}
    return {"ours": eager, "ours, compiled": compiled, "ours, CUDA graphs": graphed}


def check_way(made: Callable[[Stepper], Stepper], recipe: Recipe, device: torch.device) -> str:
    """Losses of three steps, stepped in a way and plainly, in float32 without dropout, agree to 1e-3."""
    still = replace(recipe, network=replace(recipe.network, dropout=0.0), training=replace(recipe.training, precision="float32", batch=16))
    losses = []
    for way in (made, eager):
        stepper = way(Stepper.on(shard_of(still, device)[1], 0))
        losses.append(torch.stack([stepper.step(step) for step in (1, 2, 3)]))
    return agree(losses[0], losses[1], 1e-3, "losses of 3 steps")


def plain(recipe: Recipe, device: torch.device, limit: float) -> float:
    """Seconds a step of one eager float32 network."""
    world = HierarchicalWorld.of(recipe)
    network = PlainTransformer(network_of(world)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.training.learning_rate)
    draw = plain_draw(world.split_samples(torch.device("cpu")), world, recipe.training.batch)
    return rate(lambda _: plain_step(network, optimizer, *(part.to(device) for part in draw(0))), device, limit)


def recipe_for(base: Recipe, members: int) -> Recipe:
    """So many members on splits of their own."""
    return replace(base, data=replace(base.data, splits=members, samples=max(base.data.samples, 2 * members * base.data.split_size)))


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--members", type=int, nargs="+", default=[2, 15])
    parser.add_argument("--seconds", type=float, default=40.0, help="of each row")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tiny", action="store_true", help="a small network: checks the script itself")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    full = replace(FULL, data=replace(FULL.data, split_size=5_000, samples=40_000))
    base = replace(FULL, network=TINY, training=replace(FULL.training, batch=8)) if options.tiny else full
    top = ceiling(device, 256 if options.tiny else CEILING_SIDE)
    print(f"{device}: {top / 1e12:.3g} TFLOP/s in bfloat16; {check_alone(recipe_for(base, 2), device)}", flush=True)
    work = flops(network_of(HierarchicalWorld.of(base)), base.training.batch * HierarchicalWorld.of(base).grammar.length)
    results = [result("plain eager float32", 1, plain(base, device, options.seconds), work, top)]
    show(results[-1])
    for members in options.members:
        for name, made in ways(options.tiny).items():
            check_way(made, recipe_for(base, members), device)
            stepper = made(Stepper.on(shard_of(recipe_for(base, members), device)[1], 0))
            results.append(result(name, members, rate(stepper.step, device, options.seconds), members * work, top))
            show(results[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n", encoding="utf-8")


def result(name: str, members: int, seconds: float, work: float, top: float) -> Result:
    """A row from its rate."""
    return Result(name, members, seconds, work / seconds / top, seconds * PUBLISHED_STEPS / 3600)


def show(row: Result) -> None:
    """As text."""
    speed = f"{1e3 * row.seconds:9.2f} ms a step  {row.share:6.1%} of ceiling"
    print(f"{row.name:<22} K = {row.members:<3} {speed}  {row.hours:7.2f} h for n = 5,000", flush=True)


if __name__ == "__main__":
    main()
