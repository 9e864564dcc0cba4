"""The scales of published figures: each is made in seconds, on a laptop, or as published."""

from collections.abc import Mapping
from typing import Literal, TypeVar

from twinsplit.errors import InputError

Scale = Literal["smoke", "laptop", "paper"]
T = TypeVar("T")


def at_scale(settings: Mapping[Scale, T], scale: str) -> T:
    """Return the settings of a scale; InputError for a name that is none."""
    for name, value in settings.items():
        if name == scale:
            return value
    raise InputError(f"there is no scale {scale!r}", f"choose one of {', '.join(settings)}")
