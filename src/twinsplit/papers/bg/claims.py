"""The six claims of [BG] (PROTOCOL section 1) on one run: each with its statistics, intervals, replicates and verdict.

Everything is read from stored measurements, which `measure_landmarks` makes. A minimum that training
did not reach leaves an interval open and is never guessed at.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinsplit.measures.statistics import mean_over, paired_difference
from twinsplit.onset.minima import LeftOut, Minima, find_minima
from twinsplit.onset.turning import Bounds, Turn
from twinsplit.papers.bg.verdicts import Claim, Part, Verdict, above, below, comes_before, unjudged, within
from twinsplit.pipeline.landmarks import LOSS, NEAREST, SPLIT, Landmarks, all_minima, landmarks_of
from twinsplit.pipeline.replicates import level_of, splits_of
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

Floats = NDArray[np.float64]
NEGLIGIBLE = 0.1  # of the effect that is claimed: less than a tenth is called none (C4's excess on fresh data, C5's early advantage)


def claims_of(run: Run) -> list[Claim]:
    """C1..C6; InputError where a measurement is missing."""
    minima, marks = all_minima(run), landmarks_of(run)
    return [
        Claim("C1", "the twins agree best before the oracle divergence and the test loss are lowest", tuple(c1(minima, level_of(run)))),
        Claim("C2", "the nearest-neighbour divergence is lowest before the test loss is", (c2(minima),)),
        Claim("C3", "the divergence to the oracle peaks at an intermediate diffusion time (0.15 T in the paper)", (c3(run, marks),)),
        Claim("C4", "between the minima both terms of the training loss fall; on fresh data the excess is 0", tuple(c4(run, marks))),
        Claim(
            "C5",
            "U-turns recover train and test starts alike at first, and train starts better at the test-loss minimum",
            tuple(c5(run, marks)),
        ),
        Claim("C6", "the divergence to BP_k is lowest earlier for larger k", tuple(c6(minima, level_of(run)))),
    ]


def _over(minima: Minima) -> str:
    return f"{minima.units} splits"


def c1(minima: Minima, level: int) -> list[Part]:
    """Factors between the steps of the minima."""
    text = "step of the {} minimum over that of the sample-split divergence"
    return [
        comes_before(text.format(name), minima.gap(SPLIT, key), _over(minima))
        for name, key in (("oracle-divergence", f"BP_{level}"), (LOSS, LOSS))
    ]


def c2(minima: Minima) -> Part:
    """The factor between the steps of the minima."""
    return comes_before(f"step of the {LOSS} minimum over that of the {NEAREST}", minima.gap(NEAREST, LOSS), _over(minima))


def c3(run: Run, marks: Landmarks) -> Part:
    """The peak over t/T, by the same smoothing as the minima along training, of the mean over members.

    Of the divergence itself: near t = 0 both posteriors are certain, and its logarithm there is all noise.
    """
    level = level_of(run)
    times, means = profile(run, marks.loss, level)
    T = run.recipe.diffusion.T
    found = peak_of(times, means, splits_of(run))
    text = f"t/T of the peak of KL(BP_{level}, model) at the test-loss minimum (interval no finer than the times measured)"
    low, high = (None if bound is None else bound / T for bound in found.interval)
    at = None if found.step is None else found.step / T
    return Part(text, at, (low, high), f"{len(np.unique(splits_of(run)))} splits", _inside(found, times, T))


def peak_of(times: Floats, values: Floats, splits: NDArray[np.int64]) -> Turn:
    """Where the mean of values (S, K) at times (S,) is largest; its interval is at least as wide as the times lie apart there.

    What lies between two times was not measured, however well the splits agree.
    """
    minima = find_minima([LeftOut.of_members("profile", times, values, splits, np.negative)])
    turn, at = minima.turn("profile"), float(np.exp(minima.places["profile"].at))
    half = float(np.interp(at, (times[1:] + times[:-1]) / 2, np.diff(times))) / 2
    low, high = turn.interval
    low = None if low is None or min(low, at - half) < times[0] else min(low, at - half)
    high = None if high is None or max(high, at + half) > times[-1] else max(high, at + half)
    return Turn(turn.step, (low, high), turn.reached)


def _inside(peak: Turn, times: Floats, T: int) -> Verdict:
    """Intermediate: not at an end, and in the first half of the times.

    It fails where the whole interval lies in the second half, and where it lies before the second time: there the divergence only falls.
    """
    low, high = peak.interval
    only_falls = not peak.reached and high is not None and high < times[1]
    if only_falls or (low is not None and low >= T / 2):
        return "does not hold"
    return "holds" if peak.reached and low is not None and high is not None and high < T / 2 else "not enough power"


def profile(run: Run, step: int, k: int) -> tuple[Floats, Floats]:
    """Times (S,) and KL(BP_k || member) (S, K) at a checkpoint."""
    table = Table.read(run, "time_profile").where(step=step, truncation=k)
    times = np.unique(table.columns["t"])
    means = np.array([table.where(t=t).means[np.argsort(table.where(t=t).columns["member"])] for t in times])
    return times.astype(np.float64), means


def c4(run: Run, marks: Landmarks) -> list[Part]:
    """Changes of the terms on the networks' own data from the onset to the test-loss minimum, and the excess on fresh data."""
    table = Table.read(run, "loss_decomposition").where(data="train", times="all")
    if marks.onset >= marks.loss:
        return [unjudged("changes from the onset to the test-loss minimum", "the onset is not at an earlier checkpoint")]
    parts = []
    for term in ("oracle", "excess"):
        before, after = (per_split(run, table.where(term=term, step=step)) for step in (marks.onset, marks.loss))
        change = paired_difference(after, before, "splits")
        parts.append(below(f"change of the {term} term on training data from the onset to the test-loss minimum, nats per token", change))
    return [*parts, fresh_part(run, marks, table)]


def fresh_part(run: Run, marks: Landmarks, train: Table) -> Part:
    """The excess on fresh sequences; the networks are fixed and the sequences are the replicates."""
    rows = [row["values"] for row in run.table("fresh_excess").to_pylist() if row["step"] == marks.loss]
    draws = run.recipe.measuring.noise_draws
    per_sequence = np.array(rows).mean(0).reshape(draws, -1).mean(0)
    margin = NEGLIGIBLE * abs(float(train.where(term="excess", step=marks.loss).means.mean()))
    text = f"excess term on fresh data at the test-loss minimum, nats per token (none: within {margin:.3g})"
    return within(text, mean_over(per_sequence, "sequences"), margin)


def per_split(run: Run, table: Table) -> Floats:
    """(S,) means over the members of each split."""
    return np.array([table.where(split=split).means.mean() for split in range(run.recipe.data.splits)])


def c5(run: Run, marks: Landmarks) -> list[Part]:
    """Overlap ratio of train starts less that of test starts, averaged over the U-turn times."""
    if marks.nearest >= marks.loss:
        return [unjudged("growth of the train starts' advantage", "the nearest-neighbour minimum is not at an earlier checkpoint")]
    early, late = (train_advantage(run, step) for step in (marks.nearest, marks.loss))
    margin = NEGLIGIBLE * abs(float(late.mean()))
    text = "train minus test overlap, each relative to the oracle's, at the {} minimum"
    return [
        within(text.format("nearest-neighbour") + f" (alike: within {margin:.2g})", mean_over(early, "splits"), margin),
        above(text.format(LOSS), mean_over(late, "splits")),
        above("growth of that difference between the two minima", paired_difference(late, early, "splits")),
    ]


def train_advantage(run: Run, step: int) -> Floats:
    """(S,) per split of starts: overlap ratio of the networks that were trained on it less that of those on the split before, over times.

    Both meet the same starts and the same oracle, so that only membership differs.
    """
    count, splits = run.recipe.data.splits, splits_of(run)
    train, test = (overlap_ratios(run, step, data).mean(0) for data in ("train", "test"))
    return np.array([train[splits == split].mean() - test[splits == (split - 1) % count].mean() for split in range(count)])


def overlap_ratios(run: Run, step: int, data: str) -> Floats:
    """(times, K) overlap of each member with its starts over the oracle's from the same noised starts."""
    table, exact = Table.read(run, "uturns").where(step=step, data=data), Table.read(run, "uturns_oracle")
    ratios = []
    for t in np.unique(table.columns["t"]):
        here = table.where(t=t)
        order = np.argsort(here.columns["member"])
        same_time = exact.where(t=t)
        oracle = dict(zip(same_time.columns["starts"].tolist(), same_time.means, strict=True))
        ratios.append([here.means[i] / oracle[int(here.columns["starts"][i])] for i in order])
    return np.array(ratios)


def c6(minima: Minima, level: int) -> list[Part]:
    """The slope of the log step of the minimum over k, from the exact one on, and no neighbours in the wrong order."""
    depth = sum(name.startswith("BP_") for name in minima.places)
    names = [f"BP_{k}" for k in range(level, depth)]
    if len(names) < 2:
        return [unjudged("slope of ln(step of the minimum) over k", f"BP_{level} is exact and the coarsest")]
    slope = minima.slope(names, list(range(level, depth)))
    trend = Part("slope of ln(step of the minimum) over k", slope.value, slope.interval, _over(minima), _negative(slope.interval))
    return [trend, *(_not_reversed(minima, k) for k in range(level, depth - 1))]


def _negative(interval: Bounds) -> Verdict:
    low, high = interval
    if high is not None and high < 0:
        return "holds"
    return "does not hold" if low is not None and low >= 0 else "not enough power"


def _not_reversed(minima: Minima, k: int) -> Part:
    """Neighbouring levels may be too close to tell apart; they must not be the wrong way round."""
    found = comes_before(
        f"step of the minimum for k = {k} over that for k = {k + 1} (not surely below 1)",
        minima.gap(f"BP_{k + 1}", f"BP_{k}"),
        _over(minima),
    )
    return replace(found, verdict=_unless_reversed(*found.interval))


def _unless_reversed(low: float | None, high: float | None) -> Verdict:
    if low is None and high is None:
        return "not enough power"  # nothing is known of the order
    return "does not hold" if high is not None and high < 1 else "holds"


def to_json(claims: list[Claim]) -> list[dict[str, Any]]:
    """Plain data: strict JSON."""
    return [
        {"claim": c.name, "text": c.text, "verdict": c.verdict, "parts": [vars(p) | {"interval": list(p.interval)} for p in c.parts]}
        for c in claims
    ]
