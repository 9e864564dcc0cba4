"""Controlled splits: two groups of images that differ in an attribute, share no identity, are the
ends of one list, or differ in nothing but chance ([RP], [GAHB])."""

import difflib
import re
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = NDArray[np.int64]
Groups: TypeAlias = tuple[Rows, Rows]

TERM = re.compile(r"\s*(!?)\s*(\w+)\s*", re.ASCII)
NO_ATTRIBUTES = ("identity", "partition")


@dataclass(frozen=True)
class Controlled(ABC):
    """A rule that splits images into two groups. A twin that takes n images is trained on the first
    n rows of its group."""

    kind: ClassVar[str]
    labelled: ClassVar[bool] = True

    @abstractmethod
    def groups(self, kept: Rows, labels: "pd.DataFrame | None") -> Groups:
        """The rows of both groups, out of `kept` (ascending); labels: one line per image of the
        data, where `labelled`."""

    @abstractmethod
    def title(self) -> str:
        """The title of the split in figures."""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind} | {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@final
@dataclass(frozen=True)
class ByAttribute(Controlled):
    """The images that `expression` is true of, and the others; the larger side drawn down to the
    smaller, both in an order drawn by `seed`.

    expression: CelebA's attributes joined by &, each perhaps after !, such as "Eyeglasses & !Male".
    """

    expression: str
    seed: int = 0
    kind = "attribute"

    def groups(self, kept: Rows, labels: "pd.DataFrame | None") -> Groups:
        assert labels is not None
        true = truth(self.expression, labels)[kept]
        sides = kept[true], kept[~true]
        size = min(map(len, sides))
        if size == 0:
            says = "no image" if not true.any() else "every image"
            raise InputError(f"{self.expression!r} is true of {says}", "choose an attribute that some images have and others lack")
        first, second = (_drawn(rows, self.seed, f"attribute/{side}")[:size] for rows, side in zip(sides, ("true", "false"), strict=True))
        return first, second

    def title(self) -> str:
        return f"{self.expression}, and the others"


@final
@dataclass(frozen=True)
class ByIdentity(Controlled):
    """Every identity in one group only: the identities with most images first, each to the smaller
    group (then the first one).

    Identities of equal size come in an order drawn by `seed`, so that seeds give different splits;
    so are the images within a group. The groups differ by no more than the images of one identity.
    """

    seed: int = 0
    kind = "identity"

    def groups(self, kept: Rows, labels: "pd.DataFrame | None") -> Groups:
        assert labels is not None
        if "identity" not in labels:
            raise InputError("the labels have no identity", "prepare a data set with identities, such as CelebA's layout")
        side = identity_sides(labels["identity"].to_numpy()[kept], self.seed)
        first, second = (_drawn(kept[side == which], self.seed, f"identity/{which}") for which in (0, 1))
        if len(second) == 0:
            raise InputError("all images are of one identity, or there are none", "use data with several")
        return first, second

    def title(self) -> str:
        return "no identity in both groups"


@final
@dataclass(frozen=True)
class Ladder(Controlled):
    """The first N and the last N images, for each N of `sizes` (ascending): nested in each other,
    and disjoint up to the largest.

    The second group begins with the last image, so that the first n rows of each group are the n at
    that end of the list.
    """

    sizes: tuple[int, ...]
    kind = "ladder"
    labelled = False

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise InputError(f"a ladder of {', '.join(map(str, self.sizes)) or 'no sizes'}", "give sizes from 1 in ascending order")

    def groups(self, kept: Rows, labels: "pd.DataFrame | None") -> Groups:
        last = self.sizes[-1]
        if 2 * last > len(kept):
            raise InputError(f"twice {last} images, and {len(kept)} are there without duplicates", "use smaller sizes, or more data")
        return kept[:last], kept[::-1][:last]

    def title(self) -> str:
        return f"first and last {', '.join(map(str, self.sizes))}"


@final
@dataclass(frozen=True)
class AtRandom(Controlled):
    """Two halves of all images, in an order drawn by `seed`: what the other splits are compared
    with. Of an odd number one is left over."""

    seed: int = 0
    kind = "random"
    labelled = False

    def groups(self, kept: Rows, labels: "pd.DataFrame | None") -> Groups:
        drawn, half = _drawn(kept, self.seed, "random"), len(kept) // 2
        if half == 0:
            raise InputError(f"{len(kept)} images are no two groups", "use more data")
        return drawn[:half], drawn[half : 2 * half]

    def title(self) -> str:
        return "at random"


KINDS: dict[str, type[Controlled]] = {made.kind: made for made in (ByAttribute, ByIdentity, Ladder, AtRandom)}


def truth(expression: str, labels: "pd.DataFrame") -> NDArray[np.bool_]:
    """(n,): where the conjunction is true. Raises InputError where it is no conjunction of
    attributes of these labels."""
    known = [str(name) for name in labels if name not in NO_ATTRIBUTES and set(labels[name].unique()) <= {-1, 1}]
    found = np.ones(len(labels), dtype=bool)
    for part in expression.split("&"):
        term = TERM.fullmatch(part)
        if term is None:
            raise InputError(f"{part.strip()!r} in {expression!r} is no attribute", 'write one, or several like "Eyeglasses & !Male"')
        negated, name = term.groups()
        found &= labels[_known(name, known)].to_numpy() == (-1 if negated else 1)
    return found


def _known(name: str, known: list[str]) -> str:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the labels have {', '.join(known) or 'none'}"
        raise InputError(f"no attribute named {name}", hint)
    return name


def identity_sides(identities: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int8]:
    """(n,) 0 or 1: the group of each image, by its identity alone."""
    _, which, counts = np.unique(identities, return_inverse=True, return_counts=True)
    tie = _drawn(np.arange(len(counts)), seed, "identity/order")
    side = np.zeros(len(counts), dtype=np.int8)
    total = [0, 0]
    for number in tie[np.argsort(-counts[tie], kind="stable")]:
        side[number] = total[1] < total[0]
        total[side[number]] += counts[number]
    return side[which]


def _drawn(rows: Rows, seed: int, stream: str) -> Rows:
    """The rows in an order drawn by the seed."""
    from twinsplit.noise.reference import Noise

    order: Rows = rows[Noise(seed, "controlled").child(stream).permutation(0, len(rows)).numpy()]
    return order
