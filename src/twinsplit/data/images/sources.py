"""Where images come from: a list of entries, and how one of them is decoded. Folders, arrays,
Hugging Face data sets, digits."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twinsplit.data.images.decoding import Decoded, decode, read_content
from twinsplit.data.images.frame import Bytes, Frame, UnusableError
from twinsplit.data.images.listing import Entry, Listing, scan
from twinsplit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


class Source(ABC):
    """Images that can be listed and decoded one by one; it travels to worker processes, so it holds
    paths and not pictures."""

    white: int = 255

    @property
    def root(self) -> Path | None:
        """The folder the images lie in, where there is one."""
        return None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Describe the source for data.json; equal descriptions and entries decode to equal pixels."""

    @abstractmethod
    def listing(self) -> Listing:
        """List the entries in order, and the files that cannot be used."""

    @abstractmethod
    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        """Decode one entry; raise UnusableError with the reason."""

    def path_of(self, entry: Entry) -> Path | None:
        """The file that holds an entry and nothing else, where there is one."""
        return None

    def labels(self, names: Sequence[str]) -> "pd.DataFrame | None":
        """Integer columns with one row per name, where the source has any."""
        return None


@final
@dataclass(frozen=True)
class FolderSource(Source):
    """A folder of images, searched with its subfolders."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder

    def describe(self) -> dict[str, Any]:
        return {"kind": "folder", "name": self.folder.resolve().name, "order": "natural order of the file names"}

    def listing(self) -> Listing:
        return scan(self.folder)

    def path_of(self, entry: Entry) -> Path:
        return self.folder / entry.name

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        return decode(read_content(self.path_of(entry)), frame)


def _rows(count: int) -> Listing:
    return Listing(tuple(Entry(f"row {row}") for row in range(count)))


def _row(entry: Entry) -> int:
    return int(entry.name.removeprefix("row "))


def _hashed(pixels: Bytes, content: bytes) -> Decoded:
    return Decoded(pixels, len(content), hashlib.sha256(content).hexdigest())


@final
@dataclass(frozen=True)
class ArraySource(Source):
    """Images (n, H, W), (n, H, W, C) or (n, C, H, W) of uint8, or of floats in [0, 1], in a .npy or
    .npz file; no pickle is read.

    key: the array of an .npz that holds several. Floats are rounded to 255 levels.
    """

    file: Path
    key: str = ""

    def describe(self) -> dict[str, Any]:
        with _readable(self.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        about = {"kind": "array", "name": self.file.name, "order": "rows of the array", "sha256": digest}
        return about | {"key": self.key, "type": str(self.array().dtype)}

    def array(self) -> NDArray[Any]:
        """(n, H, W, C), C = 1 or 3; a memory map where the file allows it."""
        return _load_array(_readable(self.file), self.key)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        height, width = self.array().shape[1:3]
        return width, height

    def listing(self) -> Listing:
        return _rows(len(self.array()))

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        values = np.ascontiguousarray(self.array()[_row(entry)])
        levels = _levels(values)
        picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
        return _hashed(frame.pixels(picture), values.tobytes())


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file} is not a file", "give a .npy or .npz file of images")
    return file


@lru_cache(maxsize=1)
def _load_array(file: Path, key: str) -> NDArray[Any]:
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        array = _only(file, found, key) if isinstance(found, np.ndarray) else found[_member(file, found.files, key)]
    except InputError:
        raise
    except Exception as error:  # NumPy and zip fail in many ways on bytes that are no array
        raise InputError(f"{file} is not a readable array: {error}", "store it with numpy.save or numpy.savez, without objects") from error
    return _channels_last(file, array)


def _only(file: Path, array: NDArray[Any], key: str) -> NDArray[Any]:
    if key:
        raise InputError(f"{file} holds one array, without a name", f"leave out --key {key}")
    return array


def _member(file: Path, names: list[str], key: str) -> str:
    if key in names:
        return key
    if not key and len(names) == 1:
        return names[0]
    raise InputError(f"{file} holds the arrays {', '.join(names) or '(none)'}", "name one of them with --key")


def _channels_last(file: Path, array: NDArray[Any]) -> NDArray[Any]:
    wanted = "give (n, H, W), (n, H, W, C) or (n, C, H, W), C = 1 or 3, of uint8 or floats in [0, 1]"
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"{file} holds {array.dtype}", wanted)
    shape = array.shape if array.ndim == 4 else (*array.shape, 1)
    last, first = shape[-1] in (1, 3), array.ndim == 4 and shape[1] in (1, 3)
    if array.ndim not in (3, 4) or 0 in shape or last == first:
        raise InputError(f"{file} holds an array of shape {array.shape}", wanted)
    return array.reshape(shape) if last else np.moveaxis(array, 1, -1)


def _levels(values: NDArray[Any]) -> Bytes:
    if values.dtype == np.uint8:
        return values
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise UnusableError("values that are not in [0, 1]")
    return np.rint(values * 255.0).astype(np.uint8)


@final
@dataclass(frozen=True)
class HubSource(Source):
    """A Hugging Face data set: a folder that `save_to_disk` wrote, or a name on the hub; its image
    column in order of rows."""

    name: str
    split: str = "train"
    column: str = "image"

    def describe(self) -> dict[str, Any]:
        fingerprint = str(_load_hub(self)._fingerprint)
        about = {"kind": "hub", "name": Path(self.name).name, "split": self.split, "column": self.column}
        return about | {"order": "rows of the data set", "fingerprint": fingerprint}

    def listing(self) -> Listing:
        return _rows(len(_load_hub(self)))

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        found = _load_hub(self)[_row(entry)][self.column]
        if not found or not (found["bytes"] or found["path"]):
            raise UnusableError("no picture in this row")
        return decode(found["bytes"] or read_content(Path(found["path"])), frame)


@lru_cache(maxsize=1)
def _load_hub(source: HubSource) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError("the package `datasets` is missing", "install it: pip install 'twinsplit[hub]'") from error
    try:
        local = Path(source.name).exists()
        found = datasets.load_from_disk(source.name) if local else datasets.load_dataset(source.name, split=source.split)
    except Exception as error:  # network, cache and format errors have no common base
        what = (str(error).splitlines() or [""])[0]
        raise InputError(f"the data set {source.name} cannot be read: {what}", "give a folder of `save_to_disk`, or a hub name") from error
    return _image_column(found[source.split] if isinstance(found, dict) and source.split in found else found, source)


def _image_column(found: Any, source: HubSource) -> Any:
    from datasets import Image as ImageFeature

    if isinstance(found, dict):
        raise InputError(f"{source.name} has the splits {', '.join(found)}", "name one of them with --split")
    if not isinstance(found.features.get(source.column), ImageFeature):
        columns = ", ".join(found.features)
        raise InputError(f"{source.name} has no image column {source.column} (it has: {columns})", "name one with --column")
    return found.select_columns(source.column).cast_column(source.column, ImageFeature(decode=False))
