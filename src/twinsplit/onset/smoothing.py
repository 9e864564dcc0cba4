"""A learning curve made smooth: a penalised spline in log step that is one matrix, and how smooth the curve is likely to be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twinsplit.measures.statistics import Array, finite
from twinsplit.onset.correlation import Noise, independent, laws

ORDER = 4  # of the penalised differences
SEGMENTS = 40  # more than a curve can use: the penalty decides
DIFFERENCES = np.diff(np.eye(SEGMENTS + 3), ORDER, axis=0)
FROM_DIFFERENCES = np.linalg.pinv(DIFFERENCES)  # coefficients with given differences, and the least of everything else
CUBICS = np.vander(np.linspace(-1.0, 1.0, SEGMENTS + 3), ORDER)  # coefficients without any


@dataclass(frozen=True, eq=False)
class Smoother:
    """A penalised cubic B-spline as a matrix: `matrix` (G, n) takes n values at `knots` (n,) to G values on `grid` (G,).

    at_knots (n, n): the same at the knots themselves. rough (G, r): times r independent normals of the residual standard deviation, what
    smoothing may have removed from the true curve. freedom: the trace of at_knots, the effective number of parameters. noise: the law
    of what is not the curve, in units of the residual standard deviation.
    """

    knots: Array
    grid: Array
    matrix: Array
    at_knots: Array
    rough: Array
    penalty: float
    noise: Noise

    @property
    def freedom(self) -> float:
        """The effective number of parameters."""
        return float(np.trace(self.at_knots))

    def residual_variance(self, y: Array) -> float:
        """Variance about the smooth curve of y (n,), in units of the noise: squared whitened residuals over n - freedom (Wahba 1983)."""
        residual = self.noise.white @ (y - self.at_knots @ y)
        return float(residual @ residual / max(len(y) - self.freedom, 1.0))


def spline_basis(x: Array, low: float, high: float, segments: int) -> Array:
    """Values (n, segments + 3) of the uniform cubic B-splines on [low, high] at x (n,), low <= x <= high."""
    u = (x - low) / (high - low) * segments
    k = np.clip(np.floor(u).astype(int), 0, segments - 1)
    t = u - k
    basis = np.zeros((len(x), segments + 3))
    pieces = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    for offset, piece in enumerate(pieces):
        basis[np.arange(len(x)), k + offset] = piece
    return basis


def smoother(x: ArrayLike, grid: ArrayLike, penalty: float, noise: Noise | None = None) -> Smoother:
    """The P-spline (Eilers and Marx 1996) at x (n,), n >= 5, with a penalty on fourth differences, on a grid (G,) inside x.

    Fourth differences leave cubics unpenalised, so heavy smoothing flattens the noise and neither a valley nor its lopsidedness: the
    place of a minimum is much steadier than with the usual second differences (docs/lab-notes.md). The matrix does not depend on the
    values, so a resampled curve is smoothed by one product. `rough` completes the posterior covariance of Wahba (1983): it covers the bias.
    noise: its law along the checkpoints, by default independent and even.
    """
    x, grid = finite(x, 1), finite(grid, 1)
    noise = noise or independent(len(x))
    B, over_grid = (spline_basis(v, x[0], x[-1], SEGMENTS) for v in (x, grid))
    # by QR, not from the normal equations: those lose the unpenalised cubics when the penalty is large, and a parabola its minimum
    q, r = np.linalg.qr(np.concatenate([noise.white @ B, np.sqrt(penalty) * DIFFERENCES]))
    coefficients = np.linalg.solve(r, q.T)
    of_values, of_differences = coefficients[:, : len(x)] @ noise.white, coefficients[:, len(x) :]
    return Smoother(x, grid, over_grid @ of_values, B @ of_values, over_grid @ of_differences, penalty, noise)


@dataclass(frozen=True, eq=False)
class Penalties:
    """Candidate penalties (m,), the laws of the noise (m of them) and their probabilities (m,) given one curve.

    Before, every factor of ten and every law was as likely.
    """

    values: Array
    noises: tuple[Noise, ...]
    probability: Array

    @property
    def best(self) -> float:
        """The most probable penalty."""
        return self.likeliest[0]

    @property
    def likeliest(self) -> tuple[float, Noise]:
        """The most probable penalty with its law of noise."""
        return self._at(int(np.argmax(self.probability)))

    def quantiles(self, count: int) -> list[tuple[float, Noise]]:
        """`count` of them, of equal probability."""
        middle = (np.arange(count) + 0.5) / count
        places = np.searchsorted(np.cumsum(self.probability), middle).clip(max=len(self.values) - 1)
        return [self._at(int(place)) for place in places]

    def _at(self, place: int) -> tuple[float, Noise]:
        return float(self.values[place]), self.noises[place]


CANDIDATES = 61


def penalties(x: ArrayLike, y: ArrayLike, noises: Sequence[Noise] | None = None) -> Penalties:
    """How smooth a curve y (n,) at x (n,) is, and how its noise goes along it: restricted maximum likelihood of a mixed model.

    REML undersmooths less often than cross-validation on a few tens of points (Reiss and Ogden 2009). In whitened coordinates off the
    cubics the values have independent variances s^2 (1 + value / penalty); s is profiled out. noises: the laws that are considered, by
    default all.
    """
    x, y = finite(x, 1), finite(y, 1)
    B = spline_basis(x, x[0], x[-1], SEGMENTS)
    noises = noises or list(laws(x))
    found = [_deviances(B, y, noise) for noise in noises]
    deviance = np.concatenate([d for _, d in found])
    likelihood = np.exp((deviance.min() - deviance) / 2)
    every = tuple(noise for noise in noises for _ in range(CANDIDATES))
    return Penalties(np.concatenate([v for v, _ in found]), every, likelihood / likelihood.sum())


def _deviances(B: Array, y: Array, noise: Noise) -> tuple[Array, Array]:
    """Candidate penalties and -2 ln of their restricted likelihood under one law of the noise."""
    W = noise.white @ B
    q, r = np.linalg.qr(W @ CUBICS)
    rough = W @ FROM_DIFFERENCES
    rough -= q @ (q.T @ rough)
    vector, root, _ = np.linalg.svd(rough, full_matrices=False)
    rank = min(len(y) - ORDER, len(root))
    value, vector = root[:rank] ** 2, vector[:, :rank]
    off = noise.white @ y
    off = off - q @ (q.T @ off)
    z = vector.T @ off
    rest = max(float(off @ off - z @ z), 0.0)
    candidates = value.max() * np.geomspace(1e-6, 1e6, CANDIDATES)
    variance = 1.0 + value / candidates[:, None]
    squares = (z**2 / variance).sum(1) + rest + np.finfo(float).tiny
    fixed = noise.log_determinant + 2 * np.log(np.abs(np.diag(r))).sum()
    return candidates, np.asarray((len(y) - ORDER) * np.log(squares) + np.log(variance).sum(1) + fixed)
