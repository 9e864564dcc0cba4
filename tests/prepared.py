"""Data folders of images, made without decoding anything."""

from pathlib import Path

import numpy as np
import pandas as pd

from twinsplit.data.images.folder import ImageData, load_images, store_images

COUNT = 60


def stored(folder: Path, pixels: np.ndarray, **columns: np.ndarray) -> ImageData:
    files = pd.DataFrame({"name": [f"{i}.png" for i in range(len(pixels))], "bytes": 1, "sha256": "-"})
    store_images(folder, [pixels], pixels.shape, (files, pd.DataFrame(columns) if columns else None), {"white": 255})
    return load_images(folder)


def drawn(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random images, of which row 7 repeats row 1, 30 row 7, and 55 row 20; two attributes and ten identities."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (COUNT, 1, 8, 8), dtype=np.uint8)
    pixels[[7, 30, 55]] = pixels[[1, 1, 20]]
    attributes = {name: generator.choice([-1, 1], COUNT) for name in ("Male", "Young")}
    return pixels, attributes | {"identity": generator.integers(1, 11, COUNT)}
