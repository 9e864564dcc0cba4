"""What `twinsplit data duplicates` and `twinsplit data split` do: lists and manifests beside a data folder, which is only read."""

from pathlib import Path
from typing import TYPE_CHECKING

from twinsplit.data.images.folder import ImageData, load_images
from twinsplit.data.splits.duplicates import THRESHOLD
from twinsplit.errors import InputError
from twinsplit.execution.local import check_device

if TYPE_CHECKING:
    from twinsplit.cli import data as data_cli
    from twinsplit.data.splits.controlled import Controlled
    from twinsplit.data.splits.duplicate_lists import DuplicateList


def data_duplicates(options: "data_cli.DataDuplicates") -> None:
    """Find the near-duplicates of a folder and list them in a file; a list that stands is not made again."""
    from twinsplit.data.splits.duplicate_lists import write_duplicates

    folder = options.folder.resolve()
    out = options.out or folder.with_name(f"{folder.name}-duplicates.json")
    _outside(out, options.folder)
    data = load_images(options.folder)
    found = _existing(out, data, options.threshold) if out.exists() else _found(data, options.threshold, options.device)
    write_duplicates(out, found, data)
    print(f"{out}: {len(found.removed)} of {len(data)} images correlate above {found.threshold:g} with an earlier one")


def data_split(options: "data_cli.DataSplit") -> None:
    """Write the manifest of a controlled split."""
    from twinsplit.data.splits.manifests import check_place, make_split, write_split

    rule = _rule(options)
    _refuse_unused(options)
    _outside(options.out, options.folder)
    check_place(options.out, rule)
    data = load_images(options.folder)
    make_split(data, rule)  # what cannot be split is refused before the duplicates are sought
    split = make_split(data, rule, _taken_out(options, data))
    write_split(options.out, split, data)
    first, second = map(len, split.groups)
    removed = f"{len(split.duplicates.removed)} duplicates taken out" if split.duplicates else "duplicates not sought"
    print(f"{options.out}: {first} and {second} images ({rule.title()}); {removed}")


def _existing(out: Path, data: ImageData, threshold: float) -> "DuplicateList":
    """The list in a file; refused where it is no such list, or another one."""
    from twinsplit.data.splits.duplicate_lists import read_duplicates

    try:
        found = read_duplicates(out, data)
    except InputError:
        found = None
    if found is None or found.threshold != threshold:
        raise InputError(f"{out} exists and holds something else", "choose another --out")
    return found


def _outside(out: Path, folder: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out} lies in the data folder {folder}", "choose another --out: a data folder is not altered")


def _rule(options: "data_cli.DataSplit") -> "Controlled":
    from twinsplit.data.splits.controlled import ByAttribute, ByIdentity, Ladder

    if bool(options.attribute) + options.identities + bool(options.ladder) != 1:
        raise InputError("a split is asked for in no way or in several", "give exactly one of --attribute, --identities and --ladder")
    seed = options.seed or 0
    if options.attribute:
        return ByAttribute(options.attribute, seed)
    return ByIdentity(seed) if options.identities else Ladder(_sizes(options.ladder))


def _refuse_unused(options: "data_cli.DataSplit") -> None:
    """An option that decides nothing here is a misunderstanding."""
    if options.ladder and options.seed is not None:
        raise InputError("--ladder has no --seed", "leave it out: the first and the last images are drawn by nothing")
    if not _seeks(options):
        for name in ("threshold", "device"):
            if getattr(options, name) is not None:
                why = "--duplicates names the list" if options.duplicates else "--attribute takes no duplicates out"
                raise InputError(f"--{name} where no duplicates are sought", f"leave it out: {why}")


def _seeks(options: "data_cli.DataSplit") -> bool:
    """As published, not for attributes."""
    return not options.duplicates and not options.attribute


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise InputError(f"--ladder {text!r}", "give sizes such as 10,100,1000")
    return tuple(map(int, parts))


def _taken_out(options: "data_cli.DataSplit", data: ImageData) -> "DuplicateList | None":
    from twinsplit.data.splits.duplicate_lists import read_duplicates

    if _seeks(options):
        return _found(data, THRESHOLD if options.threshold is None else options.threshold, options.device)
    return read_duplicates(options.duplicates, data) if options.duplicates else None


def _found(data: ImageData, threshold: float, device: str | None) -> "DuplicateList":
    from twinsplit.data.splits.duplicate_lists import find_duplicates

    if device is not None:
        check_device(device)
    return find_duplicates(data, threshold, device)
