"""twinsplit: train a diffusion model on disjoint halves of the data and find the step at which the twins part.

The public names; each is imported when it is first used, so that `import twinsplit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinsplit.data.grammar import TreeGrammar
    from twinsplit.data.splits import Splits, consecutive_splits, disjoint_splits
    from twinsplit.diffusion.denoiser import Categorical, Denoiser, Gaussian, Posterior
    from twinsplit.diffusion.sampler import DDIM, Ancestral, Sampler
    from twinsplit.diffusion.schedule import Schedule
    from twinsplit.diffusion.uturn import uturn
    from twinsplit.errors import InputError
    from twinsplit.exact.belief import TreeOracle
    from twinsplit.exact.empirical import EmpiricalDenoiser
    from twinsplit.exact.independent import IndependentLeaves
    from twinsplit.measures.decomposition import decompose, token_loss
    from twinsplit.measures.divergence import oracle_divergence, sample_split_divergence
    from twinsplit.measures.neighbours import nearest_hamming, nearest_neighbour_divergence
    from twinsplit.networks.transformer import Transformer
    from twinsplit.noise import Noise
    from twinsplit.onset import Curves, Onset, find_onset
    from twinsplit.recipes import Recipe
    from twinsplit.store import Run
    from twinsplit.training.ensemble import Ensemble, Member
    from twinsplit.training.loop import Checkpoint, train

_HOME = {
    "TreeGrammar": "data.grammar",
    "Splits": "data.splits",
    "consecutive_splits": "data.splits",
    "disjoint_splits": "data.splits",
    "Categorical": "diffusion.denoiser",
    "Denoiser": "diffusion.denoiser",
    "Gaussian": "diffusion.denoiser",
    "Posterior": "diffusion.denoiser",
    "Ancestral": "diffusion.sampler",
    "DDIM": "diffusion.sampler",
    "Sampler": "diffusion.sampler",
    "Schedule": "diffusion.schedule",
    "uturn": "diffusion.uturn",
    "InputError": "errors",
    "TreeOracle": "exact.belief",
    "EmpiricalDenoiser": "exact.empirical",
    "IndependentLeaves": "exact.independent",
    "decompose": "measures.decomposition",
    "token_loss": "measures.decomposition",
    "oracle_divergence": "measures.divergence",
    "sample_split_divergence": "measures.divergence",
    "nearest_hamming": "measures.neighbours",
    "nearest_neighbour_divergence": "measures.neighbours",
    "Transformer": "networks.transformer",
    "Noise": "noise",
    "Curves": "onset",
    "Onset": "onset",
    "find_onset": "onset",
    "Recipe": "recipes",
    "Run": "store",
    "Ensemble": "training.ensemble",
    "Member": "training.ensemble",
    "Checkpoint": "training.loop",
    "train": "training.loop",
}

__version__ = "0.1.0"
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'twinsplit' has no attribute {name!r}")
    value = getattr(import_module(f"twinsplit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
