"""Tutorial: watch two linear denoisers disagree, predict it, and find the onset.   python docs/tutorials/linear_twins.py

Nothing here is trained for longer than a second, and everything has an exact answer to compare with.
"""

from dataclasses import replace

import numpy as np
import torch

from twinsplit.exact.linear.population import Population
from twinsplit.exact.linear.twin_fits import sample_split_divergence
from twinsplit.exact.linear.variance import few_samples, many_samples
from twinsplit.noise.reference import Noise
from twinsplit.onset.decision import find_onset
from twinsplit.papers.gtv.sampling import fitted
from twinsplit.papers.gtv.settings import LINE
from twinsplit.papers.gtv.twins import Calibration, exact_curves, repetition


def divergence_against_P(models: int = 40) -> list[tuple[int, float, float, float]]:
    """(P, Monte Carlo, cavity, first order): KL between twins fitted to different noisy samples, in nats."""
    line, rows = LINE["smoke"], []
    base = line.setting(1e-2, 64)
    population = Population(base.features, base.world, line.times, line.nodes)
    for P in (32, 128, 1024):
        weights = fitted(replace(base, P=P), Noise(0, "tutorial"), models)[..., 0]
        sampled = torch.cov(weights.T)[None, None]
        laws = (few_samples(population, base.ridge, P), many_samples(population, base.ridge, P))
        monte_carlo, cavity, first = (
            sample_split_divergence(population, covariance) for covariance in (sampled, *(law.covariance for law in laws))
        )
        rows.append((P, monte_carlo, cavity, first))
    return rows


def onset_of_twins() -> tuple[float, float | None, str]:
    """(exact onset, found onset, verdict) of eight twins along training."""
    setting = Calibration(members=8, positions=300)
    noise = Noise(0, "calibration")
    twins = setting.twins(noise)
    found = find_onset(repetition(setting, twins, noise, 0), level=0.9, draws=300)
    steps = torch.from_numpy(np.geomspace(setting.first, setting.last, 500))
    return exact_curves(twins, steps).onset, found.onset.step, found.verdict


def main() -> None:
    """Print both."""
    print("KL between twins (nats)\n     P  measured   cavity  first order")
    for P, measured, cavity, first in divergence_against_P():
        print(f"{P:6d}  {measured:8.4f} {cavity:8.4f}  {first:8.4f}")
    exact, found, verdict = onset_of_twins()
    print(f"onset: exact {exact:.3f}, found {found:.3f} ({verdict})" if found else f"onset: exact {exact:.3f}, not found ({verdict})")


if __name__ == "__main__":
    main()
