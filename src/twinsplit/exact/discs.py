"""The best denoiser of disc images: the posterior mean over their five parameters, by importance
sampling, and the best error.

Given where the disc is, an image is linear in its two greys, whose posterior is then a Gaussian cut
to [0, 1]^2. So only row, column and radius are proposed: three quarters from a Student law of the
width that the noise leaves, the rest from the prior, which finds any other mode. The greys are
drawn from their Gaussian, and those outside [0, 1] weigh nothing. The truth x may centre the
proposal, because what is estimated, the error of E[x | y] at (x, y), does not depend on the
proposal.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from torch import Tensor

from twinsplit.data.synthetic import DISC_PARAMETERS, DiscImages, Floats
from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

FREEDOM, WIDER = 4, 1.5  # of the Student law: heavy tails, and wider than the posterior it stands for
FROM_PRIOR = 0.25
BLOCK = 256  # particles drawn at a time
FEWEST_PARTICLES = 16


@final
@dataclass(frozen=True, eq=False)
class Denoised:
    """means: (2, size, size) two independent estimates of E[x | y], each from half of the particles.

    effective: the size of the sample from the posterior that all particles are worth, (sum w)^2 /
    sum w^2 (Kong 1992).
    """

    means: Floats
    effective: float

    @property
    def mean(self) -> Floats:
        """(size, size) the mean of both estimates."""
        mean: Floats = self.means.mean(0)
        return mean

    def error(self, clean: Floats) -> float:
        """Mean squared error of E[x | y] per pixel, clean (size, size).

        The product of both halves' errors: what each half errs by chance averages out of it, where
        a square would keep it.
        """
        first, second = clean - self.means
        return float((first * second).mean())


@final
@dataclass(frozen=True)
class DiscPosterior:
    """Denoises discs that stand in noise of a known deviation. particles: proposals per image, in
    two halves."""

    discs: DiscImages
    particles: int = 4_096

    def __post_init__(self) -> None:
        if self.particles < FEWEST_PARTICLES:
            raise InputError(f"{self.particles} particles", f"use {FEWEST_PARTICLES} or more")

    def denoise(self, noisy: Floats, sigma: float, centre: Floats, noise: Noise, image_id: int) -> Denoised:
        """E[x | y] for y = noisy (size, size) in noise of deviation sigma.

        centre: (5,) parameters that the proposal is centred on. noise, image_id: its random
        numbers.
        """
        proposed = self._proposed(sigma, centre, noise, image_id)
        log_weights, greys = self._weighed(noisy, sigma, proposed, noise, image_id)
        halves = np.arange(self.particles) % 2
        if not all(np.isfinite(log_weights[halves == h]).any() for h in (0, 1)):
            raise InputError("no particle explains the image", "use more particles, or centre the proposal nearer to the disc")
        weights = np.exp(log_weights - log_weights.max())
        means = [self._mean(proposed[0][halves == h], greys[halves == h], weights[halves == h]) for h in (0, 1)]
        return Denoised(np.stack(means), float(weights.sum() ** 2 / (weights**2).sum()))

    def _proposed(self, sigma: float, centre: Floats, noise: Noise, image_id: int) -> tuple[Floats, Floats]:
        """Places (particles, 3) and the logarithm of the proposal's density there."""
        root: Floats = np.asarray(WIDER * np.linalg.cholesky(self._covariance(sigma, centre)), np.float64)
        ids = torch.tensor([image_id])
        u = noise.child("proposal").uniform(0, ids, (self.particles, 4)).numpy()[0]
        z = noise.child("proposal").normal(1, ids, (self.particles, 3 + FREEDOM)).numpy()[0]
        local = centre[:3] + (z[:, :3] @ root.T) * np.sqrt(FREEDOM / (z[:, 3:] ** 2).sum(1, keepdims=True))
        places = np.where(u[:, 3:] < FROM_PRIOR, self.discs.placed(u[:, :3]), local)
        student = _log_student(places - centre[:3], root)
        density = np.logaddexp(np.log(FROM_PRIOR) + self._log_prior(places), np.log(1 - FROM_PRIOR) + student)
        return places, density

    def _covariance(self, sigma: float, centre: Floats) -> Floats:
        """(3, 3) of the place, from Fisher's information on all five parameters and the widths of their prior."""
        step = 1e-4 * np.eye(DISC_PARAMETERS)
        slopes = (self.discs.draw(centre + step) - self.discs.draw(centre - step)).reshape(DISC_PARAMETERS, -1) / 2e-4
        low, high = self.discs.radii
        widths = np.array([self.discs.size, self.discs.size, high - low, 1.0, 1.0])
        covariance = np.linalg.inv(slopes @ slopes.T / sigma**2 + np.diag(12 / widths**2))[:3, :3]
        return np.asarray(covariance, np.float64)

    def _log_prior(self, places: Floats) -> Floats:
        """Density of row, column and radius; minus infinity where no disc is."""
        low, high = self.discs.radii
        row, column, radius = places.T
        room = self.discs.size - 2 * radius
        inside = (radius > low) & (radius < high) & (np.minimum(row, column) > radius) & (np.maximum(row, column) < room + radius)
        density: Floats = np.where(inside, -np.log(high - low) - 2 * np.log(np.where(inside, room, 1.0)), -np.inf)
        return density

    def _weighed(self, noisy: Floats, sigma: float, proposed: tuple[Floats, Floats], noise: Noise, image_id: int) -> tuple[Floats, Floats]:
        """Logarithms of the weights (particles,), up to one constant, and drawn greys (particles,
        2) inside and outside."""
        places, density = proposed
        z = noise.child("greys").normal(0, torch.tensor([image_id]), (self.particles, 2)).numpy()[0]
        log_weights, greys = self._log_prior(places) - density, np.zeros((self.particles, 2))
        possible = np.flatnonzero(np.isfinite(log_weights))
        for block in np.array_split(possible, -(-len(possible) // BLOCK)):
            gain, greys[block] = _greys(self.discs.coverage(places[block]).reshape(len(block), -1), noisy.ravel(), sigma, z[block])
            log_weights[block] += gain
        return np.where(((greys > 0) & (greys < 1)).all(1), log_weights, -np.inf), greys

    def _mean(self, places: Floats, greys: Floats, weights: Floats) -> Floats:
        """(size, size) the weighted mean image."""
        counted = np.flatnonzero(weights > 0)
        total = np.zeros((self.discs.size, self.discs.size))
        for block in np.array_split(counted, -(-max(len(counted), 1) // BLOCK)):
            images = self.discs.draw(np.concatenate([places[block], greys[block]], 1))[:, 0]
            total += np.tensordot(weights[block], images, 1)
        mean: Floats = total / weights.sum()
        return mean


def _log_student(offsets: Floats, root: Floats) -> Floats:
    """Logarithm of the density of Student's law of FREEDOM degrees in three dimensions and scale
    root root^T at offsets (n, 3)."""
    size = len(root)
    squares = (np.linalg.solve(root, offsets.T) ** 2).sum(0)
    constant = gammaln((FREEDOM + size) / 2) - gammaln(FREEDOM / 2) - size / 2 * np.log(FREEDOM * np.pi) - np.log(np.diag(root)).sum()
    density: Floats = constant - (FREEDOM + size) / 2 * np.log1p(squares / FREEDOM)
    return density


def _greys(coverage: Floats, noisy: Floats, sigma: float, z: Floats) -> tuple[Floats, Floats]:
    """Of each place, coverage (n, pixels): the log-likelihood with the greys integrated over the
    plane, up to a constant, and greys (n, 2) drawn with normals z (n, 2) from their Gaussian given
    place and image."""
    basis = np.stack([coverage, 1.0 - coverage], 1)
    gram, seen = basis @ basis.swapaxes(1, 2), basis @ noisy
    best = np.linalg.solve(gram, seen[..., None])[..., 0]
    residual = noisy @ noisy - (seen * best).sum(1)
    root = np.linalg.cholesky(gram)
    drawn = best + sigma * np.linalg.solve(root.swapaxes(1, 2), z[..., None])[..., 0]
    return -residual / (2 * sigma**2) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1), drawn


def best_errors(posterior: DiscPosterior, ids: Tensor, noises: NDArray[np.float64], sigma: float, noise: Noise) -> tuple[Floats, Floats]:
    """Mean squared error per pixel of the best denoiser on images `ids` (n,) in sigma times noises
    (n, size, size), and effective sizes."""
    parameters, clean = posterior.discs.parameters(ids), posterior.discs.images(ids)[:, 0]
    found = [
        posterior.denoise(x + sigma * z, sigma, centre, noise, i)
        for x, z, centre, i in zip(clean, noises, parameters, ids.tolist(), strict=True)
    ]
    errors = [one.error(x) for one, x in zip(found, clean, strict=True)]
    return np.array(errors), np.array([one.effective for one in found])
