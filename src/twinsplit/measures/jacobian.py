"""The Jacobian of a denoiser at one image: the basis it denoises in, and by how much it shrinks
each direction ([GAHB] section 3).

Of an exact denoiser the Jacobian of the posterior mean is the posterior covariance over sigma^2:
symmetric, with eigenvalues that are not negative. That holds where sigma is told. A blind denoiser
also judges how noisy the image is, and even an exact one has a Jacobian that is not symmetric (the
tests have one with 15%); a network's need not be. So the basis is the one of the symmetric part,
and the rest is reported: with J = S + A, the asymmetry is |A| / |J| (Frobenius). Of a homogeneous
network, f(y) = J y.

`exact_basis` forms the matrix; `lanczos_basis` meets it only in products J v (forward mode) and J^T
v (reverse mode).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.noise.reference import Noise

Map = Callable[[Tensor], Tensor]
"""Images (n, C, H, W) to images of the same shape, each on its own, differentiable: `Blind.mean`, for one."""

BREAKDOWN = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Basis:
    """values: (k,) shrinkage factors, descending; vectors: (k, C, H, W), orthonormal; bounds: (k,)
    each value is within so much of a true one; asymmetry: |A| / |J|, over the directions looked at."""

    values: Tensor
    vectors: Tensor
    bounds: Tensor
    asymmetry: float

    def coefficients(self, image: Tensor) -> Tensor:
        """(k,) the image (C, H, W) in this basis."""
        return self.vectors.flatten(1) @ image.to(self.vectors).flatten()


def jacobian(denoise: Map, image: Tensor, chunk: int = 256) -> Tensor:
    """(D, D) d denoise_i / d y_j at an image (C, H, W), D = C H W; `chunk` rows at a time. A linear
    denoiser gives its matrix."""
    _refuse_other_than_one(image)
    _refuse_no_derivative(denoise, image)
    matrix: Tensor = torch.func.jacrev(lambda y: _one(denoise, y).flatten(), chunk_size=chunk)(image)
    return matrix.reshape(image.numel(), image.numel())


def exact_basis(denoise: Map, image: Tensor, chunk: int = 256) -> Basis:
    """All D directions at an image (C, H, W), from the whole matrix: for images of up to a few
    thousand pixels."""
    matrix = jacobian(denoise, image, chunk).detach()
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    whole, odd = matrix.norm(), ((matrix - matrix.T) / 2).norm()
    return Basis(values.flip(0), vectors.T.flip(0).reshape(-1, *image.shape), torch.zeros_like(values), _share(odd, whole))


def products(denoise: Map, image: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """J v and J^T v for v (C, H, W), by one forward-mode and one reverse-mode derivative."""
    forward: Tensor = torch.func.jvp(lambda y: _one(denoise, y), (image,), (v,))[1]
    back: Tensor = torch.func.vjp(lambda y: _one(denoise, y), image)[1](v)[0]
    return forward.detach(), back.detach()


def lanczos_basis(denoise: Map, image: Tensor, k: int, noise: Noise, steps: int | None = None) -> Basis:
    """The k largest shrinkage factors at an image (C, H, W), by Lanczos on the symmetric part with
    full reorthogonalisation.

    steps: products taken (default 2 k + 20, at most D). `bounds` says how far each value may be
    off; more steps lower it. noise: of the first direction. Memory: steps + 1 images.
    """
    _refuse_other_than_one(image)
    _refuse_no_derivative(denoise, image)
    size = image.numel()
    steps = min(2 * k + 20, size) if steps is None else steps
    if not 1 <= k <= steps <= size:
        raise InputError(f"{k} directions from {steps} Lanczos steps at an image of {size} numbers", "choose k <= steps <= numbers")
    found = _Krylov(denoise, image, noise)
    for _ in range(steps):
        found.extend()
    return found.basis(k)


class _Krylov:
    """An orthonormal basis q_1 .. q_m of a Krylov space, and the symmetric part in it, tridiagonal."""

    def __init__(self, denoise: Map, image: Tensor, noise: Noise) -> None:
        self.denoise, self.image, self.noise = denoise, image, noise
        self.rows = image.new_empty(0, image.numel())
        self.diagonal: list[Tensor] = []
        self.beside: list[Tensor] = []  # what couples each direction to the next
        self.odd = self.whole = image.new_zeros(())
        self.next = self._fresh()

    def extend(self) -> None:
        """One more direction."""
        q = self.next
        forward, back = (product.flatten() for product in products(self.denoise, self.image, q.view_as(self.image)))
        self.odd = self.odd + ((forward - back) / 2).square().sum()
        self.whole = self.whole + forward.square().sum()
        self.rows = torch.cat([self.rows, q[None]])
        rest = (forward + back) / 2
        self.diagonal.append(q @ rest)
        scale = rest.norm()
        rest = self._orthogonal(rest)
        size = rest.norm()
        broken = bool(size <= BREAKDOWN * scale.clamp(min=BREAKDOWN))  # an invariant space is exhausted: go on in a fresh direction
        self.beside.append(torch.zeros_like(size) if broken else size)
        self.next = self._fresh() if broken else rest / size

    def basis(self, k: int) -> Basis:
        """The k largest Ritz values; each is within |last coupling times last coordinate| of an eigenvalue."""
        diagonal, beside = torch.stack(self.diagonal), torch.stack(self.beside)
        matrix = torch.diag(diagonal) + torch.diag(beside[:-1], 1) + torch.diag(beside[:-1], -1)
        values, coordinates = torch.linalg.eigh(matrix)
        top = torch.arange(len(values) - 1, len(values) - 1 - k, -1, device=values.device)
        vectors = (coordinates[:, top].T @ self.rows).reshape(-1, *self.image.shape)
        bounds = (beside[-1] * coordinates[-1, top]).abs()
        return Basis(values[top], vectors, bounds, _share(self.odd.sqrt(), self.whole.sqrt()))

    def _fresh(self) -> Tensor:
        """A random direction orthogonal to all there are; where they fill the space, zeros."""
        if len(self.rows) >= self.image.numel():
            return torch.zeros_like(self.image).flatten()
        name = torch.tensor([len(self.rows)], device=self.image.device)
        rest = self._orthogonal(self.noise.normal(0, name, (self.image.numel(),), self.image.dtype)[0])
        unit: Tensor = rest / rest.norm()
        return unit

    def _orthogonal(self, v: Tensor) -> Tensor:
        """v less its part along the rows; twice, because once leaves rounding of the size of what
        was taken off."""
        for _ in range(2):
            v = v - self.rows.T @ (self.rows @ v)
        return v


def _one(denoise: Map, y: Tensor) -> Tensor:
    return denoise(y[None])[0]


def _share(odd: Tensor, whole: Tensor) -> float:
    return float(odd / whole) if float(whole) > 0 else 0.0


def _refuse_other_than_one(image: Tensor) -> None:
    if image.ndim != 3 or not image.is_floating_point() or not image.numel():
        raise InputError(f"an image of shape {tuple(image.shape)}, {image.dtype}", "give one image (C, H, W) of floating-point numbers")


def _refuse_no_derivative(denoise: Map, image: Tensor) -> None:
    """A map that detaches its output would have a Jacobian of zeros, in silence."""
    if not _one(denoise, image.detach().requires_grad_()).requires_grad:
        raise InputError("a denoiser whose output carries no derivative", "give a differentiable map of the image, such as Blind.mean")
