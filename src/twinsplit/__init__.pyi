from .data.grammar import TreeGrammar
from .data.images import ImageData, load_images
from .data.normalisation import Normalisation
from .data.splits import Splits, consecutive_splits, disjoint_splits
from .diffusion.denoiser import Categorical, Denoiser, Gaussian, Posterior
from .diffusion.sampler import DDIM, Ancestral, PublishedAncestral, Sampler
from .diffusion.schedule import Schedule
from .diffusion.uturn import uturn
from .errors import InputError
from .exact.belief import TreeOracle
from .exact.empirical import EmpiricalDenoiser
from .exact.independent import IndependentLeaves
from .measures.decomposition import decompose, token_loss
from .measures.divergence import oracle_divergence, sample_split_divergence
from .measures.neighbours import nearest_hamming, nearest_neighbour_divergence
from .networks.transformer import Transformer
from .noise import Noise
from .onset import Curves, Onset, find_onset
from .recipes import Recipe
from .store import Run
from .training.ensemble import Ensemble, Member
from .training.loop import Checkpoint, load_ensemble, train
from .training.shard import Task

__all__ = [
    "Ancestral",
    "Categorical",
    "Checkpoint",
    "Curves",
    "DDIM",
    "Denoiser",
    "EmpiricalDenoiser",
    "Ensemble",
    "Gaussian",
    "ImageData",
    "IndependentLeaves",
    "InputError",
    "Member",
    "Noise",
    "Normalisation",
    "Onset",
    "Posterior",
    "PublishedAncestral",
    "Recipe",
    "Run",
    "Sampler",
    "Schedule",
    "Splits",
    "Task",
    "Transformer",
    "TreeGrammar",
    "TreeOracle",
    "consecutive_splits",
    "decompose",
    "disjoint_splits",
    "find_onset",
    "load_ensemble",
    "load_images",
    "nearest_hamming",
    "nearest_neighbour_divergence",
    "oracle_divergence",
    "sample_split_divergence",
    "token_loss",
    "train",
    "uturn",
]
