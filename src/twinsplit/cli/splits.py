"""`twinsplit data duplicates` and `data split`: lists and manifests beside a data folder, which is
only read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from tyro.conf import Positional, arg

from twinsplit.errors import InputError

if TYPE_CHECKING:
    from twinsplit.data.images.folder import ImageData
    from twinsplit.data.splits.controlled import Controlled
    from twinsplit.data.splits.duplicate_lists import DuplicateList

Prepared = Positional[Annotated[Path, arg(metavar="FOLDER", help="a folder of images that `twinsplit data` wrote")]]
ListFile = Annotated[Path | None, arg(help="the list to write (default: FOLDER-duplicates.json, beside the folder)")]
Threshold = Annotated[float, arg(help="correlation in absolute value above which the later of two images is a duplicate")]
SearchDevice = Annotated[
    str | None, arg(help="where duplicates are sought (default: cuda where there is one, else cpu); the answer is the same")
]
Listed = Annotated[
    Path | None,
    arg(help="a list of `data duplicates` to take out first (default, as published: none for --attribute, else sought now)"),
]
SearchThreshold = Annotated[float | None, arg(help="of the duplicates that are sought now (default 0.95)")]


@final
@dataclass(frozen=True)
class Groups:
    """What the two groups are: exactly one of --attribute, --identities and --ladder."""

    attribute: str = ""
    """attributes joined by &, each perhaps after !: the images that this is true of, and as many of the others"""
    identities: Annotated[bool, arg(help="no identity in both groups, and groups of nearly equal size")] = False
    ladder: Annotated[str, arg(metavar="N,N,...", help="the first N and the last N images, for each N, nested")] = ""
    seed: Annotated[int | None, arg(help="of the drawn orders, for --attribute and --identities (default 0)")] = None

    def rule(self) -> "Controlled":
        """Return the rule that splits the images; InputError where none is asked for, or several."""
        from twinsplit.data.splits.controlled import ByAttribute, ByIdentity, Ladder

        if bool(self.attribute) + self.identities + bool(self.ladder) != 1:
            raise InputError("a split is asked for in no way or in several", "give exactly one of --attribute, --identities and --ladder")
        seed = self.seed or 0
        if self.attribute:
            return ByAttribute(self.attribute, seed)
        return ByIdentity(seed) if self.identities else Ladder(_sizes(self.ladder))


def duplicates(folder: Prepared, *, out: ListFile = None, threshold: Threshold = 0.95, device: SearchDevice = None) -> None:
    """List the images that nearly repeat an earlier one: correlation above the threshold, either
    sign. The folder is not altered.
    """
    from twinsplit.data.images.folder import load_images
    from twinsplit.data.splits.duplicate_lists import write_duplicates

    place = folder.resolve()
    out = out or place.with_name(f"{place.name}-duplicates.json")
    _refuse_inside(out, folder)
    data = load_images(folder)
    found = _existing(out, data, threshold) if out.exists() else _sought(data, threshold, device)
    write_duplicates(out, found, data)
    print(f"{out}: {len(found.removed)} of {len(data)} images correlate above {found.threshold:g} with an earlier one")


def split(
    folder: Prepared,
    *,
    out: Path,
    groups: Groups,
    duplicates: Listed = None,
    threshold: SearchThreshold = None,
    device: SearchDevice = None,
) -> None:
    """Split images in two groups, by one of --attribute, --identities and --ladder, into a manifest
    for a recipe's data.manifest.

    Args:
        out: the manifest (JSON) to write
    """
    from twinsplit.data.images.folder import load_images
    from twinsplit.data.splits.duplicate_lists import read_duplicates
    from twinsplit.data.splits.duplicates import THRESHOLD
    from twinsplit.data.splits.manifests import check_place, make_split, write_split

    rule = groups.rule()
    seeks = not duplicates and not groups.attribute  # as published, not for attributes
    _refuse_unused(groups, duplicates, {} if seeks else {"threshold": threshold, "device": device})
    _refuse_inside(out, folder)
    check_place(out, rule)
    data = load_images(folder)
    made = make_split(data, rule)  # what cannot be split is refused before the duplicates are sought
    if seeks:
        made = make_split(data, rule, _sought(data, THRESHOLD if threshold is None else threshold, device))
    elif duplicates:
        made = make_split(data, rule, read_duplicates(duplicates, data))
    write_split(out, made, data)
    first, second = map(len, made.groups)
    removed = f"{len(made.duplicates.removed)} duplicates taken out" if made.duplicates else "duplicates not sought"
    print(f"{out}: {first} and {second} images ({rule.title()}); {removed}")


def _refuse_unused(groups: Groups, duplicates: Path | None, unused: dict[str, object]) -> None:
    """Refuse an option that decides nothing here: it is a misunderstanding. unused: options of a
    search, where there is none.
    """
    if groups.ladder and groups.seed is not None:
        raise InputError("--ladder has no --seed", "leave it out: the first and the last images are drawn by nothing")
    why = "--duplicates names the list" if duplicates else "--attribute takes no duplicates out"
    for name, value in unused.items():
        if value is not None:
            raise InputError(f"--{name} where no duplicates are sought", f"leave it out: {why}")


def _refuse_inside(out: Path, folder: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out} lies in the data folder {folder}", "choose another --out: a data folder is not altered")


def _sizes(text: str) -> tuple[int, ...]:
    """Read the sizes of --ladder."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise InputError(f"--ladder {text!r}", "give sizes such as 10,100,1000")
    return tuple(map(int, parts))


def _existing(out: Path, data: "ImageData", threshold: float) -> "DuplicateList":
    """Read the list in a file; refused where it is no such list, or another one."""
    from twinsplit.data.splits.duplicate_lists import read_duplicates

    try:
        found = read_duplicates(out, data)
    except InputError:
        found = None
    if found is None or found.threshold != threshold:
        raise InputError(f"{out} exists and holds something else", "choose another --out")
    return found


def _sought(data: "ImageData", threshold: float, device: str | None) -> "DuplicateList":
    """Seek the duplicates now."""
    from twinsplit.data.splits.duplicate_lists import find_duplicates
    from twinsplit.execution.local import check_device

    if device is not None:
        check_device(device)
    return find_duplicates(data, threshold, device)
