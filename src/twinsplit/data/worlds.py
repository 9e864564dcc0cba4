"""Built-in images: scikit-learn's handwritten digits, which are in the package, and drawn faces in CelebA's layout."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.data.decoding import Decoded
from twinsplit.data.frame import Bytes, Frame
from twinsplit.data.listing import Entry, Listing
from twinsplit.data.sources import Source

if TYPE_CHECKING:
    import pandas as pd

DIGITS = Frame(size=None, exact=(8, 8))


@final
@dataclass(frozen=True)
class DigitsSource(Source):
    """1,797 handwritten digits of 8 x 8 pixels and 17 levels, 0..16 (Alpaydin and Kaynak, UCI, 1998), as scikit-learn carries them."""

    white = 16

    def describe(self) -> dict[str, Any]:
        return {"kind": "digits", "order": "rows of sklearn.datasets.load_digits"}

    def listing(self) -> Listing:
        return Listing(tuple(Entry(f"row {row}") for row in range(len(_digits()[0]))))

    def decode(self, entry: Entry, frame: Frame) -> Decoded:
        pixels = _digits()[0][int(entry.name.removeprefix("row "))]
        content = pixels.tobytes()
        return Decoded(pixels, len(content), hashlib.sha256(content).hexdigest())

    def labels(self, names: Sequence[str]) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame({"digit": _digits()[1]})


@lru_cache(maxsize=1)
def _digits() -> tuple[Bytes, Bytes]:
    """Images (1797, 1, 8, 8) and digits (1797,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images[:, None].astype(np.uint8), found.target.astype(np.uint8)
