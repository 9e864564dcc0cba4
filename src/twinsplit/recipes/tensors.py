"""Recipes of runs on tensors in memory: twins of a module of one's own, and networks that were trained elsewhere."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from twinsplit.recipes.parts import Repeating, RunRecipe, Splitting
from twinsplit.recipes.registry import Entry, enter


@final
@dataclass(frozen=True)
class TensorNetwork:
    """The module that `fit` was given, in a line, and the SHA-256 of its parameters."""

    module: str = ""
    sha256: str = ""


@final
@dataclass(frozen=True)
class TensorRecipe(RunRecipe):
    """A run of `fit`: everything but the data and the module, which the program holds."""

    data: Splitting = field(default_factory=Splitting)
    network: TensorNetwork = field(default_factory=TensorNetwork)
    measuring: Repeating = field(default_factory=Repeating)
    world: ClassVar[str] = "tensors"


@final
@dataclass(frozen=True)
class SeriesRecipe(RunRecipe):
    """Results about networks that were trained elsewhere: what is known of them, and how they are measured."""

    data: Splitting = field(default_factory=Splitting)
    measuring: Repeating = field(default_factory=Repeating)
    member_splits: tuple[int, ...] = ()
    member_seeds: tuple[int, ...] = ()
    world: ClassVar[str] = "series"

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.member_splits, self.member_seeds, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Leave out how the networks were trained: nobody said it, and our defaults would be read as theirs."""
        known = super().to_json()
        training = {name: known["training"][name] for name in ("steps", "first_checkpoint", "checkpoint_list")}
        return known | {"training": training, "diffusion": {"T": known["diffusion"]["T"]}}


enter(Entry(TensorRecipe.world, TensorRecipe, {}, "twinsplit.worlds.tensors:TensorWorld", TensorRecipe.world))
enter(Entry(SeriesRecipe.world, SeriesRecipe, {}, "twinsplit.worlds.tensors:SeriesWorld", SeriesRecipe.world))
