"""Linear twins: the one world where the onset has an exact answer. Their divergence against P, and the calibration of `find_onset`.

gtv-twins draws both: the divergence, predicted and measured, against P and along training.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from twinsplit.diffusion.continuous import VariancePreserving
from twinsplit.exact.linear.draws import World, draw
from twinsplit.exact.linear.features import GaussianBumps, same_axes
from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.twin_fits import Examination, TwinWorld, sample_split_divergence
from twinsplit.exact.linear.variance import few_samples, many_samples
from twinsplit.noise.reference import Noise
from twinsplit.onset.decision import Curves, Onset, find_onset
from twinsplit.papers.gtv.drawings import CAVITY, EXACT, MEASURED, SANDWICH, Tables, canvas, values
from twinsplit.papers.gtv.sampling import fitted
from twinsplit.papers.gtv.settings import HALF, Line, Setting, points
from twinsplit.papers.scales import Scale, at_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


@final
@dataclass(frozen=True)
class Twins:
    """Sizes P and fits per size; features per coordinate; and the repeated trainings."""

    sizes: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048, 4096)
    models: int = 200
    features: int = 16
    calibration: Calibration = field(default_factory=Calibration)


TWINS: dict[Scale, Twins] = {
    "smoke": Twins((32, 256), 30, 8, Calibration(repetitions=3, members=6, positions=200, draws=200)),
    "laptop": Twins(models=100, calibration=Calibration(repetitions=40)),
    "paper": Twins(),
}


def size_row(setting: Setting, population: Population, noise: Noise, models: int) -> dict[str, float]:
    """KL between two fits on different noisy samples, in nats: over fits, with a standard error, and in closed form."""
    weights = fitted(setting, noise, models)
    S = population.gram(population.snr)
    gap = weights[0::2] - weights[1::2]
    each = 0.5 * torch.einsum("kfd,fg,kgd->k", gap, S, gap)
    laws = {"few samples": few_samples, "many samples": many_samples}
    closed = {k: sample_split_divergence(population, law(population, setting.ridge, setting.P).covariance) for k, law in laws.items()}
    return {"P": float(setting.P), "measured": float(each.mean()), "error": float(each.std()) / len(each) ** 0.5, **closed}


def twins_tables(scale: str, seed: int = 0) -> Tables:
    """Divergence against P; the exact curves along training; one measured run; every repetition of the calibration."""
    twins, noise = at_scale(TWINS, scale), Noise(seed, "gtv twins")
    base = replace(Line(), features=twins.features).setting(1e-2, twins.sizes[0])
    population = Population(base.features, base.world)
    sizes = [size_row(replace(base, P=P), population, noise, twins.models) for P in twins.sizes]
    truth, repetitions = calibrate(twins.calibration, seed)
    calibration_noise = Noise(seed, "calibration")
    run = repetition(twins.calibration, twins.calibration.twins(calibration_noise), calibration_noise, 0)
    exact = {"step": truth.steps.numpy(), "divergence": truth.divergence.numpy(), "test_loss": truth.test_loss.numpy()}
    measured = {"step": run.steps, "divergence": run.divergence.mean((1, 2)), "test_loss": run.test_loss.mean((1, 2))}
    return {"sizes": pa.Table.from_pylist(sizes), "exact": pa.table(exact), "run": pa.table(measured), "calibration": repetitions}


def draw_sizes(ax: "Axes", sizes: pa.Table) -> None:
    """Divergence against P."""
    P = values(sizes, "P")
    ax.errorbar(
        P, values(sizes, "measured"), 2 * values(sizes, "error"), fmt="o", color=MEASURED, ms=4, label="fitted twins, ± 2 standard errors"
    )
    ax.plot(P, values(sizes, "few samples"), color=CAVITY, label="closed form, finite P (cavity)")
    ax.plot(P, values(sizes, "many samples"), color=SANDWICH, ls="--", label="closed form, first order in 1/P")
    ax.set(xscale="log", yscale="log", xlabel="P, samples a twin is fitted to", ylabel="KL between twins (nats)")
    ax.legend(fontsize=7, frameon=False)


def draw_training(ax: "Axes", exact: pa.Table, run: pa.Table) -> None:
    """Both curves along training with their minima."""
    for name, colour, label in (("divergence", CAVITY, "KL between twins"), ("test_loss", MEASURED, "excess test loss")):
        step, curve = values(exact, "step"), values(exact, name)
        lowest = step[int(np.argmin(curve))]
        ax.plot(step, curve, color=colour, lw=1.2, label=f"{label}, exact; minimum at {lowest:.2f}")
        ax.plot(values(run, "step"), values(run, name), "o", color=colour, ms=3, label=f"{label}, one run measured")
        ax.axvline(lowest, color=colour, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="training time (steps x learning rate)", ylabel="nats")
    ax.legend(fontsize=7, frameon=False)


def draw_coverage(ax: "Axes", rows: pa.Table, exact: pa.Table) -> None:
    """The nominal 90% intervals of the onset, sorted, around the exact onset."""
    step, curve = values(exact, "step"), values(exact, "divergence")
    table = rows.sort_by("onset_low").to_pydict()
    low, high = ([edge if v is None else v for v in table[k]] for k, edge in (("onset_low", step[0]), ("onset_high", step[-1])))
    colours = [EXACT if covered else MEASURED for covered in table["onset_covered"]]
    ax.hlines(range(len(low)), low, high, colors=colours, lw=1)
    ax.axvline(step[int(np.argmin(curve))], color=CAVITY, lw=1, label="exact onset")
    ax.set(xscale="log", xlabel="training time (steps x learning rate)", ylabel="repetition, by lower end")
    ax.set_xticks([0.1, 0.2, 0.5, 1.0, 2.0], ["0.1", "0.2", "0.5", "1", "2"])
    ax.minorticks_off()
    ax.set_title(f"90% intervals of the onset: {100 * np.mean(table['onset_covered']):.0f}% of {len(low)} hold it", fontsize=9)
    ax.legend(fontsize=7, frameon=False, loc="lower right")


def draw_twins(tables: Tables) -> "Figure":
    """Divergence against P, curves along training, and the calibration of `find_onset`."""
    figure, axes = canvas(1, 3, (4.2, 3.4))
    draw_sizes(axes[0, 0], tables["sizes"])
    draw_training(axes[0, 1], tables["exact"], tables["run"])
    draw_coverage(axes[0, 2], tables["calibration"], tables["exact"])
    return figure
