"""Linear twins: the one world where the onset has an exact answer. Their divergence against P, and the calibration of `find_onset`."""

from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from twinsplit.diffusion.continuous import VariancePreserving
from twinsplit.exact.linear.draws import World, draw
from twinsplit.exact.linear.features import GaussianBumps, same_axes
from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.twin_fits import Examination, TwinWorld
from twinsplit.noise.reference import Noise
from twinsplit.onset.decision import Curves, Onset, find_onset
from twinsplit.papers.gtv.settings import HALF, points


@final
@dataclass(frozen=True)
class Calibration:
    """Repeated trainings of `members` twins, examined on `positions` new noisy samples at `checkpoints` log-spaced steps."""

    repetitions: int = 200
    members: int = 16
    positions: int = 1000
    checkpoints: int = 30
    P: int = 256
    features: int = 8
    eps: float = 0.1
    ridge: float = 1e-3
    scale: float = 0.03
    first: float = 0.02
    last: float = 200.0
    draws: int = 500
    level: float = 0.9

    @property
    def steps(self) -> Tensor:
        """(S,) training times, in units of the inverse learning rate."""
        return torch.from_numpy(np.geomspace(self.first, self.last, self.checkpoints))

    def world(self) -> World:
        """Three points on a line, as in gtv2."""
        return World(points([(-1,), (0,), (1,)]), VariancePreserving(), (self.eps, 1.0))

    def twins(self, noise: Noise) -> TwinWorld:
        """The inputs that all twins share; their starts and targets are their own."""
        world = self.world()
        features = same_axes(GaussianBumps, 1, self.features, HALF, world.span)
        inputs = draw(world, noise.child("inputs"), torch.zeros(1, dtype=torch.int64), self.P)
        return TwinWorld(world, features, inputs.x_t[0], inputs.t[0], self.ridge, self.scale)


@final
@dataclass(frozen=True, eq=False)
class ExactCurves:
    """Divergence and test loss (S,) averaged over all twins and all noisy samples, at `steps` (S,)."""

    steps: Tensor
    divergence: Tensor
    test_loss: Tensor

    @property
    def onset(self) -> float:
        """Step of the divergence's minimum after its first peak."""
        return self.lowest(self.divergence)

    @property
    def test_minimum(self) -> float:
        """Step of the test loss's minimum."""
        return self.lowest(self.test_loss)

    def lowest(self, curve: Tensor) -> float:
        """Step of the lowest value."""
        return float(self.steps[int(curve.argmin())])


def exact_curves(twins: TwinWorld, steps: Tensor) -> ExactCurves:
    """The curves that no examination is needed for: averages over the population of noisy samples."""
    population = Population(twins.features, twins.world)
    vector = twins.modes[1]
    S = vector.mT @ population.gram(population.snr) @ vector
    oracle = twins.world.oracle(
        population.positions, population.over_time(population.clock[0]).expand(population.positions.shape[:-1])
    ).mean
    cross = torch.stack([vector.mT @ population.vector(population.snr * oracle[..., d]) for d in range(population.D)], -1)
    constant = population.mean(population.snr * oracle.square().sum(-1))
    divergence, loss = [], []
    for s in steps.tolist():
        spread, mean = (S * twins.covariance(s)).sum(), twins.mean(s)
        divergence.append(spread)
        loss.append(0.5 * ((mean * (S @ mean)).sum() - 2 * (mean * cross).sum() + constant + spread))
    return ExactCurves(steps, torch.stack(divergence), torch.stack(loss))


def repetition(setting: Calibration, twins: TwinWorld, noise: Noise, number: int) -> Curves:
    """What one laboratory would measure: its own twins, its own held-out noisy samples."""
    names = number * setting.members + torch.arange(setting.members)
    held_out = draw(setting.world(), noise.child("held out"), torch.tensor([number]), setting.positions)
    examination = Examination(twins, held_out.x_t[0], held_out.t[0])
    divergence, loss = examination.measured(twins.train(noise.child("twins"), names, setting.steps))
    pairs = torch.triu_indices(setting.members, setting.members, 1).T
    return Curves(setting.steps.numpy(), divergence.numpy(), pairs.numpy(), loss.numpy())


def covers(interval: tuple[float | None, float | None], truth: float) -> bool:
    """Whether an interval, open where a bound is None, holds the truth."""
    low, high = interval
    return (low is None or low <= truth) and (high is None or truth <= high)


def outcome(number: int, found: Onset, truth: ExactCurves) -> dict[str, float | bool | str | None]:
    """One row of the calibration table."""
    return {
        "repetition": number,
        "onset": found.onset.step,
        "onset_low": found.onset.interval[0],
        "onset_high": found.onset.interval[1],
        "onset_covered": covers(found.onset.interval, truth.onset),
        "test_minimum": found.test_loss_minimum.step,
        "test_minimum_low": found.test_loss_minimum.interval[0],
        "test_minimum_high": found.test_loss_minimum.interval[1],
        "test_minimum_covered": covers(found.test_loss_minimum.interval, truth.test_minimum),
        "gap_covered": covers(found.gap.log_interval, float(np.log(truth.test_minimum / truth.onset))),
        "verdict": found.verdict,
    }


def calibrate(setting: Calibration, seed: int = 0) -> tuple[ExactCurves, pa.Table]:
    """The exact curves, and one row per repetition: what `find_onset` said, and whether its intervals hold the exact steps."""
    noise = Noise(seed, "calibration")
    twins = setting.twins(noise)
    truth = exact_curves(twins, torch.from_numpy(np.geomspace(setting.first, setting.last, 2000)))
    rows = []
    for number in range(setting.repetitions):
        curves = repetition(setting, twins, noise, number)
        rows.append(outcome(number, find_onset(curves, level=setting.level, draws=setting.draws, seed=number), truth))
    return truth, pa.Table.from_pylist(rows)
