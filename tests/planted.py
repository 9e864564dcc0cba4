"""A run folder whose stored measurements have planted truths: every claim can be made to hold, to fail, or to lack power."""

from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from twinsplit.recipes import SMOKE, Recipe
from twinsplit.runs.files import write_bytes, write_json
from twinsplit.runs.rows import as_table
from twinsplit.runs.store import Run

SPLITS, LENGTH, T = 6, 4, 50
KEPT = (0.8, 0.7)  # of even and of odd splits, by the oracle
RECIPE = replace(
    SMOKE,
    data=replace(SMOKE.data, splits=SPLITS),
    training=replace(SMOKE.training, steps=5_000, first_checkpoint=20, checkpoints=24),
    measuring=replace(SMOKE.measuring, noise_draws=2),
)
FRESH = 400  # sequences; each is noised twice


@dataclass(frozen=True)
class Truth:
    """Steps at which curves turn for the mean split, and what is measured at the landmarks.

    spread: standard deviation over splits of each log turning step, drawn for every curve by itself. oracle: per k. peak: t/T.
    oracle_term, excess_term: of the training loss, at early checkpoints and at the test-loss minimum; fresh: mean excess on fresh data,
    with the deviation fresh_spread over sequences. advantage: train minus test overlap ratio early and late; jitter: of both kinds over
    splits.
    """

    split: float = 250.0
    nearest: float = 500.0
    loss: float = 1_500.0
    oracle: tuple[float, ...] = (1_000.0, 700.0, 450.0)
    spread: float = 0.03
    peak: float = 0.15
    oracle_term: tuple[float, float] = (0.6, 0.5)
    excess_term: tuple[float, float] = (-0.1, -0.3)
    fresh: float = 0.0
    fresh_spread: float = 0.1
    advantage: tuple[float, float] = (0.001, 0.08)
    jitter: float = 0.002


def planted(path: Path, truth: Truth, recipe: Recipe = RECIPE) -> Run:
    """The run folder; checkpoints are there by name only."""
    run = Run.create(path, recipe)
    steps = recipe.checkpoint_steps()
    for step in steps:
        write_bytes(run.checkpoint(step), b"")
    write_json(path / "checkpoints" / "manifest.json", {run.checkpoint(step).name: "" for step in steps})
    run.write_json("data.json", {"shape": [2_000, LENGTH], "origin": {"grammar_seed": 0, "factorised": recipe.data.factorised}})
    rng = np.random.default_rng(0)
    for measure, table in (_along(truth, rng) | _closer(truth, rng)).items():
        run.write_table(measure, steps[0], pa.concat_tables([as_table(step, table(step)) for step in steps]))  # one file is sooner written
    run.write_table("uturns_oracle", 0, as_table(0, _oracle_uturns()))
    return run


def name(member: int) -> dict[str, int]:
    return {"member": member, "split": member, "seed": member}


def _turns(truth: Truth, middle: float, rng: np.random.Generator) -> np.ndarray:
    """Log turning steps of the splits, whose mean is exactly the middle's."""
    shifts = rng.standard_normal(SPLITS)
    return np.log(middle) + truth.spread * (shifts - shifts.mean())


def _along(truth: Truth, rng: np.random.Generator) -> dict[str, Any]:
    """Measurements at every checkpoint."""
    split, nearest, loss = (_turns(truth, v, rng) for v in (truth.split, truth.nearest, truth.loss))
    oracle = [_turns(truth, v, rng) for v in truth.oracle]
    wobble = rng.standard_normal((6_000, SPLITS))

    def far(turns: np.ndarray, step: int, rate: float) -> np.ndarray:
        return rate * ((np.log(step) - turns) ** 2 + 0.004 * wobble[step])

    def losses(step: int) -> list[dict[str, Any]]:
        return [name(m) | {"values": np.full(3, 1.2 + v)} for m, v in enumerate(far(loss, step, 0.02))]

    def pairs(step: int) -> list[dict[str, Any]]:
        height = np.exp(far(split, step, 0.3))
        return [
            {f"{key}_{side}": m for side, m in (("a", a), ("b", b)) for key in ("member", "split", "seed")}
            | {"values": np.full(3, 0.4 * (height[a] + height[b]) / 2)}
            for a, b in permutations(range(SPLITS), 2)
        ]

    def divergences(step: int) -> list[dict[str, Any]]:
        return [
            name(m) | {"truncation": k, "values": np.full(3, np.exp(far(oracle[k], step, 0.3)[m]))}
            for m in range(SPLITS)
            for k in range(len(oracle))
        ]

    def neighbours(step: int) -> list[dict[str, Any]]:
        """A share of 0.55 + a parabola of samples at distance 0, against one of 0.5: the root of the divergence is that parabola."""
        shares = 0.55 + far(nearest, step, 0.03)
        rows = [
            name(m) | {"source": "generated", "values": (np.arange(1_000) >= 1_000 * share).astype(np.float32)}
            for m, share in enumerate(shares)
        ]
        held_out = (np.arange(1_000) >= 500).astype(np.float32)
        return rows + [{"member": -1, "split": s, "seed": -1, "source": "held_out", "values": held_out} for s in range(SPLITS)]

    return {
        "test_loss": losses,
        "sample_split_divergence": pairs,
        "oracle_divergence": divergences,
        "nearest_neighbours": neighbours,
    }


def _closer(truth: Truth, rng: np.random.Generator) -> dict[str, Any]:
    """Measurements that are read at the landmarks only; `late` from two thirds of the test-loss minimum on."""
    own = rng.standard_normal((4, SPLITS))
    own -= own.mean(1, keepdims=True)
    times = np.arange(1, T + 1, 3)
    peaks = _turns(truth, truth.peak * T, rng)
    sequences = rng.standard_normal(FRESH)
    sequences = truth.fresh + truth.fresh_spread * (sequences - sequences.mean()) / sequences.std(ddof=1)

    def late(step: int) -> int:
        return int(step > truth.loss / 1.5)

    def terms(step: int) -> list[dict[str, Any]]:
        heights = {"oracle": truth.oracle_term, "excess": truth.excess_term}
        return [
            name(m)
            | {"data": "train", "times": "all", "term": term}
            | {"values": np.full(3, both[late(step)] + truth.jitter * (late(step) * own[i, m] + own[3, m]))}
            for m in range(SPLITS)
            for i, (term, both) in enumerate(heights.items())
        ]

    def profile(step: int) -> list[dict[str, Any]]:
        return [
            name(m) | {"t": int(t), "truncation": k, "values": np.array([np.exp(-((np.log(t) - peaks[m]) ** 2))])}
            for m in range(SPLITS)
            for t in times
            for k in range(3)
        ]

    def fresh(step: int) -> list[dict[str, Any]]:
        both = np.concatenate([sequences + 0.05, sequences - 0.05])  # two noised copies of each
        return [name(m) | {"values": both} for m in range(SPLITS)]

    def uturns(step: int) -> list[dict[str, Any]]:
        gain = truth.advantage[late(step)] + truth.jitter * own[2]
        return [
            name(m) | {"data": data, "starts": start, "t": t, "values": np.full(6, (0.9 + (data == "train") * gain[m]) * KEPT[start % 2])}
            for m in range(SPLITS)
            for data, start in (("test", (m + 1) % SPLITS), ("train", m))
            for t in (2, 4)
        ]

    return {"loss_decomposition": terms, "time_profile": profile, "fresh_excess": fresh, "uturns": uturns}


def _oracle_uturns() -> list[dict[str, Any]]:
    """The oracle keeps more of some splits than of others."""
    return [{"starts": split, "t": t, "values": np.full(6, KEPT[split % 2])} for split in range(SPLITS) for t in (2, 4)]
