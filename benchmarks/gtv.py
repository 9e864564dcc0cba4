"""gtv2 and gtv3, one condition each, against the published notebooks' way in the same process.

The plain reference is written here from the published description: every feature of every sample in one array, a matrix inverse per
model, the denoiser tabulated on a grid of 200 positions per coordinate and read off by `searchsorted`, NumPy throughout. Ours evaluates
the denoiser at every state. Before anything is timed both are fitted to the same draws and must give the same weights, the same
denoiser on the grid (to 1e-9) and, from the same starts, densities as close as the grid allows.

    python benchmarks/gtv.py [--models 8] [--samples 100000] [--threads 2] [--rounds 3]

The 2-D reference tabulates 200 x 200 x 30 x 1,000 features, 9.6 GB, at once; here it goes one time step at a time, which is faster.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median
from time import perf_counter

import numpy as np
import torch
from scipy.stats import norm

from twinsplit.exact.linear.draws import NoisyDraws, draw
from twinsplit.exact.linear.fit import LinearDenoiser, fit
from twinsplit.noise.reference import Noise
from twinsplit.papers.gtv.sampling import densities, starts
from twinsplit.papers.gtv.settings import HALF, RIDGE, Circle, Line, Setting

Array = np.ndarray
POSITIONS = 200


def plain_row(u: Array, low: float, high: float, count: int, kind: str) -> Array:
    """(..., count) Gaussian or Fourier features of one variable."""
    if kind == "gaussian":
        centres = np.linspace(low, high, count)
        return norm.pdf(u[..., None], loc=centres, scale=0.5 * (centres[1] - centres[0]))
    sines = (count - 1) // 2
    angle = 2 * np.pi * u[..., None] / (high - low)
    return np.concatenate([np.ones_like(angle), np.cos(angle * np.arange(1, count - sines)), np.sin(angle * np.arange(1, sines + 1))], -1)


def plain_features(rows: list[Array]) -> Array:
    """(..., F) products of rows."""
    phi = rows[0]
    for row in rows[1:]:
        phi = (phi[..., :, None] * row[..., None, :]).reshape(*phi.shape[:-1], -1)
    return phi


def plain_phi(x: Array, t: Array, setting: Setting, kind: str) -> Array:
    """(..., F) features of states (..., D) at times (...)."""
    count, (eps, end) = setting.features.time.count, setting.world.span
    return plain_features(
        [*(plain_row(x[..., a], -HALF, HALF, count, kind) for a in range(x.shape[-1])), plain_row(t, eps, end, count, kind)]
    )


def plain_scales(t: Array) -> tuple[Array, Array]:
    """alpha, sigma^2 of the VP process."""
    alpha = np.exp(-(0.1 * t + 9.95 * t * t))
    return alpha, 1 - alpha**2


def plain_fit(draws: NoisyDraws, setting: Setting, kind: str) -> Array:
    """(K, D, F) weights: second moments of all features, then an inverse per model."""
    x_0, t, x_t = (v.numpy() for v in (draws.x_0, draws.t, draws.x_t))
    phi = plain_phi(x_t, t, setting, kind)
    alpha, variance = plain_scales(t)
    weighted = phi * (alpha**2 / variance)[..., None]
    moments = weighted.transpose(0, 2, 1) @ phi / t.shape[1]
    cross = x_0.transpose(0, 2, 1) @ weighted / t.shape[1]
    return cross @ np.linalg.inv(moments + RIDGE * np.eye(phi.shape[-1]))


def plain_table(weights: Array, t: float, setting: Setting, kind: str) -> Array:
    """(K, D, 200, .., 200) denoiser on the grid of positions at one time."""
    D, side = setting.features.dimension, np.linspace(-HALF, HALF, POSITIONS)
    x = np.stack(np.meshgrid(*[side] * D, indexing="ij"), -1)
    phi = plain_phi(x, np.full(x.shape[:-1], t), setting, kind)
    return (weights @ phi.reshape(-1, phi.shape[-1]).T).reshape(*weights.shape[:2], *[POSITIONS] * D)


def plain_flow(weights: Array, x_T: Array, setting: Setting, kind: str) -> Array:
    """(K, n, D) final states: Euler steps with the tabulated denoiser."""
    x, side, times = x_T.copy(), np.linspace(-HALF, HALF, POSITIONS), np.array(setting.flow.times)
    model = np.arange(len(x))[:, None]
    for t, s in pairwise(times):
        table = plain_table(weights, t, setting, kind)
        alpha, variance = plain_scales(t)
        beta = 0.1 + 19.9 * t
        index = [np.clip(np.searchsorted(side, x[..., a]), None, POSITIONS - 1) for a in range(x.shape[-1])]
        mean = np.stack([table[(model, d, *index)] for d in range(x.shape[-1])], -1)
        x = x - (beta * x + beta * (alpha * mean - x) / variance) * (s - t)
    return x


def plain_density(x: Array, setting: Setting) -> Array:
    """(K, *cells) histograms, one model at a time."""
    grid = setting.grid
    edges = [np.linspace(low, high, n + 1) for low, high, n in zip(grid.low, grid.high, grid.cells, strict=True)]
    return np.stack([np.histogramdd(model, edges, density=True)[0] for model in x])


def plain(setting: Setting, kind: str, draws: NoisyDraws, x_T: Array) -> Array:
    """(K, *cells) densities the published way."""
    return plain_density(plain_flow(plain_fit(draws, setting, kind), x_T, setting, kind), setting)


def ours(setting: Setting, draws: NoisyDraws, noise: Noise, samples: int) -> torch.Tensor:
    """(K, *cells) densities; the starts are drawn within, from the noise that gave the reference its own."""
    return densities(setting, fit(setting.features, setting.world.process, draws, RIDGE).weights, noise, samples)


def check_equal(setting: Setting, kind: str, draws: NoisyDraws, noise: Noise, samples: int) -> str:
    """AssertionError unless weights and denoiser agree to 1e-9 and densities as the grid allows; the distances found."""
    weights = fit(setting.features, setting.world.process, draws, RIDGE).weights
    reference = plain_fit(draws, setting, kind)
    of_weights = np.abs(weights.mT.numpy() - reference).max() / np.abs(reference).max()
    t, D = setting.flow.times[20], setting.features.dimension
    side = torch.linspace(-HALF, HALF, POSITIONS, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(*[side] * D, indexing="ij"), -1).reshape(-1, D)
    mean = LinearDenoiser(setting.features, weights, setting.world.process)(x.expand(len(weights), -1, -1), t).mean
    table = plain_table(reference, t, setting, kind).reshape(len(weights), D, -1)
    of_means = np.abs(mean.mT.numpy() - table).max()
    x_T = starts(setting, noise, torch.arange(len(weights)), samples)
    averages = ours(setting, draws, noise, samples).mean(0), torch.from_numpy(plain(setting, kind, draws, x_T.numpy())).mean(0)
    coarse = replace(setting.grid, cells=(20,) * D)
    shape = [n for size in setting.grid.cells for n in (20, size // 20)]
    far = float(coarse.total_variation(*(a.reshape(shape).mean(tuple(range(1, 2 * D, 2))) for a in averages)))
    assert max(of_weights, of_means) < 1e-9, f"weights differ by {of_weights:.1e}, denoisers by {of_means:.1e}"
    assert far < 0.1, f"densities differ by {far:.3f} in total variation on 20 cells per coordinate"
    return f"equal: weights {of_weights:.0e}, denoiser {of_means:.0e}; densities within TV {far:.3f} (the reference reads a grid)"


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = perf_counter()
    work()
    return perf_counter() - start


def compare(name: str, setting: Setting, kind: str, options: argparse.Namespace) -> None:
    """Check, then time both in turn, and print medians and their ratio."""
    noise, models = Noise(0, "benchmark"), torch.arange(options.models)
    draws = draw(setting.world, noise, models, setting.P)
    x_T = starts(setting, noise, models, options.samples)
    print(f"{name}: {check_equal(setting, kind, draws, noise, options.samples)}", flush=True)
    runs = [
        (timed(lambda: plain(setting, kind, draws, x_T.numpy())), timed(lambda: ours(setting, draws, noise, options.samples)))
        for _ in range(options.rounds)
    ]
    slow, fast = (median(column) for column in zip(*runs, strict=True))
    print(
        f"{name}: plain {slow:.2f} s, twinsplit {fast:.2f} s, {slow / fast:.1f} times faster (medians of {options.rounds}, alternating)",
        flush=True,
    )


def main() -> None:
    """Time one condition of gtv2 and two of gtv3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("models", 8), ("samples", 100_000), ("threads", 2), ("rounds", 3)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compare("gtv2, eps 0.01, P 512", Line().setting(1e-2, 512), "gaussian", options)
    for kind in Circle().kinds:
        compare(f"gtv3, {kind}, P 500", Circle().setting(kind, 0.0, 500), kind, options)


if __name__ == "__main__":
    main()
