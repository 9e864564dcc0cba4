"""Files that commands are given, written without twinsplit: another code's data and checkpoints, a feature network, plain arrays.

python props.py sequences SEQUENCES.npy OUT | features OUT.pt | pixels OUT.npy | hub OUT
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

EPOCHS = (1, 2, 4, 8, 16, 32)
SPLITS = 4
SETTINGS: dict[str, Any] = {"q": 4, "l": 3, "T": 50, "d_model": 16, "num_layers": 2, "nhead": 2, "n": 6, "batch_size": 4, "lr": 3e-4}


class Encoder(nn.Module):
    """The network of *Biased Generalization*, under names that `import checkpoints` knows (docs/import.md)."""

    def __init__(self, q: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(q, width)
        self.pos_embedding = nn.Parameter(torch.randn(1, length, width))
        self.time_proj = nn.Linear(32, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.output_proj = nn.Linear(width, q)


def weights(seed: int) -> dict[str, torch.Tensor]:
    """Of a network that has learned nothing; PyTorch copies one layer `layers` times, so every weight is shaken."""
    torch.manual_seed(seed)
    network = Encoder(SETTINGS["q"], 2 ** SETTINGS["l"], SETTINGS["d_model"], SETTINGS["num_layers"], SETTINGS["nhead"])
    return {name: value + 0.1 * torch.randn_like(value) for name, value in network.state_dict().items()}


def sequences(source: Path, out: Path) -> None:
    """OUT/dataset.npy, an object array of lists, and OUT/results/seed_I/model_epoch_E.pt with full_params.json."""
    tokens = np.load(source)
    array = np.empty(len(tokens), dtype=object)
    array[:] = [row.tolist() for row in tokens]
    out.mkdir(parents=True)
    np.save(out / "dataset.npy", array, allow_pickle=True)
    for split in range(SPLITS):
        folder = out / "results" / f"seed_{split}"
        folder.mkdir(parents=True)
        (folder / "full_params.json").write_text(json.dumps(SETTINGS | {"seed": split}), encoding="utf-8")
        for epoch in EPOCHS:
            torch.save({"epoch": epoch, "model_state_dict": weights(100 * split + epoch)}, folder / f"model_epoch_{epoch}.pt")


def features(out: Path) -> None:
    """A TorchScript module from images (n, 1, 8, 8) to three features."""
    torch.manual_seed(0)
    out.parent.mkdir(parents=True)
    module: Any = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    module.save(str(out))


def pixels(out: Path) -> None:
    """Colour images (40, 12, 12, 3)."""
    out.parent.mkdir(parents=True)
    np.save(out, noise())


def hub(out: Path) -> None:
    """Some of them as a data set of Hugging Face."""
    import datasets

    pictures = {"picture": [Image.fromarray(one) for one in noise()[:8]]}
    datasets.Dataset.from_dict(pictures, features=datasets.Features({"picture": datasets.Image()})).save_to_disk(out)


def noise() -> NDArray[np.uint8]:
    """Colour images of noise."""
    return np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)


WRITERS: dict[str, Callable[..., None]] = {"sequences": sequences, "features": features, "pixels": pixels, "hub": hub}

if __name__ == "__main__":
    WRITERS[sys.argv[1]](*map(Path, sys.argv[2:]))
