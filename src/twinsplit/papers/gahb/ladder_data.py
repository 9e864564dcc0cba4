"""The published layout of a ladder on disk: near-duplicates taken out, the last images held out, the first and the last N of what is left
the two groups ([GAHB]; PROTOCOL section 4). One manifest serves all rungs."""

from collections.abc import Mapping
from pathlib import Path

from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.splits.controlled import Ladder as Ends
from twinsplit.data.splits.duplicate_lists import DuplicateList, write_duplicates
from twinsplit.data.splits.manifests import make_split, write_split
from twinsplit.papers.gahb.manifests import Manifests
from twinsplit.papers.gahb.settings import Ladder
from twinsplit.recipes import ImageRecipe, Images

NESTED = "Splits of all sizes are nested and seen equally often; held-out images share no content with any."
PUBLISHED = (
    "Group A is the first N images and group B the last N, less near-duplicates and less the held-out ones, which are the very last."
)


def told_layout(data: Images) -> str:
    """In a caption."""
    return f"{NESTED} {PUBLISHED}" if data.manifest else NESTED


def write_ladder(ladder: Ladder, recipes: Mapping[int, ImageRecipe]) -> None:
    """Seek the duplicates and write the manifest that the recipes name, where the ladder is a published one; what stands is compared.

    Data that are too few are refused before duplicates are sought, and again, once they are known, before anything is written.
    """
    if ladder.threshold is None:
        return
    chosen, rule = recipes[ladder.sizes[-1]].data, Ends(ladder.sizes)
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
