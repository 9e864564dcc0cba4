"""The decision as a record: verdict, reason, and the numbers behind it, to JSON and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from twinsplit.onset.gaps import Gap
from twinsplit.onset.turning import Bounds, Turn

Verdict = Literal["bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power"]


@dataclass(frozen=True)
class Rise:
    """Relative growth D(until) / D(onset) - 1 of the divergence, from the onset to the step `until`.

    `until` is the test-loss minimum, or the last checkpoint where the test loss is still falling. `at_least` is a one-sided bound,
    `interval` two-sided; both hold for every place where the onset may be. `fall_at_least`: the same bound for
    D(first usable step) / D(onset) - 1.
    """

    growth: float
    interval: Bounds
    at_least: float
    until: float
    fall_at_least: float


@dataclass(frozen=True)
class Onset:
    """The decision: verdict, in one sentence why, and the numbers behind it.

    conditional: the intervals hold for exactly these networks, because there are too few to say how others would differ.
    tolerance: the gap, in log steps, below which there is said to be none.
    loss_drop_at_onset: the share of the test loss's drop, from its first to its lowest value, that is covered at the onset; None without
    one.
    """

    verdict: Verdict
    reason: str
    onset: Turn
    test_loss_minimum: Turn
    gap: Gap
    rise: Rise
    conditional: bool
    tolerance: float
    level: float
    draws: int
    members: int
    pairs: int
    sequences: int
    loss_drop_at_onset: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and None: strict JSON. None for what is infinite or unknown.

        Steps are rounded to whole steps, other numbers to 4 significant digits: nobody knows them better.
        """
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "onset_step": _step(self.onset.step),
            "onset_interval": _steps(self.onset.interval),
            "onset_flat_between": None if self.onset.flat is None else _steps(self.onset.flat),
            "test_loss_minimum_step": _step(self.test_loss_minimum.step),
            "test_loss_minimum_interval": _steps(self.test_loss_minimum.interval),
            "test_loss_minimum_flat_between": None if self.test_loss_minimum.flat is None else _steps(self.test_loss_minimum.flat),
            "gap_log": _figures(self.gap.log),
            "gap_log_interval": [_figures(v) for v in self.gap.log_interval],
            "gap_steps": _step(self.gap.steps),
            "gap_steps_interval": _steps(self.gap.steps_interval),
            "rise": _figures(self.rise.growth),
            "rise_interval": [_figures(v) for v in self.rise.interval],
            "rise_at_least": _figures(self.rise.at_least),
            "rise_until_step": _step(self.rise.until),
            "fall_at_least": _figures(self.rise.fall_at_least),
            "conditional_on_these_networks": self.conditional,
            "tolerance_log": _figures(self.tolerance),
            "level": self.level,
            "draws": self.draws,
            "members": self.members,
            "pairs": self.pairs,
            "sequences": self.sequences,
            "loss_drop_at_onset": _figures(self.loss_drop_at_onset),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Onset":
        """Read what `to_json` gave. Raises ValueError naming the first key that is missing, unknown or of the wrong kind."""
        return _read(record)


def _figures(value: float | None) -> float | None:
    """To 4 significant digits; None for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def _step(value: float | None) -> float | None:
    """To a whole step where that is 4 digits or more, to 4 digits below."""
    if value is None or not math.isfinite(value):
        return None
    return float(round(value)) if abs(value) >= 1000 else float(f"{value:.4g}")


def _steps(bounds: Bounds) -> list[float | None]:
    return [_step(value) for value in bounds]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _verdict(value: object) -> Verdict:
    for known in get_args(Verdict):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise TypeError


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _maybe(value: object) -> float | None:
    return None if value is None else _number(value)


def _bounds(value: object) -> Bounds:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise TypeError
    return _maybe(value[0]), _maybe(value[1])


def _flat(value: object) -> Bounds | None:
    return None if value is None else _bounds(value)


KINDS: dict[str, Any] = {
    "verdict": _verdict,
    "reason": _text,
    "onset_step": _maybe,
    "onset_interval": _bounds,
    "onset_flat_between": _flat,
    "test_loss_minimum_step": _maybe,
    "test_loss_minimum_interval": _bounds,
    "test_loss_minimum_flat_between": _flat,
    "gap_log": _maybe,
    "gap_log_interval": _bounds,
    "gap_steps": _maybe,
    "gap_steps_interval": _bounds,
    "rise": _number,
    "rise_interval": _bounds,
    "rise_at_least": _number,
    "rise_until_step": _number,
    "fall_at_least": _number,
    "conditional_on_these_networks": _flag,
    "tolerance_log": _number,
    "level": _number,
    "draws": _whole,
    "members": _whole,
    "pairs": _whole,
    "sequences": _whole,
    "loss_drop_at_onset": _maybe,
}


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    for name in KINDS:
        if name not in record:
            raise ValueError(f"an onset record lacks {name!r}")
    for name in record:
        if name not in KINDS:
            raise ValueError(f"an onset record has no {name!r}")
    found = {}
    for name, kind in KINDS.items():
        try:
            found[name] = kind(record[name])
        except (TypeError, OverflowError):
            raise ValueError(f"{name!r} of an onset record cannot be {record[name]!r}") from None
    return found


def _read(record: Mapping[str, Any]) -> Onset:
    r = _checked(record)

    def turn(name: str) -> Turn:
        step = r[f"{name}_step"]
        return Turn(step, r[f"{name}_interval"], step is not None, r[f"{name}_flat_between"])

    return Onset(
        r["verdict"],
        r["reason"],
        turn("onset"),
        turn("test_loss_minimum"),
        Gap(r["gap_log"], r["gap_log_interval"], r["gap_steps"], r["gap_steps_interval"]),
        Rise(r["rise"], r["rise_interval"], r["rise_at_least"], r["rise_until_step"], r["fall_at_least"]),
        r["conditional_on_these_networks"],
        r["tolerance_log"],
        r["level"],
        r["draws"],
        r["members"],
        r["pairs"],
        r["sequences"],
        r["loss_drop_at_onset"],
    )
