"""How a curve's noise may go from checkpoint to checkpoint: independent or correlated, even or growing.

Neighbouring checkpoints of one training run, or moving averages of weights, share their noise. A smoother that takes it for independent
follows it and finds turns where there are none. So every curve is fitted under several laws of its noise, and how likely each of them is
comes from the same restricted likelihood as the penalty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from twinsplit.measures.statistics import Array

LENGTHS = (1.0, 2.5)  # correlation lengths in checkpoint spacings: of log step, as moving averages over a share of the steps have
SHARES = (0.02, 0.06, 0.2)  # correlation lengths in steps, as shares of the range of steps
GROWTHS = (1.0, 4.0)  # standard deviation at the last checkpoint over that at the first


@dataclass(frozen=True, eq=False)
class Noise:
    """A law of the noise at n checkpoints, up to its variance: root (n, n) takes independent normals to it, white (n, n) takes it back.

    log_determinant: of its covariance root @ root.T.
    """

    root: Array
    white: Array
    log_determinant: float


def independent(n: int) -> Noise:
    """Independent noise of one standard deviation at n checkpoints."""
    return Noise(np.eye(n), np.eye(n), 0.0)


def laws(x: Array) -> Iterator[Noise]:
    """The laws that are considered at log steps x (n,): independent first, then Ornstein-Uhlenbeck in log step and in step."""
    steps, spacing = np.exp(x - x[-1]), float(np.median(np.diff(x)))
    clocks = [None, *(x / (length * spacing) for length in LENGTHS), *(steps / (share * (1 - steps[0])) for share in SHARES)]
    for clock, growth in product(clocks, GROWTHS):
        yield _noise(clock, growth ** ((x - x.mean()) / (x[-1] - x[0])))


def _noise(clock: Array | None, scale: Array) -> Noise:
    """Noise of standard deviation `scale` (n,) whose correlation is exp(-|difference of the clock|): a chain, so both roots are exact."""
    n = len(scale)
    keep = np.zeros(n) if clock is None else np.r_[0.0, np.exp(-np.diff(clock))]
    fresh = np.sqrt(1.0 - keep**2)
    white = np.diag(1.0 / fresh) - np.diag(keep[1:] / fresh[1:], -1)
    root = scale[:, None] * np.linalg.inv(white)
    return Noise(root, white / scale, float(2 * (np.log(fresh) + np.log(scale)).sum()))
