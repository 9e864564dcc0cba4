"""gtv-twins: the divergence of linear twins, predicted and measured, against P and along training."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

import numpy as np
import pyarrow as pa
import torch

from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.twin_fits import sample_split_divergence
from twinsplit.exact.linear.variance import few_samples, many_samples
from twinsplit.noise.reference import Noise
from twinsplit.papers.gtv.drawings import CAVITY, EXACT, MEASURED, SANDWICH, canvas, values
from twinsplit.papers.gtv.sampling import fitted
from twinsplit.papers.gtv.settings import Line, Scale, Setting, preset
from twinsplit.papers.gtv.twins import Calibration, calibrate, repetition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twinsplit.papers.gtv.tables import Tables


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


def twins_tables(scale: str, seed: int = 0) -> "Tables":
    """Divergence against P; the exact curves along training; one measured run; every repetition of the calibration."""
    twins, noise = preset(TWINS, scale), Noise(seed, "gtv twins")
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


def draw_twins(tables: "Tables") -> "Figure":
    """Divergence against P, curves along training, and the calibration of `find_onset`."""
    figure, axes = canvas(1, 3, (4.2, 3.4))
    draw_sizes(axes[0, 0], tables["sizes"])
    draw_training(axes[0, 1], tables["exact"], tables["run"])
    draw_coverage(axes[0, 2], tables["calibration"], tables["exact"])
    return figure
