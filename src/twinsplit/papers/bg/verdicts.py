"""What a statistic says of a claim: it holds, it does not hold, or there is not enough power to tell."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, isfinite
from typing import Literal, final

import numpy as np

from twinsplit.measures.statistics import Mean
from twinsplit.onset.gaps import Gap
from twinsplit.onset.turning import Bounds

Verdict = Literal["holds", "does not hold", "not enough power"]
NO_GAP = float(np.log(1.5))  # a lead of less than this factor in steps is none that anyone could act on (as in `find_onset`)


@final
@dataclass(frozen=True)
class Part:
    """One statistic of a claim: value and interval (None where it is open or unknown), over what, and what it says."""

    statistic: str
    value: float | None
    interval: Bounds
    over: str
    verdict: Verdict


@final
@dataclass(frozen=True)
class Claim:
    """A statement and the statistics it rests on; it holds when all of them say so, and fails when one of them does."""

    name: str
    text: str
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> Verdict:
        """Of all parts together."""
        return together(part.verdict for part in self.parts)


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """`does not hold` where one does not, `holds` where all hold, else `not enough power`."""
    found = set(verdicts)
    if "does not hold" in found:
        return "does not hold"
    return "holds" if found == {"holds"} else "not enough power"


def unjudged(statistic: str, why: str) -> Part:
    """A statistic that cannot be formed on this run."""
    return Part(statistic, None, (None, None), why, "not enough power")


def comes_before(statistic: str, gap: Gap, over: str) -> Part:
    """A first minimum before a second: the whole interval of the factor between their steps lies above 1.

    It fails where the interval is not above 1 and ends at 1.5 or below: the second is surely no later than anyone could act on. A surely
    early minimum holds however small its lead, since the claim is of the order.
    """
    low, high = gap.log_interval
    verdict: Verdict = "not enough power"
    if low is not None and low > 0:
        verdict = "holds"
    elif high is not None and high <= NO_GAP:
        verdict = "does not hold"
    factor = tuple(None if bound is None else exp(bound) for bound in gap.log_interval)
    return Part(statistic, None if gap.log is None else exp(gap.log), (factor[0], factor[1]), over, verdict)


def below(statistic: str, mean: Mean, bound: float = 0.0) -> Part:
    """The mean lies below `bound`."""
    interval = mean.interval()
    verdict: Verdict = "not enough power"
    if interval is not None and interval[1] < bound:
        verdict = "holds"
    elif interval is not None and interval[0] >= bound:
        verdict = "does not hold"
    return _part(statistic, mean, verdict)


def above(statistic: str, mean: Mean, bound: float = 0.0) -> Part:
    """The mean lies above `bound`."""
    interval = mean.interval()
    verdict: Verdict = "not enough power"
    if interval is not None and interval[0] > bound:
        verdict = "holds"
    elif interval is not None and interval[1] <= bound:
        verdict = "does not hold"
    return _part(statistic, mean, verdict)


def within(statistic: str, mean: Mean, margin: float) -> Part:
    """Equivalence: the whole interval lies within +-margin; it fails when the whole interval lies outside."""
    interval = mean.interval()
    verdict: Verdict = "not enough power"
    if interval is not None and isfinite(margin):
        if -margin <= interval[0] and interval[1] <= margin:
            verdict = "holds"
        elif interval[0] > margin or interval[1] < -margin:
            verdict = "does not hold"
    return _part(statistic, mean, verdict)


def _part(statistic: str, mean: Mean, verdict: Verdict) -> Part:
    interval = mean.interval()
    return Part(statistic, mean.value, (None, None) if interval is None else interval, f"{mean.count} {mean.over}", verdict)
