"""Images on disk: a folder with images.npy (uint8, memory-mapped), files.parquet (order),
labels.parquet and data.json (fingerprint)."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.folders import of_images
from twinsplit.data.images.decoding import Problem
from twinsplit.data.images.frame import Bytes
from twinsplit.errors import InputError
from twinsplit.runs.files import encode_table, read_json, write_blocks, write_bytes, write_json

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

BLOCK = 1 << 20
REMEDY = "make it again with `twinsplit data`"


@final
@dataclass(frozen=True, eq=False)
class ImageData:
    """pixels: (n, C, H, W) uint8, a memory map; level `description["white"]` is 1.0. Rows stand in
    the order of `files()`."""

    folder: Path
    pixels: Bytes
    description: dict[str, Any]

    def __len__(self) -> int:
        return len(self.pixels)

    def tensor(self, rows: "NDArray[np.int64] | slice" = slice(None)) -> "Tensor":
        """(m, C, H, W) float32 in [0, 1], of the chosen rows (default: all)."""
        import torch

        chosen = np.array(self.pixels[rows])
        return torch.from_numpy(chosen).float() / float(self.description["white"])

    def files(self) -> "pd.DataFrame":
        """name, bytes and sha256 of the file or row behind each image."""
        return read_table(self.folder / "files.parquet")

    def labels(self) -> "pd.DataFrame":
        """Integer columns, one row per image: CelebA's attributes (-1 or 1), `identity` and
        `partition`; digits' `digit`."""
        if self.description["labels_sha256"] is None:
            raise InputError(f"{self.folder} has no labels", "prepare a data set with tables, such as CelebA's layout")
        return read_table(self.folder / "labels.parquet")

    def left_out(self) -> list[Problem]:
        """The files that were left out when the folder was prepared, with the reasons."""
        return read_problems(self.folder)


def read_problems(folder: Path) -> list[Problem]:
    """Read FOLDER/problems.json."""
    return [Problem(found["path"], found["reason"]) for found in read_json(folder / "problems.json", problems=list)["problems"]]


def store_images(
    folder: Path, blocks: Iterable[Bytes], shape: tuple[int, ...], tables: "tuple[pd.DataFrame, pd.DataFrame | None]", about: dict[str, Any]
) -> None:
    """Write the folder, block by block; data.json last, so that a folder without it is unfinished.

    blocks: uint8 arrays (k, C, H, W) that make up `shape` (n, C, H, W). tables: files and labels.
    about: kind, source, frame, white, ...
    """
    files, labels = tables
    digest = hashlib.sha256()
    write_blocks(folder / "images.npy", _encoded(blocks, shape, digest.update))
    write_bytes(folder / "files.parquet", _parquet(files))
    if labels is not None:
        write_bytes(folder / "labels.parquet", _parquet(labels))
    hashes = {"sha256": digest.hexdigest(), "files_sha256": _table_sha256(files), "labels_sha256": _table_sha256(labels)}
    write_json(folder / "data.json", {"kind": "images", "shape": list(shape)} | about | hashes)


def _encoded(blocks: Iterable[Bytes], shape: tuple[int, ...], hashed: Any) -> Iterator[bytes]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    yield header.getvalue()
    written = 0
    for block in blocks:
        content = np.ascontiguousarray(block).tobytes()
        hashed(content)
        written += len(block)
        yield content
    assert written == shape[0], f"{written} images written, {shape[0]} announced"


def _parquet(table: "pd.DataFrame") -> bytes:
    import pyarrow as pa

    return encode_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None))


def read_table(path: Path) -> "pd.DataFrame":
    """Read a table of a data folder."""
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except Exception as error:  # Arrow's errors have no common base
        raise InputError(f"cannot read {path}: {error}", REMEDY) from error


def _table_sha256(table: "pd.DataFrame | None") -> str | None:
    """SHA-256 of the content of a table, independent of file format and version; None without a table."""
    if table is None:
        return None
    digest = hashlib.sha256()
    for name in table:
        digest.update(f"{name}\0".encode())
        values = table[name].to_numpy()
        digest.update(values.astype("<i8").tobytes() if values.dtype.kind in "iu" else "\n".join(values).encode())
    return digest.hexdigest()


def load_images(folder: Path) -> ImageData:
    """Open a folder that `store_images` wrote; raise InputError where its content was altered."""
    description = of_images(folder)
    try:
        pixels = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not a readable data folder: {error}", REMEDY) from error
    data = ImageData(folder, pixels, description)
    found = _fingerprints(data)
    if pixels.dtype != np.uint8 or found != {name: description.get(name) for name in found}:
        raise InputError(f"the data in {folder} changed since it was made (fingerprints differ)", REMEDY)
    return data


def _fingerprints(data: ImageData) -> dict[str, Any]:
    labels = data.labels() if data.description.get("labels_sha256") is not None else None
    return {
        "shape": list(data.pixels.shape),
        "sha256": _pixels_sha256(data.folder / "images.npy", data.pixels.nbytes),
        "files_sha256": _table_sha256(data.files()),
        "labels_sha256": _table_sha256(labels),
    }


def _pixels_sha256(path: Path, size: int) -> str:
    """SHA-256 of the last `size` bytes, read in blocks: pages of a memory map would count as memory
    of this process."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(-size, io.SEEK_END)
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
