"""The duplicates of a data folder as a file of their own: which rows repeat an earlier image, for
which data, threshold and pooling."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.images.folder import ImageData
from twinsplit.data.splits.duplicates import THRESHOLD, block_on, near_duplicates, products, published_pool
from twinsplit.errors import InputError
from twinsplit.runs.files import read_json, write_json
from twinsplit.runs.progress import progress

Rows: TypeAlias = NDArray[np.int64]
AGAIN = "make it again with `twinsplit data duplicates`"


@final
@dataclass(frozen=True, eq=False)
class DuplicateList:
    """removed: (m,) int64, ascending: the rows that correlate with an earlier one above
    `threshold`, averaged over `pool`^2 pixels."""

    threshold: float
    pool: int
    removed: Rows

    def to_json(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "pool": self.pool, "removed": self.removed.tolist()}

    def kept(self, images: int) -> Rows:
        """Return the rows of `images` images that are not in the list, ascending."""
        return np.delete(np.arange(images), self.removed)


def find_duplicates(data: ImageData, threshold: float = THRESHOLD, device: str | None = None) -> DuplicateList:
    """Find the duplicates of a data folder by the published rule (`near_duplicates`). device:
    default `fastest_device`."""
    pool, where = published_pool(data.pixels.shape[2]), device or fastest_device()
    with progress("compare", products(len(data), block_on(where))) as report:
        return DuplicateList(float(threshold), pool, near_duplicates(data.pixels, threshold, pool, device=where, report=report))


def fastest_device() -> str:
    """Return cuda where there is one. Decisions are made in float64 on the CPU in either case, so
    results agree."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def write_duplicates(path: Path, found: DuplicateList, data: ImageData) -> None:
    """Write the list as JSON with the fingerprint of the pixels."""
    about = {"kind": "near-duplicates", "images": len(data), "sha256": data.description["sha256"]}
    write_json(path, about | found.to_json())


def read_duplicates(path: Path, data: ImageData) -> DuplicateList:
    """Read a file of `write_duplicates`; raise InputError where it belongs to other data."""
    values = read_json(path, object)
    if not isinstance(values, dict) or values.get("kind") != "near-duplicates":
        raise InputError(f"{path} holds no list of duplicates", AGAIN)
    if values.get("sha256") != data.description["sha256"]:
        raise InputError(f"{path} is of other images than those in {data.folder}", AGAIN)
    return duplicates_from(values, len(data), str(path))


def duplicates_from(values: Any, images: int, where: str) -> DuplicateList:
    """Build a list from plain data; raise InputError where it is not valid."""
    if not isinstance(values, dict):
        raise InputError(f"{where}: the duplicates are no table", AGAIN)
    threshold, pool, removed = values.get("threshold"), values.get("pool"), values.get("removed")
    if not isinstance(threshold, float) or type(pool) is not int or pool < 1 or not 0 <= threshold < 1:
        raise InputError(f"{where}: the duplicates have no threshold in [0, 1) or no pooling from 1", AGAIN)
    if not _ascending(removed, images):
        raise InputError(f"{where}: the removed rows are no ascending list of rows from 1 to {images - 1}", AGAIN)
    return DuplicateList(threshold, pool, np.array(removed, dtype=np.int64))


def _ascending(rows: Any, images: int) -> bool:
    """Return whether this is an ascending list of rows that each have an earlier one."""
    return isinstance(rows, list) and all(type(row) is int and 0 < row < images for row in rows) and rows == sorted(set(rows))
