"""Histograms: unit integrals in any dimension, cells where NumPy has them, and nothing counted from outside."""

import numpy as np
import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.measures.histograms import Grid
from twinsplit.noise.reference import Noise


@pytest.mark.parametrize("D", [1, 2, 3])
def test_every_density_integrates_to_one(D: int) -> None:
    grid = Grid.cube(1.5, 7, D)
    density = grid.density(Noise(0, "h").normal(0, torch.arange(4), (300, D)))
    torch.testing.assert_close(grid.integral(density), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(density.sum(tuple(range(1, D + 1))) * (3 / 7) ** D, torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("D", [1, 2])
def test_counts_are_numpys(D: int) -> None:
    grid = Grid((-1.0,) * D, (2.0, 1.0)[:D], (6, 5)[:D])
    x = Noise(0, "n").normal(0, torch.arange(3), (500, D))
    edges = [np.linspace(low, high, n + 1) for low, high, n in zip(grid.low, grid.high, grid.cells, strict=True)]
    for counts, sample in zip(grid.counts(x), x, strict=True):
        assert np.array_equal(counts.numpy(), np.histogramdd(sample.numpy(), edges)[0])


def test_centred_cells() -> None:
    grid = Grid.around(-1.5, 1.5, 200)
    torch.testing.assert_close(grid.centres(), torch.linspace(-1.5, 1.5, 200, dtype=torch.float64))


def test_nothing_outside_is_counted() -> None:
    grid = Grid.cube(1.0, 2, 1)
    x = torch.tensor([[-1.0], [1.0], [5.0], [float("nan")], [0.5], [-1e300]], dtype=torch.float64)
    assert grid.counts(x).tolist() == [1, 1]
    assert grid.density(x[2:3]).tolist() == [0, 0]


def test_total_variation() -> None:
    grid = Grid.cube(1.0, 4, 1)
    left, right = torch.tensor([2.0, 0, 0, 0]), torch.tensor([1.0, 1, 0, 0])
    assert grid.total_variation(left, right) == 0.5
    assert grid.total_variation(left, left) == 0


def test_empty_boxes_are_refused() -> None:
    with pytest.raises(InputError, match="low < high"):
        Grid((1.0,), (1.0,), (3,))
