"""The exact denoiser of independent leaves: each posterior depends on the leaf's own noised symbol
alone."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.schedule import Schedule
from twinsplit.exact.tree import leaf_log_likelihood


@final
@dataclass(frozen=True, eq=False)
class IndependentLeaves(Denoiser[Categorical]):
    """Softmax of the leaf log-likelihood: the posterior when all symbols are equally likely and
    independent ([BG] section 2)."""

    schedule: Schedule

    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        """x_t: (n, L, q); t: an int or (n,) in 1..T."""
        return Categorical.from_logits(leaf_log_likelihood(x_t, t, self.schedule))
