"""How cost grows with the size of the training set, the length, the number of networks and of checkpoints: series and fitted exponents."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median

import numpy as np
import torch

from rows.case import Row, Size, timed
from rows.training import SMALL, TINY, Bench
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.tree import TreeOracle
from twinsplit.execution.local import Inline
from twinsplit.measures.neighbours import nearest_hamming
from twinsplit.noise.reference import Noise
from twinsplit.pipeline.stages import begin, measure_stage, train_stage
from twinsplit.recipes import SMOKE, Recipe
from twinsplit.training.step import advance

Work = Callable[[], object]


def neighbours(n: int) -> Work:
    """2,000 queries against n training sequences."""
    grammar = TreeGrammar.published()
    queries, training = grammar.sample(2_000, 0), grammar.sample(n, 1)
    return lambda: nearest_hamming(queries, training)


def posterior(length: int) -> Work:
    """The exact posterior of 1,000 sequences of this length."""
    grammar = TreeGrammar.published(depth=length.bit_length() - 1)
    h = Noise(0, "h").normal(0, torch.arange(1_000), (length, grammar.vocab_size))
    oracle = TreeOracle(grammar, Schedule.diffusion_lm())
    return lambda: oracle.marginals(h)


def members(count: int) -> Work:
    """Two steps of this many small networks, in this process."""
    bench = Bench.of(replace(SMALL, data=replace(SMALL.data, splits=count, split_size=128), network=TINY))
    return lambda: [advance(shard, 1, 2) for shard in bench.shards]


def checkpoints(count: int) -> Work:
    """Measuring a finished smoke run with this many checkpoints."""
    training = replace(SMOKE.training, steps=8 * count, first_checkpoint=8, checkpoints=count)
    return lambda: measured_run(replace(SMOKE, training=training))


def measured_run(recipe: Recipe) -> float:
    """Seconds of the measuring stage alone."""
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        session = begin(Path(folder) / "run", recipe, Inline())
        train_stage(session)
        seconds = timed(lambda: measure_stage(session))
        session.lock.close()
    return seconds


SERIES: dict[str, tuple[Callable[[int], Work], dict[Size, tuple[int, ...]], str]] = {
    "growth_n": (neighbours, {"full": (4_000, 16_000, 64_000, 256_000), "tiny": (100, 200)}, "2,000 queries against n sequences"),
    "growth_L": (posterior, {"full": (4, 8, 16, 32, 64), "tiny": (4, 8)}, "posterior of 1,000 sequences of length L"),
    "growth_K": (members, {"full": (2, 4, 8, 16), "tiny": (2, 3)}, "two steps of K networks on one core"),
    "growth_checkpoints": (checkpoints, {"full": (4, 8, 16, 32), "tiny": (2, 3)}, "measuring C checkpoints of a smoke run"),
}


def seconds(work: Work) -> float:
    """A call that returns seconds tells them itself."""
    caption: list[object] = []
    around = timed(lambda: caption.append(work()))
    return caption[0] if isinstance(caption[0], float) else around


def row(name: str, size: Size, rounds: int) -> Row:
    """ours_s is the time at the largest size; goal and exponent are in words."""
    make, sizes, what = SERIES[name]
    series = []
    for n in sizes[size]:
        work = make(n)
        work()
        series.append((float(n), median(seconds(work) for _ in range(rounds))))
    slope = exponent(series)
    work_done = f"{what}: {', '.join(f'{n:g}: {1e3 * s:.1f} ms' for n, s in series)}; fitted exponent {slope:.2f}"
    return Row(name, series[-1][1], None, None, "exponent <= 1", None, work_done, "not compared", tuple(series))


def exponent(series: Iterable[tuple[float, float]]) -> float:
    """Slope of log seconds against log size."""
    n, s = np.log(np.array(list(series))).T
    return float(np.polyfit(n, s, 1)[0])


def plot(rows: Iterable[Row], path: Path) -> None:
    """All series of the rows against size, on logarithmic axes, relative to their first point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for each in rows:
        if each.series:
            n, s = np.array(each.series).T
            axes.loglog(n / n[0], s / s[0], marker="o", label=f"{each.name.removeprefix('growth_')}: exponent {exponent(each.series):.2f}")
    axes.plot((1, 64), (1, 64), color="grey", linestyle=":", label="linear")
    axes.set(xlabel="size, relative to the smallest", ylabel="seconds, relative to those of the smallest")
    axes.legend()
    figure.savefig(path)


ROWS = {name: partial(row, name) for name in SERIES}
