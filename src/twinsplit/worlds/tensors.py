"""Worlds made from tensors in memory: data of one's own, with a module of one's own or with networks trained elsewhere.

Such a world lives in the program that made it. Its run folder can be opened, measured tables can be
read and reported from anywhere; training and measuring need the world, which `Study` holds.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, final

import numpy as np
import torch
from torch import Tensor

from twinsplit.data.splits.disjoint import content_ids, disjoint_splits
from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Noising
from twinsplit.errors import InputError
from twinsplit.networks.network import Network
from twinsplit.networks.parametrisation import Parametrisation
from twinsplit.noise.reference import Noise
from twinsplit.recipes import RunRecipe, SeriesRecipe, TensorRecipe
from twinsplit.runs.files import fingerprint
from twinsplit.worlds.world import World


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """The data of twins. splits: (S, n, *sample), disjoint; held_out: (m, *sample), which no split holds."""

    splits: Tensor
    held_out: Tensor

    def __post_init__(self) -> None:
        if self.splits.ndim < 2 or self.splits.shape[2:] != self.held_out.shape[1:] or len(self.splits) < 2 or len(self.held_out) < 2:
            raise InputError(
                f"splits {tuple(self.splits.shape)} and held_out {tuple(self.held_out.shape)} do not belong together",
                "give (S, n, ...) of 2 splits or more, and (m, ...) of 2 samples or more",
            )
        if self.splits.is_floating_point() and not (self.splits.isfinite().all() and self.held_out.isfinite().all()):
            raise InputError("the samples hold numbers that are not finite", "remove or replace them")

    @classmethod
    def deal(cls, samples: Tensor, splits: int, seed: int = 0, size: int | None = None, held_out: int | None = None) -> "Samples":
        """Deal samples (N, ...) at random: no content in two splits, nor in a split and in the held-out set.

        size: samples in a split, by default as many as there are; held_out: by default a fifth of N, at most 2,000.
        """
        total = len(samples)
        held_out = min(2_000, max(2, total // 5)) if held_out is None else held_out
        content = content_ids(samples.contiguous().cpu().numpy())
        different = len(np.unique(content))
        size = (different - held_out) // max(splits, 1) if size is None else size
        if splits < 2 or size < 1:
            raise InputError(
                f"{total} samples ({different} of them different) for {splits} splits and {held_out} held out",
                "give more samples, 2 splits or more, or a smaller held_out",
            )
        order = Noise(seed).child("samples").permutation(0, total).numpy()
        dealt = disjoint_splits(content[order][:, None], splits, size, held_out)
        return cls(samples[torch.from_numpy(order[dealt.rows])], samples[torch.from_numpy(order[dealt.held_out])])


@dataclass(frozen=True, eq=False)
class HeldByProgram(World):
    """What both kinds of world share: samples in memory, a process and a parametrisation."""

    recipe: RunRecipe
    samples: Samples
    schedule: Noising
    network: Network
    meaning: Parametrisation
    exact: Denoiser[Any] | None = None

    @classmethod
    def of(cls, recipe: Any) -> NoReturn:
        raise InputError(
            f"the data and the networks of a run of the world {recipe.world!r} live in the program that made it",
            "measure and decide there (twinsplit.measure, twinsplit.decide); tables and page can be read from the folder",
        )

    @property
    def parametrisation(self) -> Parametrisation:
        return self.meaning

    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        return self.samples.splits.to(device)

    def held_out_samples(self) -> Tensor:
        return self.samples.held_out

    def oracle(self) -> Denoiser[Any] | None:
        return self.exact


@final
@dataclass(frozen=True, eq=False)
class TensorWorld(HeldByProgram):
    """Samples and a module of one's own."""

    name: ClassVar[str] = "tensors"
    recipe_type: ClassVar[type[RunRecipe]] = TensorRecipe


@final
@dataclass(frozen=True, eq=False)
class SeriesWorld(HeldByProgram):
    """Samples, and networks that were trained elsewhere."""

    name: ClassVar[str] = "series"
    recipe_type: ClassVar[type[RunRecipe]] = SeriesRecipe


def parameters_sha256(parameters: dict[str, Tensor]) -> str:
    """The SHA-256 of named parameters, in the order of their names."""
    parts = (name.encode() + parameters[name].detach().cpu().contiguous().numpy().tobytes() for name in sorted(parameters))
    return fingerprint(b"".join(parts))
