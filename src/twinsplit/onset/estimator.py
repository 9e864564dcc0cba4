"""One estimator of minima for page, figures and claims: smooth all curves of a run, draw them together, and place their minima.

What moves the curves has named sources (the networks, the held-out sequences). A draw takes one vector of normal numbers per source,
and every curve moves with it by its own matrix, so what curves share cancels from the gap between their minima, and no curve depends on
which others are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final
from zlib import crc32

import numpy as np

from twinsplit.measures.statistics import Array
from twinsplit.onset.correlation import independent
from twinsplit.onset.turning import Place, Smooth, first_peak, place


@final
@dataclass(frozen=True, eq=False)
class Track:
    """A mean curve (n,) at log steps x (n,), and by how much each source moves it: name -> (r, n), times r normal numbers.

    falls_first: a rising stretch at the start, the end of an early transient, is left out.
    own: the curve moves from checkpoint to checkpoint by itself, as its values do about the smooth curve.
    """

    name: str
    x: Array
    mean: Array
    moves: Mapping[str, Array]
    falls_first: bool = False
    own: bool = False


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """Where the curves are lowest, by name, with draws that belong together.

    freedom: residual degrees of freedom, of the curve that has fewest.
    """

    places: dict[str, Place]
    freedom: float


def estimate(tracks: Sequence[Track], draws: int, seed: int) -> Estimate:
    """Smooth, draw and place every curve. The same seed gives a curve the same draws in whatever company."""
    # leaving networks out shows how their noise goes along the checkpoints; only without that must the curve itself show it
    smooth = {t.name: Smooth.of(t.x, t.mean, None if t.own else [independent(len(t.x))]) for t in tracks}
    places = {t.name: _placed(t, smooth[t.name], draws, seed) for t in tracks}
    return Estimate(places, max(min(len(s.mean) - s.fit.freedom for s in smooth.values()), 1.0))


def _placed(track: Track, smooth: Smooth, draws: int, seed: int) -> Place:
    deviation = np.zeros((draws, len(track.x)))
    for source, matrix in track.moves.items():
        deviation += _stream(seed, source).standard_normal((draws, len(matrix))) @ matrix
    fit = smooth.resampled(deviation, _stream(seed, track.name), track.own)
    return place(fit, first_peak(fit.curve) if track.falls_first else 0)


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, crc32(name.encode())]))
