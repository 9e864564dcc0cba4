"""Normalisation of a split: its mean and a scale, fitted once, recorded, and applied to every image
its model sees."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.runs.files import encode_tensors, write_bytes

Kind = Literal["none", "channel", "image"]
AXES = {"channel": (0, 2, 3), "image": (0,)}


@final
@dataclass(frozen=True, eq=False)
class Normalisation:
    """x -> (x - mean) / scale, and back.

    mean: float32 (C, 1, 1) or (C, H, W), of one split. scale: positive. kind: what the mean is
    over. A model is evaluated with the normalisation of its own split, never with that of the
    images it is shown.
    """

    mean: Tensor
    scale: float = 1.0
    kind: Kind = "channel"

    def __post_init__(self) -> None:
        if self.mean.ndim != 3 or not bool(torch.isfinite(self.mean).all()):
            raise InputError(f"a mean of shape {tuple(self.mean.shape)}", "give finite numbers of shape (C, 1, 1) or (C, H, W)")
        if not 0 < self.scale < float("inf"):
            raise InputError(f"a scale of {self.scale}", "choose a positive number")

    @classmethod
    def fit(cls, images: Tensor, kind: Kind = "channel", scale: float = 1.0) -> "Normalisation":
        """Fit to a split (n, C, H, W): the mean level of each channel (as published, [BG], [WDM]),
        the mean image, or none (zero)."""
        if images.ndim != 4 or not len(images):
            raise InputError(f"images of shape {tuple(images.shape)}", "give at least one, as (n, C, H, W)")
        if kind == "none":
            return cls(torch.zeros(images.shape[1], 1, 1), scale, kind)
        return cls(images.double().mean(AXES[kind], keepdim=True)[0].float(), scale, kind)

    def apply(self, images: Tensor) -> Tensor:
        """(n, C, H, W) images as the model sees them."""
        return (images - self.mean.to(images)) / self.scale

    def invert(self, normalised: Tensor) -> Tensor:
        """(n, C, H, W) outputs of the model as images."""
        return normalised * self.scale + self.mean.to(normalised)

    def to_json(self) -> dict[str, Any]:
        """All fields as plain data; float32 numbers survive JSON to the bit."""
        return {"kind": self.kind, "scale": self.scale, "mean": self.mean.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Normalisation":
        """Read what `to_json` returned."""
        try:
            return cls(torch.tensor(value["mean"], dtype=torch.float32), float(value["scale"]), _kind(value["kind"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a normalisation: {error}", "restore the file that twinsplit wrote") from error

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        write_bytes(path, encode_tensors({"mean": self.mean}, {"kind": self.kind, "scale": self.scale}))

    @classmethod
    def load(cls, path: Path) -> "Normalisation":
        """Read a file that `save` wrote."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                note = json.loads(file.metadata()["twinsplit"])
                return cls(file.get_tensor("mean"), float(note["scale"]), _kind(note["kind"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a normalisation: {error}", "restore it from a copy, or fit it again") from error


def _kind(name: Any) -> Kind:
    if name not in ("none", "channel", "image"):
        raise ValueError(f"kind {name!r}")
    kind: Kind = name
    return kind
