"""Built-in images: scikit-learn's handwritten digits, drawn faces in CelebA's layout, and synthetic
classes of known best rates."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.data.images.celeba import ATTRIBUTES, IDENTITIES, IMAGES, PARTITION
from twinsplit.data.images.decoding import Decoded
from twinsplit.data.images.frame import Bytes, Frame
from twinsplit.data.images.listing import Entry, Listing
from twinsplit.data.images.sources import Source
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.runs.files import read_json, write_bytes, write_json, write_many
from twinsplit.runs.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from twinsplit.data.images.drawn_faces import FaceSet
    from twinsplit.data.synthetic import ImageClass

RECIPE, BATCH = "faces.json", 128
DIGITS = Frame(size=None, exact=(8, 8))


@final
@dataclass(frozen=True)
class DigitsSource(Source):
    """1,797 handwritten digits of 8 x 8 pixels and 17 levels, 0..16 (Alpaydin and Kaynak, UCI,
    1998), as scikit-learn carries them."""

    white = 16

    def describe(self) -> dict[str, Any]:
        return {"kind": "digits", "order": "rows of sklearn.datasets.load_digits"}

    def listing(self) -> Listing:
        return Listing(tuple(Entry(f"row {row}") for row in range(len(digits_and_labels()[0]))))

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        pixels = digits_and_labels()[0][int(entry.name.removeprefix("row "))]
        content = pixels.tobytes()
        return Decoded(pixels, len(content), hashlib.sha256(content).hexdigest())

    def labels(self, names: Sequence[str]) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame({"digit": digits_and_labels()[1]})


@final
@dataclass(frozen=True)
class SyntheticSource(Source):
    """The first `count` images of a synthetic class, rounded to 256 levels."""

    kind: "ImageClass"
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1 << 32:  # fresh images begin there
            raise InputError(f"{self.count} images", "make at least 1, and at most 2^32")

    @property
    def frame(self) -> Frame:
        """The frame that keeps their pixels as they are."""
        return Frame(size=None, exact=(self.kind.size, self.kind.size))

    def describe(self) -> dict[str, Any]:
        return self.kind.describe() | {"order": "numbers of the images, from 0"}

    def listing(self) -> Listing:
        return Listing(tuple(Entry(f"image {i}") for i in range(self.count)))

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        import torch

        image = self.kind.images(torch.tensor([int(entry.name.removeprefix("image "))]))[0]
        pixels: Bytes = np.rint(image * self.white).astype(np.uint8)
        content = pixels.tobytes()
        return Decoded(pixels, len(content), hashlib.sha256(content).hexdigest())


def write_faces(out: Path, count: int, faces: "FaceSet", executor: Executor) -> None:
    """Write `count` drawn faces and three tables in CelebA's layout; skip pictures that exist.

    The first 80% of the images are for training, the next 10% for validation and the rest for
    testing, as the partition says.
    """
    if count < 1 or faces.people < 1:
        raise InputError(f"{count} faces of {faces.people} people", "make at least 1 of at least 1")
    recipe = {"made_by": "twinsplit data faces", "count": count, "seed": faces.seed, "people": faces.people}
    _check_raw(out, recipe)
    write_json(out / RECIPE, recipe)
    batches = [_Batch(out / IMAGES, faces, start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    rows: list[tuple[int, dict[str, int]]] = []
    with progress("draw", count) as report:
        for drawn in executor.map(_draw, batches):
            rows.extend(drawn)
            report(len(rows))
    _write_tables(out, rows)


@final
@dataclass(frozen=True)
class _Batch:
    """Images start..stop-1 of a folder of faces."""

    folder: Path
    faces: "FaceSet"
    start: int
    stop: int


def file_name(image: int) -> str:
    """CelebA's name of image number `image`, from 0."""
    return f"{image + 1:06d}.jpg"


def _check_raw(out: Path, recipe: dict[str, Any]) -> None:
    if not out.exists() or (out.is_dir() and all(path.suffix == ".part" for path in out.iterdir())):
        return
    if not (out / RECIPE).is_file() or read_json(out / RECIPE) != recipe:
        raise InputError(f"{out} exists and holds something else", "choose another --out, or remove it")


def _draw(batch: _Batch) -> list[tuple[int, dict[str, int]]]:
    """Draw the missing pictures of a batch; return the identity and the attributes of every picture."""
    from twinsplit.data.images import drawn_faces

    files = {image: batch.folder / file_name(image) for image in range(batch.start, batch.stop)}
    write_many({file: drawn_faces.encoded(batch.faces, image) for image, file in files.items() if not file.exists()})
    return [(batch.faces.identity(image) + 1, batch.faces.labels(image)) for image in files]


def _write_tables(out: Path, rows: list[tuple[int, dict[str, int]]]) -> None:
    names = [file_name(image) for image in range(len(rows))]
    listed = [f"{name} {' '.join(f'{value:2d}' for value in found.values())}" for name, (_, found) in zip(names, rows, strict=True)]
    _write_lines(out / ATTRIBUTES, [str(len(rows)), " ".join(rows[0][1]), *listed])
    _write_lines(out / IDENTITIES, [f"{name} {number}" for name, (number, _) in zip(names, rows, strict=True)])
    _write_lines(out / PARTITION, [f"{name} {max(0, 10 * i // len(rows) - 7)}" for i, name in enumerate(names)])


def _write_lines(path: Path, lines: list[str]) -> None:
    write_bytes(path, "\n".join([*lines, ""]).encode())


@lru_cache(maxsize=1)
def digits_and_labels() -> tuple[Bytes, Bytes]:
    """Images (1797, 1, 8, 8) and digits (1797,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images[:, None].astype(np.uint8), found.target.astype(np.uint8)
