"""Pictures of samples, from what a run stores."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.runs.store import Run

Levels = NDArray[np.uint8]
SIDE, GAP = 64, 4  # pixels of a shown picture, at least, and between two of them


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """images, nearest: (K, g, C, H, W) levels 0..255: what each network drew, and the nearest image of its own split (Euclidean).

    finished: (K, g) which of them were drawn to their end; None in runs of before this was recorded.
    """

    images: Levels
    nearest: Levels
    finished: NDArray[np.bool_] | None = None

    @classmethod
    def read(cls, run: Run[Any], step: int) -> "Samples":
        """Those of one checkpoint."""
        found = run.tensors("samples", step)
        finished = found.get("finished")
        return cls(found["images"].numpy(), found["nearest"].numpy(), None if finished is None else finished.numpy())

    @property
    def unfinished(self) -> int | None:
        """How many were not, over all networks."""
        return None if self.finished is None else int((~self.finished).sum())


def pairs_sheet(samples: Samples, first: int, second: int, chosen: list[int]) -> Levels:
    """A column per chosen sample: nearest image of `first`, its sample, the sample of `second`, its nearest image."""
    rows = [samples.nearest[first], samples.images[first], samples.images[second], samples.nearest[second]]
    return sheet([[row[i] for i in chosen] for row in rows])


def sheet(rows: list[list[Levels]]) -> Levels:
    """(H, W, C): pictures (C, h, w) in rows, enlarged by whole pixels, with white between them."""
    shape = rows[0][0].shape
    scale = max(1, -(-SIDE // shape[1]))
    height, width = shape[1] * scale + GAP, shape[2] * scale + GAP
    page = np.full((len(rows) * height - GAP, len(rows[0]) * width - GAP, shape[0]), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            large = picture.repeat(scale, 1).repeat(scale, 2).transpose(1, 2, 0)
            page[i * height : i * height + large.shape[0], j * width : j * width + large.shape[1]] = large
    return page


def encoded(page: Levels) -> bytes:
    """A page (H, W, C) as PNG."""
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(page[..., 0] if page.shape[-1] == 1 else page).save(stream, "PNG")
    return stream.getvalue()
