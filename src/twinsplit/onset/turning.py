"""Where a resampled curve is lowest, how surely, and how much it rises from there.

A `Fit` is a smooth curve on a grid of log steps with its resampled versions; a `Place` is where they are lowest. Intervals are the
spread of the resampled curves about the fitted one, stretched by Student's t for the few networks there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinsplit.measures import statistics as st
from twinsplit.measures.statistics import Array, Index
from twinsplit.onset.correlation import Noise
from twinsplit.onset.smoothing import ORDER, Smoother, penalties, smoother

Bounds = tuple[float | None, float | None]
GRID = 400
PENALTIES = 10  # smoothing penalties, of equal probability, that draws are shared among


@dataclass(frozen=True, eq=False)
class Fit:
    """One smooth curve and its resampled versions on a grid of log steps.

    x: log steps of the checkpoints it was fitted to; grid (G,); curve (G,); draws (B, G).
    """

    x: Array
    grid: Array
    curve: Array
    draws: Array

    @property
    def last_inside(self) -> int:
        """The last grid index with a whole checkpoint after it."""
        return int(np.searchsorted(self.grid, self.x[-2], side="right")) - 1


@dataclass(frozen=True)
class Width:
    """How wide intervals are: `level`, and degrees of freedom of Student's t, for the few networks there are."""

    level: float
    degrees: float

    @property
    def stretch(self) -> float:
        """Student's two-sided quantile over the normal one."""
        return st.student_quantile(self.level, self.degrees) / st.student_quantile(self.level, np.inf)

    @property
    def one_sided(self) -> float:
        """Student's one-sided quantile over the normal one."""
        both = 2 * self.level - 1
        return st.student_quantile(both, self.degrees) / st.student_quantile(both, np.inf)

    def around(self, point: float, low: Array, high: Array) -> tuple[float, float]:
        """From what each draw allows, low to high (B,), the interval of `point`; infinite where it is open."""
        below = max(point - st.interval(low, self.level)[0], 0.0)
        above = max(st.interval(high, self.level)[1] - point, 0.0)
        return point - self.stretch * below, point + self.stretch * above


@dataclass(frozen=True, eq=False)
class Smooth:
    """A mean curve (n,) with its smoother, and smoothers of other penalties and laws of noise that are as likely."""

    mean: Array
    fit: Smoother
    others: tuple[Smoother, ...]

    @classmethod
    def of(cls, x: Array, mean: Array, noises: Sequence[Noise] | None = None) -> "Smooth":
        """The most likely penalty and noise, of the laws `noises` (by default all), and PENALTIES equally likely ones."""
        likely, grid = penalties(x, mean, noises), np.linspace(x[0], x[-1], GRID)
        made: dict[tuple[float, int], Smoother] = {}
        for penalty, noise in (likely.likeliest, *likely.quantiles(PENALTIES)):
            made.setdefault((penalty, id(noise)), smoother(x, grid, penalty, noise))

        def chosen(penalty: float, noise: Noise) -> Smoother:
            return made[penalty, id(noise)]

        return cls(mean, chosen(*likely.likeliest), tuple(chosen(*p) for p in likely.quantiles(PENALTIES)))

    def resampled(self, deviation: Array, rng: np.random.Generator, own: bool) -> Fit:
        """The curve, and draws for deviations (B, n) of the mean: each with a likely penalty and with what that smooths away.

        own: add noise from checkpoint to checkpoint, of a likely law. Its variance is as uncertain as its few residuals make it.
        """
        drawn = []
        for part, s in zip(np.array_split(deviation, len(self.others)), self.others, strict=True):
            degrees = max(len(self.mean) - ORDER, 1)
            sd = np.sqrt(s.residual_variance(self.mean) * degrees / rng.chisquare(degrees, (len(part), 1)))
            y = self.mean + part
            if own:
                y = y + sd * rng.standard_normal(y.shape) @ s.noise.root.T
            drawn.append(y @ s.matrix.T + sd * rng.standard_normal((len(y), s.rough.shape[1])) @ s.rough.T)
        return Fit(self.fit.knots, self.fit.grid, self.fit.matrix @ self.mean, np.concatenate(drawn))


@dataclass(frozen=True)
class Turn:
    """The minimum of one curve.

    step: where the smooth curve is lowest, or None when it is lowest at an end of what was measured; reached: it has a minimum with a
    whole checkpoint after it. interval: steps; None on a side where the minimum may lie beyond the checkpoints. flat: where the curve is
    flat about its minimum within its noise, if that is wider than the interval: say "between a and b" then, there is no one minimum.
    """

    step: float | None
    interval: Bounds
    reached: bool
    flat: Bounds | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """Where a curve is lowest from grid index `start` on, and where each of its draws is.

    index: of the curve's minimum; reached: it lies inside; near (B,): log steps of the draws' minima; low, high (B,): the same, infinite
    where the minimum may lie outside what was measured.
    """

    fit: Fit
    start: int
    index: int
    reached: bool
    near: Array
    low: Array
    high: Array

    @property
    def at(self) -> float:
        """Log step of the lowest point, at an end or not."""
        return float(self.fit.grid[self.index])

    def likely(self, width: Width) -> Index:
        """Grid indices in the interval of the minimum."""
        low, high = width.around(self.at, self.near, self.near)
        inside = np.flatnonzero((self.fit.grid >= low) & (self.fit.grid <= high))
        return inside[inside >= self.start]

    def turn(self, width: Width) -> Turn:
        """As steps, open on a side where the interval leaves the checkpoints."""
        low, high = width.around(self.at, self.low, self.high)
        low = -np.inf if low < self.fit.grid[self.start] else low
        high = np.inf if high > self.fit.grid[self.fit.last_inside] else high
        bounds = (float(np.exp(low)) if np.isfinite(low) else None, float(np.exp(high)) if np.isfinite(high) else None)
        step = float(np.exp(self.at)) if self.reached else None
        return Turn(step, bounds, self.reached, self._flat(width, low, high) if self.reached else None)

    def _flat(self, width: Width, low: float, high: float) -> Bounds | None:
        """Steps between which the curve is not surely above its minimum, if they reach beyond log steps low to high."""
        fit = self.fit
        deviation = fit.draws - fit.curve
        spread = np.quantile(np.abs(deviation - deviation[:, [self.index]]), width.level, axis=0) * width.stretch
        above = np.flatnonzero(fit.curve - fit.curve[self.index] > spread)
        first = max(int(above[above < self.index].max(initial=-1)) + 1, self.start)
        last = int(above[above > self.index].min(initial=len(fit.grid))) - 1
        if fit.grid[first] >= low and fit.grid[last] <= high:
            return None
        first = min(first, int(np.searchsorted(fit.grid, max(low, fit.grid[self.start]))))
        last = max(last, int(np.searchsorted(fit.grid, min(high, fit.grid[-1]))))
        return (
            float(np.exp(fit.grid[first])) if first > self.start else None,
            float(np.exp(fit.grid[last])) if last < len(fit.grid) - 1 else None,
        )


def place(fit: Fit, start: int) -> Place:
    """The lowest point at or after grid index `start`; at `start` itself the curve only rises, near the end it still falls."""
    index, drawn = start + int(np.argmin(fit.curve[start:])), start + np.argmin(fit.draws[:, start:], axis=1)
    near = fit.grid[drawn]
    low = np.where(drawn <= start, -np.inf, near)
    high = np.where(drawn > fit.last_inside, np.inf, near)
    return Place(fit, start, index, start < index <= fit.last_inside, near, low, high)


def first_peak(curve: Array) -> int:
    """Index of the first local maximum of a curve (G,): 0 if it falls from the start, the last if it never falls."""
    falls = np.flatnonzero(np.diff(curve) < 0)
    return int(falls[0]) if len(falls) else len(curve) - 1


@dataclass(frozen=True)
class Change:
    """The growth of a positive curve from its lowest point to another, as a difference of logarithms with half-widths of its intervals."""

    log: float = 0.0
    one_sided: float = 0.0
    two_sided: float = 0.0

    @property
    def growth(self) -> float:
        """Relative growth: 0.1 is ten per cent."""
        return float(np.expm1(self.log))

    @property
    def at_least(self) -> float:
        """The one-sided lower bound of the growth."""
        return float(np.expm1(self.log - self.one_sided))

    @property
    def interval(self) -> tuple[float, float]:
        """The two-sided interval of the growth."""
        return float(np.expm1(self.log - self.two_sided)), float(np.expm1(self.log + self.two_sided))


def change(lowest: Place, anchor: int, width: Width) -> Change:
    """From the lowest point to grid index `anchor` of the same curve, which is that of a logarithm.

    The lowest point was chosen for being low, which flatters any rise from it. The bounds hold for every place in its interval together:
    half-widths in proportion to each place's own spread, times a quantile over draws of the largest of the deviations so scaled.
    """
    if anchor == lowest.index:
        return Change()
    likely = lowest.likely(width)
    places = likely[likely < anchor] if anchor > lowest.index else likely[likely > anchor]
    fit = lowest.fit
    deviation = fit.draws - fit.curve
    against = deviation[:, [anchor]] - deviation[:, places]
    scale = np.quantile(np.abs(against), 0.6827, axis=0) + np.finfo(float).tiny
    own = scale[places == lowest.index][0]
    one = np.quantile((against / scale).max(1), width.level) * own * width.one_sided
    two = np.quantile((np.abs(against) / scale).max(1), width.level) * own * width.stretch
    return Change(float(fit.curve[anchor] - fit.curve[lowest.index]), float(one), float(two))
