"""The reference arrays of the published code: the whole file where it is at hand, and a few arrays that always are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

FIXTURE = Path(__file__).parent / "fixtures" / "linear_features_small.npz"
PLACES = (Path(__file__).parents[2] / "shared", Path("/work/shared"))


def small(name: str) -> Tensor:
    """An array of the small fixture that travels with the tests, float64."""
    with np.load(FIXTURE) as arrays:
        return torch.from_numpy(arrays[name]).double()


def full(name: str) -> Tensor:
    """An array of the whole reference file, float64; skips, and says so, where that file is not at hand."""
    for place in PLACES:
        path = place / "reference" / "linear_features.npz"
        if path.exists():
            with np.load(path) as arrays:
                return torch.from_numpy(arrays[name]).double()
    pytest.skip("shared/reference/linear_features.npz is not beside this checkout: the small fixture is tested instead")
