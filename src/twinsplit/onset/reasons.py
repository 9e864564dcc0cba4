"""The reason of a verdict in one sentence: what was seen, or the first obstacle and what removes it."""

from dataclasses import dataclass

import numpy as np

from twinsplit.onset.gaps import Gap
from twinsplit.onset.result import Rise, Verdict
from twinsplit.onset.turning import Bounds, Place, Turn

MORE = "train more members on further splits, or measure more checkpoints and sequences"
FIXED = "; intervals hold for exactly these networks, because fewer than three splits cannot show how others would differ"

MEANS = "; intervals count the networks only, because the curves are means over held-out examples"

DROPPED = "; checkpoints after the learning rate drops, at step {:,.0f}, are not used, because the loss turns there for that reason"


@dataclass(frozen=True)
class Found:
    """What the verdict rests on: where the curves are lowest, as places and as steps, and what lies between."""

    onset_place: Place
    minimum_place: Place
    onset: Turn
    minimum: Turn
    gap: Gap
    rise: Rise
    loss_drop: float | None
    unlearned: bool

    @property
    def turns_first(self) -> bool:
        """The whole interval of the gap is above 0."""
        low = self.gap.log_interval[0]
        return self.onset.reached and low is not None and low > 0


def reason(verdict: Verdict, f: Found) -> str:
    """Say why a verdict was given, without a full stop."""
    if verdict == "bias_precedes_test_minimum":
        return _why_bias(f)
    return _why_no_bias(f) if verdict == "no_bias_before_test_minimum" else _why_unknown(f)


def _why_bias(f: Found) -> str:
    end = (
        f"until the test loss is lowest, at {_said(f.minimum)}" if f.minimum.reached else "while the test loss is still falling at the end"
    )
    return (
        f"the networks agree best at {_said(f.onset)}, and then their divergence grows by {f.rise.growth:.0%} "
        f"(at least {f.rise.at_least:.0%}) {end}"
    )


def _why_no_bias(f: Found) -> str:
    if not f.onset.reached:
        return (
            f"the test loss is lowest at {_said(f.minimum)}, and the networks are still coming closer to each other at the last checkpoint"
        )
    factor = np.exp(max(f.gap.log_interval[1] or 0.0, 0.0))
    return (
        f"the networks agree best at {_said(f.onset)} and the test loss is lowest at {_said(f.minimum)}: "
        f"the first does not come before the second by more than a factor of {factor:.2f} in steps"
    )


def _why_unknown(f: Found) -> str:
    """The first thing that stands in the way, and what would remove it."""
    if f.unlearned:
        return (
            f"the divergence is lowest at step {np.exp(f.onset_place.at):,.0f}, with {f.loss_drop:.0%} of the test loss's drop covered, "
            "perhaps the early agreement of networks that have learned nothing: measure earlier checkpoints, or train longer"
        )
    if f.minimum_place.index == 0:
        return "the test loss never falls after the first usable checkpoint, so there is no minimum: measure earlier checkpoints"
    if f.onset_place.index == f.onset_place.start:
        return "the divergence only rises over the usable checkpoints, so it turned before them or never fell: measure earlier checkpoints"
    return _why_uncertain(f) if f.onset.reached else _why_not_reached(f)


def _why_not_reached(f: Found) -> str:
    if f.minimum.reached:
        return "the divergence has no sure minimum before the last checkpoint, and could have one before the test loss: " + MORE
    return "neither the divergence nor the test loss has turned by the last checkpoint: train longer"


def _why_uncertain(f: Found) -> str:
    if f.onset.interval[0] is None and f.rise.fall_at_least <= 0:
        return "the divergence may have turned before the first usable checkpoint: measure earlier checkpoints"
    if not f.turns_first:
        return f"the steps of the divergence's minimum and of the test loss's are too uncertain to say which comes first: {MORE}"
    if f.rise.at_least <= 0:
        return f"the divergence rises by {f.rise.growth:.0%} after {_said(f.onset)}, which is within its noise: {MORE}"
    return f"the fall of the divergence before {_said(f.onset)} is within its noise: {MORE}"


def _said(turn: Turn) -> str:
    """A step with its interval, and where the curve is flat."""
    said = f"step {turn.step:,.0f} (interval {_between(turn.interval)})"
    return said if turn.flat is None else f"{said}, flat within its noise {_between(turn.flat)}"


def _between(bounds: Bounds) -> str:
    low, high = bounds
    first = f"from {low:,.0f}" if low is not None else "from before the usable checkpoints"
    last = f"to {high:,.0f}" if high is not None else "to beyond the last checkpoint"
    return f"{first} {last}"
