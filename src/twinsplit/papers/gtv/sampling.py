"""What many fitted models learn, what the theory says they learn, and how far the two are apart."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import Literal, final

import torch
from torch import Tensor

from twinsplit.exact.linear.draws import draw
from twinsplit.exact.linear.fit import LinearDenoiser, fit
from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.variance import WeightLaw, few_samples, many_samples
from twinsplit.noise.reference import Noise
from twinsplit.papers.gtv.settings import Setting

SAMPLED_VALUES = 200_000  # numbers per array while sampling: 1.6 MB, which stays in the cache
FITTED_VALUES = 4_000_000  # and while fitting: 32 MB
Predictor = Literal["no variance", "many samples", "few samples"]
PREDICTORS: tuple[Predictor, ...] = ("no variance", "many samples", "few samples")


def chunks(count: int, size: int) -> Iterator[Tensor]:
    """Model names 0..count-1 in pieces of at most `size`, and at least one."""
    return (torch.arange(i, min(i + max(1, size), count)) for i in range(0, count, max(1, size)))


def starts(setting: Setting, noise: Noise, models: Tensor, samples: int) -> Tensor:
    """(K, samples, D) states at the flow's first time; the same for every condition, so that conditions differ by nothing else."""
    sigma = sqrt(float(setting.world.process.variance(setting.flow.times[0])))
    return sigma * noise.child("start").normal(0, models, (samples, setting.features.dimension))


def side_by_side(work: Callable[[Tensor], Tensor], pieces: Iterable[Tensor]) -> Tensor:
    """work(piece) for every piece, joined; as many at once as torch has threads, each on one.

    Threads inside every operation would wait for each other hundreds of times per model, which on busy cores costs more than they save.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return torch.cat(list(pool.map(work, pieces)))
    finally:
        torch.set_num_threads(threads)


def densities(setting: Setting, weights: Tensor, noise: Noise, samples: int) -> Tensor:
    """(K, *cells) density learned by each of K models: its flow's samples, counted."""

    def learned(models: Tensor) -> Tensor:
        denoiser = LinearDenoiser(setting.features, weights[models], setting.world.process)
        return setting.grid.density(setting.flow(denoiser, starts(setting, noise, models, samples)))

    return side_by_side(learned, chunks(len(weights), SAMPLED_VALUES // (samples * setting.features.dimension)))


def fitted(setting: Setting, noise: Noise, models: int) -> Tensor:
    """(models, F, D) weights, one fit per keyed draw of P samples."""

    def fit_some(names: Tensor) -> Tensor:
        draws = draw(setting.world, noise.child("train"), names, setting.P)
        return fit(setting.features, setting.world.process, draws, setting.ridge).weights

    return side_by_side(fit_some, chunks(models, FITTED_VALUES // (setting.P * setting.features.count)))


def oracle_density(setting: Setting, noise: Noise, samples: int) -> Tensor:
    """(*cells) what the same flow makes of the exact denoiser: the data, blurred by its discretisation."""
    x_T = starts(setting, noise, torch.zeros(1, dtype=torch.int64), samples)
    return setting.grid.density(setting.flow(setting.world.oracle, x_T))[0]


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Average density (*cells) under each predictor, and `noise`: the expected distance of two such simulations of one law, halved."""

    average: dict[Predictor, Tensor]
    noise: float


def laws(population: Population, ridge: float, P: int) -> dict[Predictor, WeightLaw]:
    """What each predictor takes the fitted weights to be."""
    many = many_samples(population, ridge, P)
    return {"no variance": many.without_variance(), "many samples": many, "few samples": few_samples(population, ridge, P)}


def predict(setting: Setting, population: Population, noise: Noise, imagined: tuple[int, int]) -> Prediction:
    """The average learned density before anything is fitted. imagined: (models, samples of each) to average over."""
    models, samples = imagined
    average: dict[Predictor, Tensor] = {}
    floor = 0.0
    for name, law in laws(population, setting.ridge, setting.P).items():
        if name == "no variance":
            average[name] = densities(setting, law.mean[None], noise.child("imagined"), 10 * samples)[0]
            continue
        weights = law.draw(noise.child("imagined"), torch.arange(models))
        each = densities(setting, weights, noise.child("imagined"), samples)
        average[name], floor = each.mean(0), sampling_noise(setting, each)
    return Prediction(average, floor)


def sampling_noise(setting: Setting, each: Tensor) -> float:
    """Expected distance of an average over K models (K, *cells) from its limit: half that between its two halves."""
    return 0.5 * float(setting.grid.total_variation(each[0::2].mean(0), each[1::2].mean(0)))


def coarser(setting: Setting, density: Tensor, cells: int) -> Tensor:
    """A density on `cells` cells per coordinate (a divisor): 2-D counts are too few to compare cell by cell."""
    D, factor = density.ndim, setting.grid.cells[0] // cells
    shape = [n for size in density.shape for n in (size // factor, factor)]
    return density.reshape(shape).mean(tuple(range(1, 2 * D, 2)))
