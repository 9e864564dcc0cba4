"""Does bfloat16 train like float32? Test-loss curves of both, over seeds, on the laptop recipe's world.

    python benchmarks/precision.py [--seeds 3] [--steps 1200] [--width 128] [--layers 3] [--out runs/precision] [--json FILE]

Every seed trains twins twice: same weights, batches, times and noise, in float32 and under bfloat16 autocast. What rounding does is the
difference of the two at each checkpoint, seed by seed, with its 95% Student interval over seeds; what chance does is the standard
deviation of float32 over seeds. Leaves with 1 where the mean difference is larger than that deviation at any checkpoint of the second
half. Runs that stand are not run again.
"""

import argparse
import json
import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.execution.local import Executor, available_cores, open_executor
from twinsplit.measures.statistics import mean_over
from twinsplit.networks.arithmetic import VARIABLE
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.curves import curves_of
from twinsplit.recipes import PRESETS, Recipe

Floats = NDArray[np.float64]
PRECISIONS = ("float32", "bfloat16")


def recipe_of(options: argparse.Namespace, seed: int, precision: Any) -> Recipe:
    """The laptop recipe with two splits, another network and another precision."""
    base = PRESETS["laptop"]
    heads = base.network.heads
    network = replace(base.network, width=options.width, layers=options.layers, heads=heads, feedforward=4 * options.width)
    training = replace(base.training, steps=options.steps, checkpoints=16, save_every=options.steps, precision=precision)
    return replace(base, seed=seed, data=replace(base.data, splits=2), network=network, training=training)


def losses(recipe: Recipe, out: Path, executor: Executor) -> tuple[Floats, Floats]:
    """(S,) steps and the test loss there, a mean over twins and held-out sequences."""
    session = pipeline.begin(out / f"{recipe.training.precision}_seed_{recipe.seed}", recipe, executor)
    with closing(session.lock):
        pipeline.train_stage(session)
        pipeline.measure_stage(session, ("sample_split_divergence", "test_loss"))
    curves = curves_of(session.run)
    return curves.steps, curves.test_loss.mean((1, 2))


def rows_of(steps: Floats, curves: dict[str, Floats]) -> list[dict[str, float]]:
    """A row per checkpoint; curves: precision -> (seeds, S)."""
    differences = curves["bfloat16"] - curves["float32"]
    rows = []
    for i, step in enumerate(steps):
        difference = mean_over(differences[:, i], "seeds")
        low, high = difference.interval(0.95) or (float("nan"), float("nan"))
        chance = float(curves["float32"][:, i].std(ddof=1))
        rows.append({"step": float(step), "float32": float(curves["float32"][:, i].mean()), "sd_over_seeds": chance})
        rows[-1] |= {"bfloat16_less_float32": difference.value, "low": low, "high": high}
    return rows


def within(rows: list[dict[str, float]]) -> bool:
    """The difference stays below what seeds differ by, in the second half of the checkpoints."""
    return all(abs(row["bfloat16_less_float32"]) <= row["sd_over_seeds"] for row in rows[len(rows) // 2 :])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"seeds": 3, "steps": 1_200, "width": 128, "layers": 3, "workers": available_cores()}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ[VARIABLE] = "yes"  # also on a processor that gains nothing by it, and in the workers
    with open_executor(options.workers) as executor:
        found = {p: [losses(recipe_of(options, seed, p), options.out, executor) for seed in range(options.seeds)] for p in PRECISIONS}
    steps = found["float32"][0][0]
    rows = rows_of(steps, {p: np.array([curve for _, curve in runs]) for p, runs in found.items()})
    print(f"{'step':>8} {'float32':>10} {'sd over seeds':>14} {'bf16 - fp32':>12} {'95% interval over seeds':>26}")
    for row in rows:
        interval = f"{row['low']:+.5f} to {row['high']:+.5f}"
        print(
            f"{row['step']:8,.0f} {row['float32']:10.5f} {row['sd_over_seeds']:14.5f} {row['bfloat16_less_float32']:+12.5f} {interval:>26}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    sys.exit(0 if within(rows) else 1)


if __name__ == "__main__":
    main()
