"""A ladder of split sizes ([GAHB], [RP]): its settings, the same exposure on every rung, and its published layout on disk.

Of the published layout, near-duplicates are taken out, the last images are held out, and the first
and the last N of what is left are the two groups (PROTOCOL section 4). One manifest serves all rungs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.splits.controlled import Controlled
from twinsplit.data.splits.controlled import Ladder as Ends
from twinsplit.data.splits.duplicate_lists import DuplicateList, find_duplicates, read_duplicates, write_duplicates
from twinsplit.data.splits.duplicates import THRESHOLD
from twinsplit.data.splits.manifests import make_split, write_split
from twinsplit.errors import InputError
from twinsplit.papers.figure import NEEDS_CELEBA
from twinsplit.papers.scales import Scale
from twinsplit.recipes import BlindSizes, Diffusion, ImageMeasuring, ImageRecipe, Images, Training

FEWEST_SPLITS = 2  # two networks show no spread, but twins
HERE = Path()
NESTED = "Splits of all sizes are nested and seen equally often; held-out images share no content with any."
PUBLISHED = (
    "Group A is the first N images and group B the last N, less near-duplicates and less the held-out ones, which are the very last."
)


@final
@dataclass(frozen=True)
class Manifests:
    """out: the folder of figures; folder: the prepared data; threshold: correlation above which a later image is a duplicate."""

    out: Path
    folder: Path
    threshold: float

    @property
    def place(self) -> Path:
        """Of all files of these data."""
        return self.out / "splits" / _digest(str(self.folder))

    @property
    def duplicates(self) -> Path:
        """The list."""
        return self.place / f"duplicates-{self.threshold:g}.json"

    def manifest(self, rule: Controlled, threshold: float | None, reserved: int) -> Path:
        """Of a split, named by all that decides it beside the data. threshold: None where duplicates stay; reserved: images of no group."""
        decides: list[Any] = [rule.to_json(), threshold, reserved]
        return self.place / f"{rule.kind}-{_digest(json.dumps(decides, sort_keys=True))}.json"

    def sought(self, data: ImageData) -> DuplicateList:
        """Return the list that exists, or search now."""
        return read_duplicates(self.duplicates, data) if self.duplicates.is_file() else find_duplicates(data, self.threshold)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@final
@dataclass(frozen=True)
class Ladder:
    """A scale. base: what all rungs share; sizes: images in a split (N), ascending; splits: networks on each rung.

    Rungs are nested: split i of a smaller N is the beginning of split i of a larger one, so that a rung adds images and changes none.
    needs_data: it is for images that the package does not bring.
    threshold: of the published layout, correlation above which a later image is taken out as a duplicate; the two groups are then the ends
    of the list (`write_ladder`). None: any number of splits, from the front of an order drawn by the seed.
    """

    base: ImageRecipe
    sizes: tuple[int, ...]
    splits: int
    needs_data: bool
    threshold: float | None = None

    def recipes(self, seed: int, splits: int | None = None, data: Path | None = None, out: Path = HERE) -> dict[int, ImageRecipe]:
        """N -> recipe; out: the folder of figures, where a manifest goes."""
        if self.needs_data and data is None:
            raise InputError(*NEEDS_CELEBA)
        count = self.splits if splits is None else splits
        if count < FEWEST_SPLITS:
            raise InputError(f"{count} splits are no twins", f"use --seeds {FEWEST_SPLITS} or more")
        base = self.base if data is None else self.base.on_folder(data.resolve())
        return {n: replace(base, seed=seed, data=self._rung(base.data, n, count, out)) for n in self.sizes}

    def _rung(self, data: Images, n: int, count: int, out: Path) -> Images:
        """The stride between splits is the largest N, whatever the rung; a manifest has the groups of the largest."""
        if self.threshold is None:
            return replace(data, split_size=n, splits=count, stride=self.sizes[-1])
        if count != FEWEST_SPLITS:
            raise InputError(f"{count} networks on two ends of one list", f"use --seeds {FEWEST_SPLITS}, or leave it out")
        place = Manifests(out.resolve(), Path(data.path), self.threshold)
        manifest = place.manifest(Ends(self.sizes), self.threshold, data.held_out)
        return replace(data, split_size=n, splits=count, order="listed", stride=0, manifest=str(manifest))


SMOKE = ImageRecipe(
    name="smoke",
    data=Images(splits=3, split_size=8, held_out=16, order="shuffled", normalisation="none"),
    diffusion=Diffusion("sqrt_sigma", 100),
    network=BlindSizes(width=4, blocks=2),
    training=Training(
        steps=24, batch=8, learning_rate=1e-2, schedule="constant", loss="noise", ema_decay=0.0, precision="float32",
        checkpoints=7, first_checkpoint=3, save_every=10, epoch_samples=64,
    ),
    measuring=ImageMeasuring(
        time_fraction=0.3, times=(10, 30, 50), generated=5, sampling_steps=2_000, train_images=8, sampler="ascent", step_size=0.1,
    ),
)  # fmt: skip

LAPTOP = ImageRecipe(
    name="laptop",
    data=Images(splits=4, split_size=256, held_out=150, order="shuffled", normalisation="none"),
    diffusion=Diffusion("sqrt_sigma", 1_000),
    network=BlindSizes(width=16, blocks=2),
    training=Training(
        steps=3_000, batch=64, learning_rate=1e-3, schedule="constant", loss="noise", ema_decay=0.995, precision="float32",
        checkpoints=24, first_checkpoint=40, save_every=1_000, epoch_samples=1_024,
    ),
    measuring=ImageMeasuring(
        time_fraction=0.316, times=(100, 200, 316, 500), generated=48, sampling_steps=4_000, train_images=128, sampler="ascent",
        step_size=0.02, sigma_end=0.02,
    ),
)  # fmt: skip

PAPER = ImageRecipe(
    data=Images(splits=2, split_size=98_117, held_out=1_000, normalisation="none"),
    diffusion=Diffusion("sqrt_sigma", 1_000),
    network=BlindSizes(),
    training=Training(
        steps=196_000, batch=512, learning_rate=1e-3, schedule="halving", loss="noise", precision="float32", checkpoints=25,
        first_checkpoint=1_000, epoch_samples=100_000,
    ),
    measuring=ImageMeasuring(
        time_fraction=0.316, times=(100, 200, 316, 500), generated=100, sampling_steps=10_000, train_images=1_000, sampler="ascent",
    ),
)  # fmt: skip

LADDERS: Mapping[Scale, Ladder] = {
    "smoke": Ladder(SMOKE, (4, 16), splits=3, needs_data=False),
    "laptop": Ladder(LAPTOP, (4, 16, 64, 160, 400), splits=4, needs_data=False),
    # 97,500 for the published 98,117: the 1,000 held-out images belong to no group
    "paper": Ladder(PAPER, (10, 100, 1_000, 10_000, 97_500), splits=2, needs_data=True, threshold=THRESHOLD),
}


def layout_caption(data: Images) -> str:
    """In a caption."""
    return f"{NESTED} {PUBLISHED}" if data.manifest else NESTED


def write_ladder(ladder: Ladder, recipes: Sequence[ImageRecipe]) -> None:
    """Seek the duplicates and write the manifest that the recipes name, where the ladder is a published one; what exists is compared.

    Data that are too few are refused before duplicates are sought, and again, once they are known, before anything is written.
    """
    if ladder.threshold is None:
        return
    chosen, rule = recipes[-1].data, Ends(ladder.sizes)
    manifest = Path(chosen.manifest)
    data, place = load_images(Path(chosen.path)), Manifests(manifest.parents[2], Path(chosen.path), ladder.threshold)
    make_split(data, rule, None, chosen.held_out)
    duplicates = place.sought(data)
    split = make_split(data, rule, duplicates, set_aside(chosen.held_out, duplicates, data))
    write_duplicates(place.duplicates, duplicates, data)
    write_split(manifest, split, data)


def set_aside(held_out: int, duplicates: DuplicateList, data: ImageData) -> int:
    """So many rows at the end that `held_out` of them are no duplicates: every rung is then judged on the same images."""
    kept = duplicates.kept(len(data))
    return len(data) - int(kept[-min(held_out, len(kept))])
