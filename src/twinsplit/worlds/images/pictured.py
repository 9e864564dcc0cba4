"""What every world of images has: pictures, splits with their normalisations, schedule and U-Net."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.data import filters
from twinsplit.data.images.builtin import digits_and_labels
from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.images.frame import Bytes
from twinsplit.data.normalisation import Normalisation
from twinsplit.data.splits.disjoint import Splits, content_ids, disjoint_splits
from twinsplit.data.splits.manifests import cut, load_split
from twinsplit.diffusion.schedule import Noising
from twinsplit.errors import InputError
from twinsplit.networks.blind_unet import BlindUNet
from twinsplit.networks.parametrisation import Continuous, NoisePrediction, Residual
from twinsplit.networks.unet import UNet
from twinsplit.noise.reference import Noise
from twinsplit.recipes import BlindSizes, ImageRecipe, Images, UNetSizes
from twinsplit.runs.files import fingerprint
from twinsplit.worlds.world import World

PARAMETRISATIONS: dict[str, Callable[[Any], Continuous]] = {"unet": NoisePrediction, "blind": Residual}
"""By the kind of network in a recipe, which names a process that fits (`ImageRecipe`)."""


@final
@dataclass(frozen=True, eq=False)
class ImageSet:
    """All images there are. pixels: (N, C, H, W) uint8, perhaps a memory map; level `white` is 1.0. folder: of prepared images."""

    pixels: Bytes
    white: int
    about: dict[str, Any]
    folder: ImageData | None = None

    @classmethod
    def of(cls, data: Images) -> "ImageSet":
        """The prepared folder, or the built-in digits."""
        if data.path:
            found = load_images(Path(data.path))
            return cls(found.pixels, int(found.description["white"]), found.description, found)
        pixels, _ = digits_and_labels()
        about = {"kind": "images", "source": {"kind": "digits", "order": "rows of sklearn.datasets.load_digits"}}
        return cls(pixels, 16, about | {"shape": list(pixels.shape), "sha256": fingerprint(pixels.tobytes())})

    def pictures(self, rows: NDArray[np.int64]) -> Tensor:
        """(m, C, H, W) float32 in [0, 1]."""
        return torch.from_numpy(np.ascontiguousarray(self.pixels[rows])).float() / self.white


@dataclass(frozen=True, eq=False)
class PicturedWorld(World):
    """Everything a run on images learns from; `ImageWorld` says what is measured."""

    recipe: ImageRecipe
    image_set: ImageSet
    splits: Splits
    schedule: Noising
    network: UNet | BlindUNet

    @property
    def parametrisation(self) -> Continuous:
        return PARAMETRISATIONS[self.recipe.network.kind](self.schedule)

    @cached_property
    def pictures(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """Training images of each split (n, C, H, W), and the held-out ones (m, C, H, W), in [0, 1] before any filter; filtered."""
        *training, held_out = (self.image_set.pictures(rows) for rows in (*self.splits.rows, self.splits.held_out))
        filtered = _filter_of(self.recipe.data, torch.cat(training))
        return tuple(map(filtered, training)), filtered(held_out)

    @cached_property
    def normalisations(self) -> tuple[Normalisation, ...]:
        """Of each split, by its own images alone."""
        data = self.recipe.data
        return tuple(Normalisation.fit(images, data.normalisation, data.scale) for images in self.pictures[0])

    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        """(splits, n, C, H, W) float32, normalised."""
        return torch.stack([own.apply(images) for own, images in zip(self.normalisations, self.pictures[0], strict=True)]).to(device)

    def held_out_samples(self) -> Tensor:
        """(m, C, H, W) in [0, 1], as they are before any split's normalisation."""
        return self.pictures[1]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.image_set.pixels.shape[1:])

    def describe(self) -> dict[str, Any]:
        rows = {"splits": self.splits.rows.tolist(), "held_out": self.splits.held_out.tolist()}
        own = [normalisation.to_json() for normalisation in self.normalisations]
        return self.image_set.about | {"rows": rows, "rows_sha256": fingerprint(repr(rows).encode()), "normalisations": own}


def _filter_of(data: Images, fit_on: Tensor) -> Callable[[Tensor], Tensor]:
    """What makes the copies that are learned from and measured on, fitted once: coarse to fine ([BG] fig. 7)."""
    if data.filter == "pca":
        return filters.Principal.fit(fit_on, data.components).apply
    if data.filter == "haar":
        coarse, medium, fine = data.gains
        return partial(filters.haar, gains=(coarse, medium, fine))
    return _as_they_are


def _as_they_are(images: Tensor) -> Tensor:
    return images


def network_of(sizes: UNetSizes | BlindSizes, shape: tuple[int, ...]) -> UNet | BlindUNet:
    """The U-Net for images of one shape (C, H, W)."""
    channels, height, width = shape
    if height != width:
        raise InputError(f"images of {height} x {width} pixels", "prepare square ones with `twinsplit data ... --size`")
    if isinstance(sizes, BlindSizes):
        return BlindUNet(channels, height, sizes.width, sizes.blocks)
    return UNet(channels, height, sizes.channels, sizes.layers_per_block, sizes.attention, sizes.norm_groups, sizes.dropout)


def image_splits_of(image_set: ImageSet, recipe: ImageRecipe) -> Splits:
    """Those of a manifest (`twinsplit data split`), whose data the recipe must name, or else by the order of the images."""
    data = recipe.data
    if not data.manifest:
        return image_splits(image_set.pixels, data, Noise(recipe.seed))
    if image_set.folder is None:
        raise InputError("data.manifest without data.path", "name the folder that the manifest splits, in the recipe or with --data")
    return cut(load_split(Path(data.manifest), image_set.folder), image_set.pixels, data.split_size, data.held_out)


def image_splits(pixels: Bytes, data: Images, root: Noise) -> Splits:
    """Splits from the front of the order, the held-out images from its end, all disjoint by content."""
    total = len(pixels)
    order = root.child("images").permutation(0, total).numpy() if data.order == "shuffled" else np.arange(total)
    content = content_ids(pixels)[order]
    found = disjoint_splits(content[:, None], data.splits, data.stride or data.split_size, 0)
    free = np.flatnonzero(~np.isin(content, content[found.rows]))
    if data.held_out > len(free):
        raise InputError(
            f"data.held_out = {data.held_out}, {len(free)} of {total} images are left", "use smaller or fewer splits, or more data"
        )
    return Splits(order[found.rows[:, : data.split_size]], order[free[-data.held_out :]])
