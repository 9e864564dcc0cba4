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


def data_duplicates(asked: "data_cli.DataDuplicates") -> None:
    """Find the near-duplicates of a folder and list them in a file; a list that stands is not made again."""
    from twinsplit.data.splits.duplicate_lists import write_duplicates

    folder = asked.folder.resolve()
    out = asked.out or folder.with_name(f"{folder.name}-duplicates.json")
    _outside(out, asked.folder)
    data = load_images(asked.folder)
    found = _standing(out, data, asked.threshold) if out.exists() else _found(data, asked.threshold, asked.device)
    write_duplicates(out, found, data)
    print(f"{out}: {len(found.removed)} of {len(data)} images correlate above {found.threshold:g} with an earlier one")


def data_split(asked: "data_cli.DataSplit") -> None:
    """Write the manifest of a controlled split."""
    from twinsplit.data.splits.manifests import check_place, make_split, write_split

    rule = _rule(asked)
    _refuse_unused(asked)
    _outside(asked.out, asked.folder)
    check_place(asked.out, rule)
    data = load_images(asked.folder)
    make_split(data, rule)  # what cannot be split is refused before the duplicates are sought
    split = make_split(data, rule, _taken_out(asked, data))
    write_split(asked.out, split, data)
    first, second = map(len, split.groups)
    removed = f"{len(split.duplicates.removed)} duplicates taken out" if split.duplicates else "duplicates not sought"
    print(f"{asked.out}: {first} and {second} images ({rule.title()}); {removed}")


def _standing(out: Path, data: ImageData, threshold: float) -> "DuplicateList":
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


def _rule(asked: "data_cli.DataSplit") -> "Controlled":
    from twinsplit.data.splits.controlled import ByAttribute, ByIdentity, Ladder

    if bool(asked.attribute) + asked.identities + bool(asked.ladder) != 1:
        raise InputError("a split is asked for in no way or in several", "give exactly one of --attribute, --identities and --ladder")
    seed = asked.seed or 0
    if asked.attribute:
        return ByAttribute(asked.attribute, seed)
    return ByIdentity(seed) if asked.identities else Ladder(_sizes(asked.ladder))


def _refuse_unused(asked: "data_cli.DataSplit") -> None:
    """An option that decides nothing here is a misunderstanding."""
    if asked.ladder and asked.seed is not None:
        raise InputError("--ladder has no --seed", "leave it out: the first and the last images are drawn by nothing")
    if not _seeks(asked):
        for name in ("threshold", "device"):
            if getattr(asked, name) is not None:
                why = "--duplicates names the list" if asked.duplicates else "--attribute takes no duplicates out"
                raise InputError(f"--{name} where no duplicates are sought", f"leave it out: {why}")


def _seeks(asked: "data_cli.DataSplit") -> bool:
    """As published, not for attributes."""
    return not asked.duplicates and not asked.attribute


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise InputError(f"--ladder {text!r}", "give sizes such as 10,100,1000")
    return tuple(map(int, parts))


def _taken_out(asked: "data_cli.DataSplit", data: ImageData) -> "DuplicateList | None":
    from twinsplit.data.splits.duplicate_lists import read_duplicates

    if _seeks(asked):
        return _found(data, THRESHOLD if asked.threshold is None else asked.threshold, asked.device)
    return read_duplicates(asked.duplicates, data) if asked.duplicates else None


def _found(data: ImageData, threshold: float, device: str | None) -> "DuplicateList":
    from twinsplit.data.splits.duplicate_lists import find_duplicates

    if device is not None:
        check_device(device)
    return find_duplicates(data, threshold, device)
