"""What a row of the benchmark is, and how two ways of doing one thing are timed against each other."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Literal, final

import torch

from twinsplit.networks.arithmetic import fast_bfloat16

Size = Literal["full", "tiny"]
Precision = Literal["float32", "bfloat16"]


@final
@dataclass(frozen=True, eq=False)
class Case:
    """One kind of work, done our way and the plain way.

    total: units of work the row's times are for; ours_done, reference_done: units that one call does (the rest is by proportion, and
    `work` says so). check: raises unless both give the same, returns in what sense. flops: of the total, where it is matrix work.
    """

    name: str
    goal: float
    work: str
    ours: Callable[[], object]
    reference: Callable[[], object]
    check: Callable[[], str]
    total: float = 1.0
    ours_done: float = 1.0
    reference_done: float = 1.0
    flops: float = 0.0
    precision: Precision = "float32"


@final
@dataclass(frozen=True)
class Row:
    """A line of the table. Seconds for the whole work; goal in words; None where there is nothing to compare with."""

    name: str
    ours_s: float
    reference_s: float | None
    ratio: float | None
    goal: str
    share_of_ceiling: float | None
    work: str
    equal: str
    series: tuple[tuple[float, float], ...] = ()  # (size, seconds) of the rows on growth


def products() -> Precision:
    """What a recipe's bfloat16 products are made of on this processor, and so the ceiling that they have."""
    return "bfloat16" if fast_bfloat16() else "float32"


SETTLE_S = 0.01  # torch's threads wait in a loop for some milliseconds after a call, on the cores of whatever is timed next


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    sleep(SETTLE_S)
    start = perf_counter()
    work()
    return perf_counter() - start


def compare(case: Case, rounds: int) -> Row:
    """Check once (which also warms both up), then alternate; medians. The ceiling is the best found right before and right after: a machine
    that is shared is not the same all the time.
    """
    equal = case.check()
    case.ours()
    before = ceiling(case.precision) if case.flops else 0.0
    times = [(timed(case.reference), timed(case.ours)) for _ in range(rounds)]
    slow, fast = (median(column) for column in zip(*times, strict=True))
    reference, ours = slow * case.total / case.reference_done, fast * case.total / case.ours_done
    share = case.flops / ours / max(before, ceiling(case.precision)) if case.flops else None
    return Row(case.name, ours, reference, reference / ours, f"{case.goal:g}x", share, case.work, equal)


def ceiling(precision: Precision) -> float:
    """Floating-point operations per second of one large matrix product on all of torch's threads: the best of 7."""
    side = 2048
    a = torch.randn(side, side, dtype=getattr(torch, precision))
    return 2 * side**3 / min(timed(lambda: a @ a) for _ in range(7))


def agree(ours: torch.Tensor, reference: torch.Tensor, tolerance: float, what: str) -> str:
    """In words, by how much at most they differ; AssertionError beyond the tolerance."""
    difference = float((ours.double() - reference.double()).abs().max())
    assert difference <= tolerance, f"{what} differ by {difference:.1e}, more than {tolerance:.0e}"
    return f"{what} within {difference:.0e}"
