"""Learning curves with a known answer: twins whose disagreement and test loss turn where we say.

A member has its own turning steps, level and rate of rise; a pair takes the mean of its two members' and adds its own noise. At every
checkpoint the optimiser moves each member and each pair independently. Sequences differ in difficulty, the same at every checkpoint, as
they do when the held-out set and its noise are fixed. The numbers are those of a prototype (depth-3 grammar, n = 256; see docs/onset.md).
"""

from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from twinsplit.onset.decision import Curves

Array = NDArray[np.float64]
FINE = np.linspace(np.log(20.0), np.log(5000.0), 4001)


@dataclass(frozen=True)
class World:
    """The population that members are drawn from.

    divergence_turn, loss_turn: steps, None for a curve that never turns; flat: both curves are constant. The standard deviations are over
    members (turns and levels, in log units), over checkpoints (`*_noise`: nats) and over sequences (log units; nats for the loss).
    correlation_steps: optimizer noise is an Ornstein-Uhlenbeck process of that many steps; noise_growth: its standard deviation at the
    last checkpoint over that at the first. dip: the step at which networks that have learned nothing agree best, before the peak.
    rate_drop: the step at which the learning rate falls: the loss falls at once, then rises slowly, without any bias.
    """

    divergence_turn: float | None = 450.0
    loss_turn: float | None = 2000.0
    flat: bool = False
    together: bool = False
    steps: Array = field(default_factory=lambda: np.geomspace(20.0, 5000.0, 30))
    divergence_turn_sd: float = 0.2
    loss_turn_sd: float = 0.15
    level_sd: float = 0.06
    rate_sd: float = 0.15
    member_noise: float = 0.011
    pair_noise: float = 0.015
    loss_noise: float = 0.003
    sequence_sd: float = 0.8
    sequence_slope_sd: float = 0.1
    loss_sequence_sd: float = 0.3
    correlation_steps: float = 0.0
    noise_growth: float = 1.0
    dip: float | None = None
    rate_drop: float | None = None


@dataclass(frozen=True)
class Members:
    """What was drawn for each of K members, all (K,): log turning steps, log level, rate of the rise, loss level."""

    divergence_turn: Array
    loss_turn: Array
    level: Array
    rate: Array
    loss_level: Array


@dataclass(frozen=True)
class Drawn:
    """Curves, with the noiseless turning steps of exactly these networks (None where there is no turn)."""

    curves: Curves
    onset: float | None
    loss_minimum: float | None


def draw_members(world: World, count: int, rng: np.random.Generator) -> Members:
    """Members of the world; in a world where the curves turn together a member has one turning step for both."""
    early = rng.normal(0.0, 1.0, count)
    late = early if world.together else rng.normal(0.0, 1.0, count)
    late_sd = world.divergence_turn_sd if world.together else world.loss_turn_sd
    return Members(
        np.log(world.divergence_turn or 1e9) + world.divergence_turn_sd * early,
        np.log(world.loss_turn or 1e9) + late_sd * late,
        rng.normal(0.0, world.level_sd, count),
        np.exp(rng.normal(0.0, world.rate_sd, count)),
        rng.normal(0.0, 0.005, count),
    )


def valley(u: Array, down: float, up: Array | float) -> Array:
    """A smooth, lopsided valley: 0 at its lowest point u = 0, falling into it at rate `down` and leaving it at rate `up` (per log step)."""
    return (up * np.exp(-down * u) + down * np.exp(up * u)) / (down + up) - 1.0


def saturated(height: Array, u: Array, top: float) -> Array:
    """`height`, but levelling off at `top` on the way into the valley (u < 0)."""
    return np.where(u < 0, top * -np.expm1(-height / top), height)


def true_divergence(world: World, x: Array, turn: Array, level: Array, rate: Array) -> Array:
    """Noiseless nats (len(x), P) at log step x: small at the start, a peak near 1.1, 0.42 at the turn, 0.58 a factor 4.5 later."""
    if world.flat:
        return 0.42 * np.exp(np.broadcast_to(level, (len(x), len(level))))
    ramp = 1.0 - np.exp(-((np.exp(x) / 30.0) ** 2))[:, None] if world.dip is None else dipped(x, world.dip)[:, None]
    if world.divergence_turn is None:
        return ramp * np.exp(level) * (0.30 + 1.2 * np.exp(-((x[:, None] - np.log(60.0)).clip(0.0)) / 1.3))
    u = x[:, None] - turn
    return ramp * 0.42 * np.exp(level + saturated(0.13 * valley(u, 1.4, 1.2 * rate), u, 1.6))


def dipped(x: Array, dip: float) -> Array:
    """A factor of the divergence at log step x: 1 before anything is learned, 0.35 at the step `dip`, 1 from a factor 4 later on."""
    u = (x - np.log(dip)) / 0.6
    return 1.0 - 0.65 * np.exp(-(u**2) / 2)


def true_loss(world: World, x: Array, turn: Array, level: Array) -> Array:
    """Noiseless nats (len(x), K): from about 1.79 down to 1.318, then overfitting."""
    if world.flat:
        return np.broadcast_to(1.32 + level, (len(x), len(level)))
    if world.loss_turn is None:
        return 1.28 + level + 0.5 * np.exp(-(x[:, None] - np.log(20.0)) / 1.6)
    v = x[:, None] - turn
    if world.rate_drop is not None:
        since = (x[:, None] - np.log(world.rate_drop)).clip(0.0)
        return 1.33 + level + 0.5 * np.exp(-(x[:, None] - np.log(20.0)) / 1.3) - 0.02 * (since > 0) + 0.008 * since
    return 1.318 + level + saturated(0.01 * valley(v, 1.45, 2.0), v, 0.47)


def lowest(x: Array, curve: Array, turns: float | None) -> float | None:
    """The step of the minimum of a noiseless curve after step 60."""
    late = x > np.log(60.0)
    return None if turns is None else float(np.exp(x[late][np.argmin(curve[late])]))


def noiseless(world: World, members: Members, x: Array, pairs: NDArray[np.intp]) -> tuple[Array, Array]:
    """(len(x), P) divergences and (len(x), K) losses without optimiser or sequence noise."""
    i, j = pairs.T
    mean = [(v[i] + v[j]) / 2 for v in (members.divergence_turn, members.level, members.rate)]
    return true_divergence(world, x, *mean), true_loss(world, x, members.loss_turn, members.loss_level)


def truth(world: World, members: Members, pairs: NDArray[np.intp]) -> tuple[float | None, float | None]:
    """The turning steps of the mean noiseless curves of these members."""
    divergence, loss = noiseless(world, members, FINE, pairs)
    return lowest(FINE, divergence.mean(1), world.divergence_turn), lowest(FINE, loss.mean(1), world.loss_turn)


def population_truth(world: World) -> tuple[float | None, float | None]:
    """The turning steps of the mean over 2,000 members."""
    members = draw_members(world, 2000, np.random.default_rng(0))
    return truth(world, members, np.arange(2000).reshape(-1, 2))


def along(world: World, white: Array) -> Array:
    """Noise (S, ...) of the world's correlation and growth along its checkpoints, from independent normals."""
    log = np.log(world.steps)
    scale = world.noise_growth ** ((log - log[-1]) / (log[-1] - log[0]) + 0.5)
    if not world.correlation_steps:
        return white * scale.reshape(-1, *[1] * (white.ndim - 1))
    kept = np.r_[0.0, np.exp(-np.diff(world.steps) / world.correlation_steps)]
    out = white.copy()
    for s in range(1, len(out)):
        out[s] = kept[s] * out[s - 1] + np.sqrt(1 - kept[s] ** 2) * white[s]
    return out * scale.reshape(-1, *[1] * (white.ndim - 1))


def per_sequence(world: World, divergence: Array, loss: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Spread (S, P) and (S, K) over `count` sequences with mean-one factors that drift slowly along training."""
    clock = np.linspace(-1.0, 1.0, len(divergence))[:, None]
    easy, drift = rng.normal(size=(2, count))
    log_factor = world.sequence_sd * easy + world.sequence_slope_sd * drift * clock
    factor = np.exp(log_factor - (world.sequence_sd**2 + (world.sequence_slope_sd * clock) ** 2) / 2)
    shift = world.loss_sequence_sd * easy + 0.1 * world.sequence_slope_sd * drift * clock
    return divergence[:, :, None] * factor[:, None, :], loss[:, :, None] + shift[:, None, :]


def simulate(world: World, members: int, sequences: int, seed: int) -> Drawn:
    """One experiment: K members on K splits, all pairs, the same held-out sequences at every checkpoint."""
    rng = np.random.default_rng(seed)
    drawn = draw_members(world, members, rng)
    pairs = np.array(list(combinations(range(members), 2)))
    divergence, loss = noiseless(world, drawn, np.log(world.steps), pairs)
    own = world.member_noise * along(world, rng.standard_normal((len(world.steps), members)))
    noise = own[:, pairs].sum(-1) + world.pair_noise * along(world, rng.standard_normal(divergence.shape))
    noisy = divergence + noise * np.minimum(divergence / 0.42, 1.0)  # a divergence near zero has little room to move
    loss = loss + world.loss_noise * along(world, rng.standard_normal(loss.shape))
    of_pairs, of_members = per_sequence(world, noisy.clip(1e-3), loss, sequences, rng)
    return Drawn(Curves(world.steps, of_pairs, pairs, of_members), *truth(world, drawn, pairs))


PHASE = World()
PLATEAU = replace(PHASE, flat=True)
DIPPED = replace(PHASE, dip=15.0, steps=np.geomspace(5.0, 5000.0, 40))
WITHOUT_PHASE = {
    "together": World(divergence_turn=900.0, loss_turn=900.0, together=True),
    "both falling": World(divergence_turn=None, loss_turn=None),
    "only the loss turns": World(divergence_turn=None, loss_turn=1500.0),
    "plateau": PLATEAU,
    "plateau, noise correlated over 300 steps": replace(PLATEAU, correlation_steps=300.0),
    "plateau, noise correlated over 1,000 steps": replace(PLATEAU, correlation_steps=1000.0),
    "plateau, noise grows fourfold": replace(PLATEAU, noise_growth=4.0),
    "members turn at different places": World(
        divergence_turn=900.0, loss_turn=900.0, together=True, divergence_turn_sd=0.4, loss_turn_sd=0.4
    ),
    "dip only": replace(DIPPED, divergence_turn=None, loss_turn=None),
    "dip, then cut while falling": replace(DIPPED, steps=np.geomspace(5.0, 300.0, 24)),
    "dip, then cut at the peak": replace(DIPPED, steps=np.geomspace(5.0, 60.0, 14)),
    "learning rate drops": World(divergence_turn=None, rate_drop=1500.0),
}
