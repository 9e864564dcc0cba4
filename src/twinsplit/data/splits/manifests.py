"""Split manifests: a controlled split as a small JSON file that makes the same rows again from the
prepared folder, or refuses.

The file holds what decides the split (kind, parameters, the duplicates taken out), how the folder
was prepared from raw images, and hashes of the data and of the rows in order, not the rows: they
are made again whenever the file is read, and compared.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.images.folder import ImageData
from twinsplit.data.images.preparation import preparation
from twinsplit.data.splits.controlled import KINDS, Controlled, Groups, Ladder
from twinsplit.data.splits.disjoint import Splits, content_ids
from twinsplit.data.splits.duplicate_lists import DuplicateList, duplicates_from
from twinsplit.errors import InputError
from twinsplit.runs.files import fingerprint, read_json, write_json

Rows: TypeAlias = NDArray[np.int64]
HASHES = ("sha256", "files_sha256", "labels_sha256")
PREPARED = ("source", "frame")  # of data.json; manifests of before these were recorded have neither
VERSION = 1
AGAIN = "make it again with `twinsplit data split`"
ELSEWHERE = "choose another --out, or remove it"


@final
@dataclass(frozen=True, eq=False)
class ControlledSplit:
    """Two groups of rows, and what decided them. duplicates: taken out first; None where none were
    sought, as in attribute splits.

    reserved: so many rows at the end of the data are in neither group, so that splits of several
    kinds can be judged on the same images.
    """

    rule: Controlled
    duplicates: DuplicateList | None
    groups: Groups
    reserved: int = 0

    def describe(self, data: ImageData, about: dict[str, Any] | None = None) -> dict[str, Any]:
        """All that the manifest says; its last line is a hash of the others. about: what it says of
        the data (default: `about_data`)."""
        found: dict[str, Any] = {
            "kind": "split",
            "version": VERSION,
            "data": about_data(data) if about is None else about,
            "split": self.rule.to_json(),
            "duplicates": self.duplicates and self.duplicates.to_json(),
            "groups": [{"images": len(rows), "rows_sha256": rows_sha256(rows)} for rows in self.groups],
        }
        if self.reserved:
            found["reserved"] = self.reserved
        if isinstance(self.rule, Ladder):
            found["rungs"] = [{"images": n, "rows_sha256": [rows_sha256(rows[:n]) for rows in self.groups]} for n in self.rule.sizes]
        return found | {"sha256": fingerprint(json.dumps(found, sort_keys=True).encode())}


def about_data(data: ImageData) -> dict[str, Any]:
    """Describe the images of a split and how they were prepared."""
    return _identity(data) | {name: data.description[name] for name in PREPARED if name in data.description}


def _identity(data: ImageData) -> dict[str, Any]:
    return {"images": len(data)} | {name: data.description[name] for name in HASHES}


def rows_sha256(rows: Rows) -> str:
    """SHA-256 of the rows in their order."""
    return fingerprint(rows.astype("<i8").tobytes())


def make_split(data: ImageData, rule: Controlled, duplicates: DuplicateList | None = None, reserved: int = 0) -> ControlledSplit:
    """Split a data folder, less the last `reserved` rows; InputError where it lacks what the rule needs."""
    if not 0 <= reserved < len(data):
        raise InputError(f"{reserved} of {len(data)} images set aside", "set fewer aside, or use more data")
    kept = np.arange(len(data)) if duplicates is None else duplicates.kept(len(data))
    kept = kept[kept < len(data) - reserved]
    return ControlledSplit(rule, duplicates, rule.groups(kept, data.labels() if rule.labelled else None), reserved)


def write_split(path: Path, split: ControlledSplit, data: ImageData) -> None:
    """The manifest; another file in its place is refused, but for the same split without how its
    data were prepared."""
    found = split.describe(data)
    if path.exists() and _existing(path) not in (found, split.describe(data, _identity(data))):
        raise InputError(f"{path} exists and holds something else", ELSEWHERE)
    write_json(path, found)


def check_place(path: Path, rule: Controlled) -> None:
    """Raise InputError where `write_split` would refuse any split by this rule, before minutes of
    seeking duplicates."""
    if path.exists() and _existing(path).get("split") != rule.to_json():
        raise InputError(f"{path} exists and holds something else", ELSEWHERE)


def _existing(path: Path) -> dict[str, Any]:
    """Read the JSON object at a manifest's path; empty where there is none."""
    try:
        found: dict[str, Any] = read_json(path)
    except InputError:
        return {}
    return found


def load_split(path: Path, data: ImageData) -> ControlledSplit:
    """The split of a manifest, made again from `data`; refused where the data, the rows or the file
    differ from what was written."""
    values = read_json(path, object)
    if not isinstance(values, dict) or (values.get("kind"), values.get("version")) != ("split", VERSION):
        raise InputError(f"{path} is no split manifest of version {VERSION}", AGAIN)
    about = _of_these(values.get("data"), data, path)
    listed = values.get("duplicates")
    duplicates = None if listed is None else duplicates_from(listed, len(data), str(path))
    reserved = values.get("reserved", 0)
    if type(reserved) is not int:
        raise InputError(f"{path} sets aside no number of images", AGAIN)
    split = make_split(data, rule_from(values.get("split"), str(path)), duplicates, reserved)
    if split.describe(data, about) != values:
        raise InputError(f"{path} does not give the rows it was written for (hashes differ)", AGAIN)
    return split


def _of_these(about: Any, data: ImageData, path: Path) -> dict[str, Any]:
    """Return a manifest's description of its data; raise InputError, with the command that prepares
    them, where `data` differ."""
    said = about if isinstance(about, dict) else {}
    if {name: value for name, value in said.items() if name not in PREPARED} != _identity(data):
        raise InputError(f"{path} is of other data than {data.folder} holds (fingerprints differ)", _remedy(said))
    if any(name in said for name in PREPARED) and _preparing(said) != _preparing(data.description):
        raise InputError(f"{path} is of data prepared otherwise than {data.folder} (source or frame differ)", _remedy(said))
    return said


def _preparing(about: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the kind of the raw images and their frame; the name of their folder is ignored, since
    it may have moved."""
    source = about.get("source")
    return source.get("kind") if isinstance(source, dict) else source, about.get("frame")


def _remedy(said: Mapping[str, Any]) -> str:
    command = preparation(said.get("images", 0), said.get("source"), said.get("frame"))
    return f"prepare the raw images with `{command}`, or {AGAIN}" if command else AGAIN


def rule_from(values: Any, where: str) -> Controlled:
    """Build a rule from plain data; raise InputError for keys or types that are not its own."""
    rule = KINDS.get(values["kind"]) if isinstance(values, dict) and isinstance(values.get("kind"), str) else None
    if rule is None:
        raise InputError(f"{where} names no kind of split", f"the kinds are {', '.join(KINDS)}; {AGAIN}")
    fields = {field.name: field.type for field in dataclasses.fields(rule)}
    given = {name: value for name, value in values.items() if name != "kind"}
    if set(given) != set(fields) or not all(_fits(given[name], fields[name]) for name in fields):
        raise InputError(f"{where}: a split by {rule.kind} has other parameters", AGAIN)
    return rule(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _fits(value: Any, kind: Any) -> bool:
    if kind in (int, str):
        return type(value) is kind
    return isinstance(value, list) and all(type(entry) is int for entry in value)


def cut(split: ControlledSplit, samples: NDArray[Any], size: int, held_out: int) -> Splits:
    """The first `size` rows of each group, and the last `held_out` rows of what is left; the three
    share no content.

    A row of the second group whose content the first holds is passed over, and duplicates that were
    taken out are not measured on either.
    """
    content = content_ids(samples)
    first, second = split.groups
    _refuse_shortage("the first group", size, len(first))
    first = first[:size]
    second = second[~np.isin(content[second], content[first])]
    _refuse_shortage("the second group", size, len(second))
    rows = np.stack([first, second[:size]])
    taken = np.isin(content, content[rows])
    taken[split.duplicates.removed if split.duplicates else []] = True
    free = np.flatnonzero(~taken)
    _refuse_shortage("the rest", held_out, len(free))
    return Splits(rows, free[len(free) - held_out :])


def _refuse_shortage(what: str, needed: int, there: int) -> None:
    if needed > there:
        raise InputError(f"{needed} images are asked of {what}, which has {there}", "choose smaller sizes, or another manifest")
