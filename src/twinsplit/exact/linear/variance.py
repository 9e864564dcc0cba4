"""Generalization through variance: how noisy targets spread the fitted weights, the flow they
drive, and the average density.

docs/theory-variance.md derives each formula. In short, for W = (S_P + ridge)^-1 A_P fitted on P
noisy samples:

  many samples   W ~ N(W_inf, Q G Q / P),  Q = (S + ridge)^-1,  G = Cov(snr phi r),  r = x_0 - W_inf^T phi
  few samples    the same with every sample's weight lowered by its own leverage, snr / (1 + snr phi^T Q phi / P) (cavity method)
  the flow       dx/dt = a x + b E W^T phi + b dW^T phi: a Gaussian drift with covariance V = b b' phi^T Cov(W) phi', the V-kernel
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import Process
from twinsplit.errors import InputError
from twinsplit.exact.linear.features import ProductFeatures
from twinsplit.exact.linear.fit import LinearDenoiser, solve_spd
from twinsplit.exact.linear.population import Population
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class WeightLaw:
    """The law of fitted weights: mean (F, D), covariance (D, D, F, F) with [d, e] = Cov(W_d, W_e)."""

    mean: Tensor
    covariance: Tensor

    @property
    def joint(self) -> Tensor:
        """(D F, D F) covariance of the weights stacked coordinate by coordinate."""
        D, _, F, _ = self.covariance.shape
        return self.covariance.permute(0, 2, 1, 3).reshape(D * F, D * F)

    def draw(self, noise: Noise, models: Tensor) -> Tensor:
        """(K, F, D) Gaussian weights, one per model name."""
        F, D = self.mean.shape
        z = noise.child("weights").normal(0, models, (D * F,))
        return self.mean + (z @ root_of(self.joint).mT).reshape(-1, D, F).mT

    def without_variance(self) -> "WeightLaw":
        """The mean alone."""
        return WeightLaw(self.mean, torch.zeros_like(self.covariance))


def root_of(matrix: Tensor) -> Tensor:
    """R with R R^T = matrix, a covariance that may be singular: 1e-10 of its largest variance is
    added so that Cholesky's way is open."""
    jitter = 1e-10 * float(matrix.diagonal().max()) + 1e-300
    root: Tensor = torch.linalg.cholesky(matrix + jitter * torch.eye(len(matrix), dtype=matrix.dtype))
    return root


def inverse(matrix: Tensor, ridge: float) -> Tensor:
    """(matrix + ridge)^-1."""
    return solve_spd(matrix, torch.eye(len(matrix), dtype=matrix.dtype), ridge)


def fixed_points_mean(population: Population, weight: Tensor, Q: Tensor) -> Tensor:
    """(F, D) = Q E[weight phi x_0^T]."""
    points = population.world.points
    return Q @ torch.stack([population.vector(weight * population.over_points(p)) for p in points.T], -1)


def residuals(population: Population, mean: Tensor) -> list[Tensor]:
    """Per coordinate, x_0 - mean^T phi at every node."""
    points = population.world.points
    return [population.over_points(p) - population.linear(w) for p, w in zip(points.T, mean.T, strict=True)]


def target_variance(population: Population) -> Tensor:
    """(T, J, N, .., N, D, D) covariance of x_0 given (x_t, t): alpha^2 / sigma^4 times it is the
    proxy-score covariance."""
    x = population.positions
    t = population.over_time(population.clock[0]).expand(x.shape[:-1])
    return population.world.oracle(x, t).covariance


def spread(population: Population, weight: Tensor, products: dict[tuple[int, int], Tensor]) -> Tensor:
    """(D, D, F, F) = E[weight^2 phi phi^T product_de] for symmetric products."""
    D, F = population.D, population.features.count
    result = torch.empty(D, D, F, F, dtype=torch.float64)
    for (d, e), product in products.items():
        result[d, e] = result[e, d] = population.gram(weight**2 * product)
    return result


def pairs(D: int) -> list[tuple[int, int]]:
    """(d, e) with d <= e."""
    return [(d, e) for d in range(D) for e in range(d, D)]


def sandwich(Q: Tensor, G: Tensor, mean: Tensor, ridge: float, P: int) -> Tensor:
    """(D, D, F, F) = Q (G - ridge^2 W W^T) Q / P: the mean of snr phi r is ridge W, not 0."""
    centre = ridge**2 * torch.einsum("fd,ge->defg", mean, mean)
    return Q @ (G - centre) @ Q / P


def many_samples(population: Population, ridge: float, P: int) -> WeightLaw:
    """The law of the weights to first order in 1/P (an M-estimator's sandwich; White 1980)."""
    Q = inverse(population.gram(population.snr), ridge)
    mean = fixed_points_mean(population, population.snr, Q)
    r = residuals(population, mean)
    G = spread(population, population.snr, {(d, e): r[d] * r[e] for d, e in pairs(population.D)})
    return WeightLaw(mean, sandwich(Q, G, mean, ridge, P))


def target_noise_only(population: Population, ridge: float, P: int) -> WeightLaw:
    """As `many_samples`, with the noise of the target alone: E[snr^2 phi phi^T Cov(x_0 | x_t)], the
    proxy-score covariance ([GTV])."""
    Q = inverse(population.gram(population.snr), ridge)
    mean = fixed_points_mean(population, population.snr, Q)
    C = target_variance(population)
    G = spread(population, population.snr, {(d, e): C[..., d, e] for d, e in pairs(population.D)})
    return WeightLaw(mean, Q @ G @ Q / P)


def settled(step: Callable[[Tensor], Tensor], value: Tensor, tolerance: float = 1e-3, steps: int = 120) -> Tensor:
    """The fixed point of `step`, to a relative change of `tolerance`.

    Every third value is extrapolated by the ratio at which the changes shrink (Aitken's method, one
    ratio for the whole tensor).
    """
    change = torch.zeros_like(value)
    for i in range(steps):
        previous, after = change, step(value)
        change = after - value
        if change.norm() <= tolerance * after.norm():
            return after
        ratio = float((change * previous).sum() / previous.square().sum()) if i % 3 == 2 else 0.0
        value = after + change * (ratio / (1 - ratio)) if 0 < ratio < 0.95 else after
    raise InputError(f"a self-consistent equation did not settle in {steps} steps", "use more samples or a larger ridge")


def leverage(population: Population, ridge: float, P: int) -> Tensor:
    """(T, J, N, .., N) the self-consistent h = snr phi^T Q phi / P with Q = (E[snr / (1 + h) phi
    phi^T] + ridge)^-1."""

    def step(log_growth: Tensor) -> Tensor:
        Q = inverse(population.gram(population.snr * torch.exp(-log_growth)), ridge)
        return torch.log1p(population.snr * population.quadratic(Q) / P)

    shape = (population.times, len(population.world.points), *(population.nodes,) * population.D)
    start = torch.full(shape, float(torch.log1p(torch.tensor(population.features.count / P))), dtype=torch.float64)
    return torch.expm1(settled(step, start))


def few_samples(population: Population, ridge: float, P: int) -> WeightLaw:
    """The law of the weights at any P by the cavity method: leave one sample out, and let it see
    the spread of the others' fit."""
    weight = population.snr / (1 + leverage(population, ridge, P))
    Q = inverse(population.gram(weight), ridge)
    mean = fixed_points_mean(population, weight, Q)
    r, chosen = residuals(population, mean), pairs(population.D)

    def step(covariance: Tensor) -> Tensor:
        seen = {(d, e): r[d] * r[e] + population.quadratic(covariance[d, e]) for d, e in chosen}
        return sandwich(Q, spread(population, weight, seen), mean, ridge, P)

    return WeightLaw(mean, settled(step, step(torch.zeros(population.D, population.D, *Q.shape, dtype=torch.float64))))


def v_kernel(law: WeightLaw, features: ProductFeatures, process: Process, one: tuple[Tensor, float], other: tuple[Tensor, float]) -> Tensor:
    """(n, D, D) covariance of the flow's velocity at (x (n, D), t) with that at (x', t'), over
    fits: b b' phi^T Cov(W) phi'."""
    (x, t), (y, s) = one, other
    b = process.flow_coefficients(t)[1] * process.flow_coefficients(s)[1]
    return b * torch.einsum("nf,defg,ng->nde", features(x, t), law.covariance, features(y, s))


def effective_models(law: WeightLaw, population: Population, noise: Noise, models: Tensor) -> LinearDenoiser:
    """K denoisers whose flows carry the effective noise: Gaussian drifts with exactly the V-kernel."""
    return LinearDenoiser(population.features, law.draw(noise, models), population.world.process)
