"""The posterior of a Gaussian mixture: x_0 given x_t is itself a mixture of isotropic Gaussians,
one for each component."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import NamedTuple, final

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Gaussian, Posterior
from twinsplit.diffusion.schedule import expand_like
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

CELLS = 1 << 15
PAIRS = 64
DRAWS = Noise(0, "divergence of mixtures")


class Estimate(NamedTuple):
    """A Monte Carlo estimate. value, error: (n,), the error one standard deviation of the value."""

    value: Tensor
    error: Tensor


def tiled(x: Tensor, components: int, part: Callable[[slice, slice], Tensor]) -> Tensor:
    """(n, components) from part(rows, columns), for x (n, D): tiles of about CELLS numbers, which
    stay in a core's cache.

    An accelerator takes tiles a thousand times as large (256 MiB), since each costs it a launch.
    """
    n, sites = x.shape
    cells = CELLS if x.device.type == "cpu" else CELLS << 10
    rows = min(max(n, 1), max(1, cells // sites))
    columns = max(1, cells // (rows * sites))
    strips = [
        torch.cat([part(slice(row, row + rows), slice(k, k + columns)) for k in range(0, components, columns)], dim=1)
        for row in range(0, max(n, 1), rows)
    ]
    return torch.cat(strips)


@final
@dataclass(frozen=True, eq=False)
class MixturePosterior(Posterior):
    """A mixture for every row of x_t (n, *shape): component k has weight exp(log_weights), variance
    `variances`, and mean

        shrinkage means[k] + gain x_t,

    kept as these factors (n, K) rather than as n K images. `mean`, `log_prob` and `total_variance`
    are exact. `kl` of mixtures has no closed form: see there. Source: Bayes' rule for Gaussians,
    component by component.
    """

    x_t: Tensor
    means: Tensor
    log_weights: Tensor
    shrinkage: Tensor
    gain: Tensor
    variances: Tensor

    @property
    def mean(self) -> Tensor:
        weights = self.log_weights.exp()
        pulled = (weights * self.shrinkage) @ self.means.flatten(1)
        return pulled.reshape(self.x_t.shape) + expand_like((weights * self.gain).sum(1), self.x_t) * self.x_t

    @property
    def total_variance(self) -> Tensor:
        """(n,) E |x_0 - mean|^2 summed over sites: what the best possible denoiser still gets wrong."""
        spread = self.variances * self.x_t[0].numel() + self._distances(self.mean)
        return (self.log_weights.exp() * spread).sum(1)

    def log_prob(self, x_0: Tensor) -> Tensor:
        sites = self.x_t[0].numel()
        density = -0.5 * (self._distances(x_0.double()) / self.variances + sites * torch.log(2 * pi * self.variances))
        return (self.log_weights + density).logsumexp(1)

    def kl(self, other: Posterior) -> Tensor:
        """(n,) KL(self || other) in nats against a mixture or a `Gaussian`: closed where both are
        single Gaussians, elsewhere an ESTIMATE.

        The estimate is `kl_estimate` with its defaults: unbiased, so that means over many rows
        converge to the divergence, but a single value may lie off by its standard error, or below
        0.
        """
        return self.kl_estimate(other).value

    def kl_estimate(self, other: Posterior, pairs: int = PAIRS, noise: Noise = DRAWS) -> Estimate:
        """KL(self || other) in nats by Monte Carlo, with its standard error (0 where the closed form serves).

        Mean of log self - log other over `pairs` antithetic pairs of draws from self, their
        components taken systematically; between posteriors that one component dominates and whose
        variances agree, the noise cancels. A row's draws are named by its own x_t, so they are the
        same in any batch, and for both directions of a pair of twins.
        """
        if not isinstance(other, Gaussian | MixturePosterior):
            raise InputError(f"no divergence of a mixture from a {type(other).__name__}", "compare it with a mixture or a Gaussian")
        if pairs < 2:
            raise InputError(f"{pairs} pairs of draws", "choose at least 2")
        own, theirs = _single(self), _single(other)
        if own is not None and theirs is not None:
            exact = own.kl(theirs)
            return Estimate(exact, torch.zeros_like(exact))
        ratios = self._log_ratios(other, pairs, noise)
        return Estimate(ratios.mean(1), ratios.std(1) / pairs**0.5)

    def _log_ratios(self, other: Posterior, pairs: int, noise: Noise) -> Tensor:
        """(n, pairs) of log self - log other, each the mean over x = location + z and location - z."""
        ids = row_names(self.x_t)
        shift, levels = noise.child("component").uniform(0, ids), self.log_weights.exp().cumsum(1)
        columns = []
        for j in range(pairs):
            chosen = torch.searchsorted(levels, ((shift + j) / pairs)[:, None]).clamp(max=levels.shape[1] - 1)
            location, deviation = self._component(chosen)
            z = deviation * noise.child("normal").normal(j, ids, tuple(self.x_t.shape[1:]))
            both = [self.log_prob(x) - other.log_prob(x) for x in (location + z, location - z)]
            columns.append(0.5 * (both[0] + both[1]))
        return torch.stack(columns, dim=1)

    def _component(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (like x_t) and standard deviation, ready to multiply, of one component per row; chosen: (n, 1)."""
        shrinkage, gain, variance = (expand_like(v.gather(1, chosen)[:, 0], self.x_t) for v in (self.shrinkage, self.gain, self.variances))
        return shrinkage * self.means[chosen[:, 0]] + gain * self.x_t, variance.sqrt()

    def _distances(self, x_0: Tensor) -> Tensor:
        """(n, K) squared distance of x_0 from the mean of each component."""
        flat, x_t, means = x_0.flatten(1), self.x_t.flatten(1), self.means.flatten(1)

        def part(r: slice, k: slice) -> Tensor:
            pulled = self.gain[r, k, None] * x_t[r, None] + self.shrinkage[r, k, None] * means[k]
            return (flat[r, None] - pulled).square().sum(-1)

        return tiled(x_t, len(means), part)


def _single(posterior: Posterior) -> Gaussian | None:
    """The posterior as one Gaussian, where it is one."""
    if isinstance(posterior, MixturePosterior):
        return Gaussian(posterior.mean, posterior.variances[:, 0]) if len(posterior.means) == 1 else None
    return posterior if isinstance(posterior, Gaussian) else None


def row_names(x: Tensor) -> Tensor:
    """(n,) int64 names of the rows of x (n, ...), from the bits of their numbers: equal rows have
    one name, others in practice two."""
    bits = x.double().flatten(1).contiguous().view(torch.int64)
    factors = (2 * torch.arange(bits.shape[1], device=x.device) + 1) * 0x1E3779B97F4A7C15
    mixed = (bits ^ (bits >> 32)) * factors
    return (mixed ^ (mixed >> 29)).sum(1)
