"""CelebA in its own layout: img_align_celeba/*.jpg (178 x 218) and three tables, which may lie
beside it or in Anno/ and Eval/."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.data.images.decoding import Decoded, Problem, decode, read_content
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.listing import Entry, Listing, scan
from twinsplit.data.images.sources import Source
from twinsplit.errors import InputError
from twinsplit.runs.files import fingerprint

if TYPE_CHECKING:
    import pandas as pd

SIZE = (178, 218)
IMAGES = "img_align_celeba"
ATTRIBUTES, IDENTITIES, PARTITION = "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"
REMEDY = "restore the file as the data set's authors distribute it"


def _fields(path: Path, number: int, line: str, width: int) -> list[str]:
    fields = line.split()
    if len(fields) != width:
        raise InputError(f"{path} line {number} has {len(fields)} fields where {width} are expected", REMEDY)
    return fields


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}", REMEDY) from error


def _indexed(path: Path, names: list[str], columns: list[str], values: Any) -> "pd.DataFrame":
    import pandas as pd

    table = pd.DataFrame(values, index=pd.Index(names, name="name"), columns=columns)
    if table.index.has_duplicates:
        raise InputError(f"{path} lists {table.index[table.index.duplicated()][0]} twice", REMEDY)
    return table


def read_attributes(path: Path) -> "pd.DataFrame":
    """list_attr_celeba.txt as a table of int8, -1 or 1, indexed by file name; refuses a wrong
    count, missing names and other values."""
    lines = _lines(path)
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise InputError(f"{path} does not begin with a count and a line of attribute names", REMEDY)
    columns = lines[1].split()
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"{path} line 2 names no attribute, or one twice", REMEDY)
    if len(lines) - 2 != int(lines[0]):
        raise InputError(f"{path} announces {int(lines[0])} images and lists {len(lines) - 2}", REMEDY)
    names, values = [], np.empty((len(lines) - 2, len(columns)), np.int8)
    for row, line in enumerate(lines[2:]):
        name, *fields = _fields(path, row + 3, line, len(columns) + 1)
        if not set(fields) <= {"-1", "1"}:
            raise InputError(f"{path} line {row + 3} holds values other than -1 and 1", REMEDY)
        names.append(name)
        values[row] = [1 if field == "1" else -1 for field in fields]
    return _indexed(path, names, columns, values)


def _read_numbers(path: Path, column: str, allowed: Callable[[int], bool], dtype: type) -> "pd.DataFrame":
    rows = [_fields(path, number, line, 2) for number, line in enumerate(_lines(path), 1)]
    for number, (_, value) in enumerate(rows, 1):
        if not (value.isascii() and value.isdecimal() and len(value) < 10 and allowed(int(value))):
            raise InputError(f"{path} line {number} gives the {column} {value}", REMEDY)
    return _indexed(path, [name for name, _ in rows], [column], np.array([int(value) for _, value in rows], dtype)[:, None])


def read_identities(path: Path) -> "pd.DataFrame":
    """identity_CelebA.txt as a table with the column `identity` (int32, from 1), indexed by file name."""
    return _read_numbers(path, "identity", lambda value: value >= 1, np.int32)


def read_partition(path: Path) -> "pd.DataFrame":
    """list_eval_partition.txt as a table with the column `partition` (int8: 0 train, 1 validation,
    2 test), indexed by file name."""
    return _read_numbers(path, "partition", lambda value: value in (0, 1, 2), np.int8)


READERS = {ATTRIBUTES: read_attributes, IDENTITIES: read_identities, PARTITION: read_partition}


@final
@dataclass(frozen=True)
class CelebaSource(Source):
    """A folder in CelebA's layout; the tables that are there must list exactly the images that are there."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder

    def _found(self, name: str) -> Path | None:
        places = [self.folder / name, *(self.folder / part / name for part in ("Anno", "Eval", "Img"))]
        return next((place for place in places if place.exists()), None)

    def images(self) -> Path:
        """The folder of the JPEGs."""
        found = self._found(IMAGES)
        if found is None:
            raise InputError(f"{self.folder} has no folder {IMAGES}", "give the folder that holds it; for other images use `data folder`")
        return found

    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables that are there, by file name."""
        return {name: read(path) for name, read in READERS.items() if (path := self._found(name)) is not None}

    def describe(self) -> dict[str, Any]:
        paths = {name: path for name in READERS if (path := self._found(name)) is not None}
        hashes = {name: fingerprint(path.read_bytes()) for name, path in paths.items()}
        return {"kind": "celeba", "order": "natural order of the file names", "tables_sha256": hashes}

    def listing(self) -> Listing:
        listing = scan(self.images())
        listed = {name: set(table.index) for name, table in self.tables().items()}
        there = {entry.name for entry in listing.entries}
        known = there | {problem.path for problem in listing.problems}
        missing = {name: f"missing, though {table} lists it" for table, names in listed.items() for name in names - known}
        unlisted = {name: f"not listed in {table}" for table, names in listed.items() for name in there - names}
        problems = [Problem(name, reason) for name, reason in sorted((missing | unlisted).items())]
        kept = tuple(entry for entry in listing.entries if entry.name not in unlisted)
        return Listing(kept, (*listing.problems, *problems), listing.others)

    def path_of(self, entry: Entry) -> Path:
        return self.images() / entry.name

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        return decode(read_content(self.path_of(entry)), frame)

    def labels(self, names: Sequence[str]) -> "pd.DataFrame | None":
        import pandas as pd

        tables = self.tables()
        return pd.concat([tables[name].loc[list(names)] for name in tables], axis=1).reset_index(drop=True) if tables else None
