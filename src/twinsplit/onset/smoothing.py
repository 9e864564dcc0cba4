"""A learning curve made smooth: a penalised spline in log step that is one matrix, and how smooth the curve is likely to be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twinsplit.measures.statistics import Array, finite

ORDER = 4  # of the penalised differences
SEGMENTS = 40  # more than a curve can use: the penalty decides
DIFFERENCES = np.diff(np.eye(SEGMENTS + 3), ORDER, axis=0)


@dataclass(frozen=True, eq=False)
class Smoother:
    """A penalised cubic B-spline as a matrix: `matrix` (G, n) takes n values at `knots` (n,) to G values on `grid` (G,).

    at_knots (n, n): the same at the knots themselves. rough (G, r): times r independent normals of the residual standard deviation, what
    smoothing may have removed from the true curve. freedom: the trace of at_knots, the effective number of parameters.
    """

    knots: Array
    grid: Array
    matrix: Array
    at_knots: Array
    rough: Array
    penalty: float

    @property
    def freedom(self) -> float:
        """The effective number of parameters."""
        return float(np.trace(self.at_knots))

    def residual_variance(self, y: Array) -> float:
        """Variance of one checkpoint about the smooth curve of y (n,): squared residuals over n - freedom (Wahba 1983)."""
        residual = y - self.at_knots @ y
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


def smoother(x: ArrayLike, grid: ArrayLike, penalty: float) -> Smoother:
    """The P-spline (Eilers and Marx 1996) at x (n,), n >= 5, with a penalty on fourth differences, on a grid (G,) inside x.

    Fourth differences leave cubics unpenalised, so heavy smoothing flattens the noise and neither a valley nor its lopsidedness: the
    place of a minimum is much steadier than with the usual second differences (docs/lab-notes.md). The matrix does not depend on the
    values, so a resampled curve is smoothed by one product. `rough` completes the posterior covariance of Wahba (1983): it covers the bias.
    """
    x, grid = finite(x, 1), finite(grid, 1)
    B, over_grid = (spline_basis(v, x[0], x[-1], SEGMENTS) for v in (x, grid))
    # by QR, not from the normal equations: those lose the unpenalised cubics when the penalty is large, and a parabola its minimum
    q, r = np.linalg.qr(np.concatenate([B, np.sqrt(penalty) * DIFFERENCES]))
    coefficients = np.linalg.solve(r, q.T)
    of_values, of_differences = coefficients[:, : len(x)], coefficients[:, len(x) :]
    return Smoother(x, grid, over_grid @ of_values, B @ of_values, over_grid @ of_differences, penalty)


@dataclass(frozen=True, eq=False)
class Penalties:
    """Candidate penalties (m,) and their probabilities (m,) given one curve, when every factor of ten was as likely before."""

    values: Array
    probability: Array

    @property
    def best(self) -> float:
        """The most probable."""
        return float(self.values[np.argmax(self.probability)])

    def quantiles(self, count: int) -> Array:
        """`count` penalties of equal probability (count,)."""
        middle = (np.arange(count) + 0.5) / count
        places = np.searchsorted(np.cumsum(self.probability), middle).clip(max=len(self.values) - 1)
        return np.asarray(self.values[places])


def penalties(x: ArrayLike, y: ArrayLike) -> Penalties:
    """How smooth a curve y (n,) at x (n,) is: restricted maximum likelihood of the spline as a mixed model.

    REML undersmooths less often than cross-validation on a few tens of points (Reiss and Ogden 2009). In coordinates off the cubics
    the values have independent variances s^2 (1 + value / penalty); s is profiled out.
    """
    x, y = finite(x, 1), finite(y, 1)
    value, vector = _rough_part(spline_basis(x, x[0], x[-1], SEGMENTS))
    z = vector.T @ y
    candidates = value.max() * np.geomspace(1e-6, 1e6, 241)
    variance = 1.0 + value / candidates[:, None]
    deviance = len(z) * np.log((z**2 / variance).sum(1) + np.finfo(float).tiny) + np.log(variance).sum(1)
    likelihood = np.exp((deviance.min() - deviance) / 2)
    return Penalties(candidates, likelihood / likelihood.sum())


def _rough_part(B: Array) -> tuple[Array, Array]:
    """The penalised part as a random effect at the knots: eigenvalues (n - 4,) and eigenvectors (n, n - 4) of its covariance.

    Coefficients D'(D D')^-1 u with u white have the differences u; the vectors are orthogonal to the cubics.
    """
    n = len(B)
    rough = B @ np.linalg.pinv(DIFFERENCES)
    cubics = B @ np.vander(np.linspace(-1.0, 1.0, B.shape[1]), ORDER)
    rest = np.linalg.qr(np.concatenate([cubics, np.eye(n)], axis=1))[0][:, ORDER:n]
    value, vector = np.linalg.eigh(rest.T @ rough @ rough.T @ rest)
    along: Array = rest @ vector
    return np.maximum(value, 0.0), along
