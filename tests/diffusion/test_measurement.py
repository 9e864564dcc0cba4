"""Measurements: orthonormal rows, and constraints that are projections."""

import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.measurement import FREE, BlockMeans, Inpainting, Measured, Measurement, Rows
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

SHAPE = (2, 4, 6)
D = 48


def images(n: int = 3, seed: int = 0) -> Tensor:
    return Noise(seed).normal(0, torch.arange(n), SHAPE)


KINDS: dict[str, Measurement] = {
    "inpainting": Inpainting.hidden_square(SHAPE, 2),
    "some pixels": Inpainting(torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.3),
    "nothing": Inpainting(torch.zeros(SHAPE, dtype=torch.bool)),
    "blocks": BlockMeans(2),
    "rows": Rows.spanning(images(5, 9)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_orthonormal_and_spread_is_the_transpose(kind: str) -> None:
    measurement = KINDS[kind]
    rows = measurement.measure(torch.eye(D).double().reshape(D, *SHAPE)).flatten(1).T
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)).double())
    values = measurement.measure(images())
    torch.testing.assert_close(measurement.spread(values).flatten(1), values.flatten(1) @ rows)
    torch.testing.assert_close(measurement.measure(measurement.spread(values)), values)


def test_blocks_are_means_and_a_hidden_square_is_in_the_middle() -> None:
    x = images()
    assert torch.allclose(BlockMeans(2).measure(x)[0, 1, 0, 2], 2 * x[0, 1, :2, 4:].mean())
    seen = Inpainting.hidden_square(SHAPE, 2).seen
    assert int((~seen).sum()) == 8
    assert not bool(seen[:, 1:3, 2:4].any())


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_step_meets_the_constraint_and_leaves_the_rest_to_the_denoiser(kind: str) -> None:
    measurement, y, residual = KINDS[kind], images(3, 1), images(3, 2)
    wanted = Measured.on(measurement, images())
    done = y - wanted.direction(y, residual)
    assert float(wanted.violation(done).max() if wanted.values.numel() else 0.0) < 1e-12
    free = done - (y - residual)
    torch.testing.assert_close(measurement.spread(measurement.measure(free)), free)
    start = wanted.start(y)
    torch.testing.assert_close(measurement.measure(start), wanted.values)
    torch.testing.assert_close(measurement.spread(measurement.measure(start - y)), start - y)


def test_rows_of_samples_go_with_their_samples() -> None:
    wanted, y, residual = Measured.on(BlockMeans(2), images()), images(3, 1), images(3, 2)
    chosen = torch.tensor([2, 0])
    torch.testing.assert_close(wanted.of(chosen).direction(y[chosen], residual[chosen]), wanted.direction(y, residual)[chosen])
    assert FREE.of(chosen) is FREE
    assert FREE.direction(y, residual) is residual


def test_hostile_input_is_refused() -> None:
    with pytest.raises(InputError, match="blocks of 0"):
        BlockMeans(0)
    with pytest.raises(InputError, match="4 x 6 pixels in blocks of 3"):
        BlockMeans(3).measure(images())
    with pytest.raises(InputError, match="booleans"):
        Inpainting(torch.ones(SHAPE))
    with pytest.raises(InputError, match="hidden square of 5"):
        Inpainting.hidden_square(SHAPE, 5)
    with pytest.raises(InputError, match="images of shape"):
        KINDS["inpainting"].measure(images()[:, :1])
    with pytest.raises(InputError, match="not orthonormal"):
        Rows(images())
    with pytest.raises(InputError, match="linearly independent"):
        Rows.spanning(images()[[0, 1, 0]])
    with pytest.raises(InputError, match="3 rows of measured values for 2 samples"):
        Measured.on(BlockMeans(2), images()).start(images(2))
