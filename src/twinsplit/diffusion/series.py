"""A checkpoint series: what is judged, whoever trained it.

A run of ours, an imported run, networks kept in memory and a folder of somebody's checkpoints are
series alike. Measures, onset, figures and page take a series and data, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True)
class Member:
    """A network's name: the split it learns, and the seed of its weights, order and noise (its index within the run)."""

    split: int
    seed: int

    def noise(self, root: Noise) -> Noise:
        """Members with one seed would share everything but data; recipes give every member its own, as [BG] does."""
        return root.child(f"training/{self.seed}")


class Series(Protocol):
    """Steps, and at each step K networks, each trained on a split of the data."""

    @property
    def members(self) -> tuple[Member, ...]:
        """The names of the K networks, in the order of `load`."""
        ...

    def steps(self) -> tuple[int, ...]:
        """The optimizer steps at which there are checkpoints, ascending."""
        ...

    def load(self, step: int) -> Sequence[Denoiser[Any]]:
        """The K networks at a step."""
        ...


class Twins(Protocol):
    """The networks of one checkpoint, as measures see them."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Their names."""
        ...

    def member(self, k: int) -> Denoiser[Any]:
        """Network k."""
        ...

    def denoisers(self) -> Sequence[Denoiser[Any]]:
        """All of them, in storage order."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Loaded:
    """One checkpoint of a series."""

    members: tuple[Member, ...]
    networks: tuple[Denoiser[Any], ...]

    def __post_init__(self) -> None:
        if len(self.members) != len(self.networks):
            raise InputError(f"{len(self.networks)} networks for {len(self.members)} members", "give one network for each member")

    @classmethod
    def of(cls, series: Series, step: int) -> "Loaded":
        """Load the networks of a step."""
        return cls(series.members, tuple(series.load(step)))

    def member(self, k: int) -> Denoiser[Any]:
        """Network k."""
        return self.networks[k]

    def denoisers(self) -> Sequence[Denoiser[Any]]:
        """All of them, in storage order."""
        return self.networks


@final
@dataclass(frozen=True, eq=False)
class KeptInMemory:
    """A series of networks that a loop of one's own has kept.

    Args:
        members: the split and seed of each network.
        checkpoints: step -> one denoiser for each member.

    Examples:
        >>> members = (Member(0, 0), Member(1, 1))
        >>> series = KeptInMemory(members, {100: (a, b), 200: (c, d)})  # doctest: +SKIP
    """

    members: tuple[Member, ...]
    checkpoints: Mapping[int, Sequence[Denoiser[Any]]]

    def steps(self) -> tuple[int, ...]:
        """The steps, ascending."""
        return tuple(sorted(self.checkpoints))

    def load(self, step: int) -> Sequence[Denoiser[Any]]:
        """The networks at a step; InputError for a step that was not kept."""
        if step not in self.checkpoints:
            raise InputError(f"step {step} was not kept", f"choose one of {', '.join(map(str, self.steps()))}")
        return self.checkpoints[step]
