from .api import decide, measure, quickstart, report, train
from .data.grammar import TreeGrammar
from .data.images.folder import ImageData, load_images
from .data.normalisation import Normalisation
from .data.splits.controlled import ByAttribute, ByIdentity, Ladder
from .data.splits.disjoint import Splits, consecutive_splits, disjoint_splits
from .data.splits.duplicates import near_duplicates
from .data.splits.manifests import ControlledSplit, load_split, make_split, write_split
from .diffusion.ascent import Ascended, Ascent
from .diffusion.blind import Blind
from .diffusion.denoiser import Categorical, Denoiser, Gaussian, Posterior
from .diffusion.exploding import VarianceExploding
from .diffusion.measurement import BlockMeans, Inpainting, Measured
from .diffusion.sampler import DDIM, Ancestral, PublishedAncestral, Sampler
from .diffusion.schedule import Schedule
from .diffusion.series import KeptInMemory, Member, Series
from .diffusion.uturn import uturn
from .errors import InputError
from .exact.empirical import EmpiricalDenoiser
from .exact.empirical_images import EmpiricalImages
from .exact.gaussian import BlindGaussian
from .exact.independent import IndependentLeaves
from .exact.mixture import GaussianMixture, MixtureDenoiser
from .exact.tree import TreeOracle
from .measures.decomposition import decompose, token_loss
from .measures.divergence import oracle_divergence, sample_split_divergence
from .measures.features import LocalFeatures, fid, load_features
from .measures.frechet import frechet_distance
from .measures.jacobian import exact_basis, jacobian, lanczos_basis
from .measures.memorization import MemorizedFraction, gap_ratio, memorized_fraction
from .measures.neighbours import nearest_hamming, nearest_neighbour_divergence
from .measures.psnr import denoising_psnr, psnr
from .measures.similarity import blockwise_nearest, correlation, cosine_similarity, mean_squared_difference
from .measures.two_sample import TwoSample, nearest_neighbour_two_sample
from .networks.blind_denoiser import BlindDenoiser
from .networks.blind_unet import BlindUNet
from .networks.module import ModuleNetwork
from .networks.parametrisation import NoisePrediction, Parametrisation, Residual, TokenLogits
from .networks.transformer import Transformer
from .networks.unet import UNet
from .networks.unet_denoiser import UNetDenoiser
from .noise.reference import Noise
from .onset.decision import Curves, Onset, find_onset
from .pipeline.study import Study, fit, study
from .recipes import ImageRecipe, Recipe, read_recipe
from .runs.store import Run
from .training.ensemble import Ensemble
from .training.loop import Checkpoint, load_ensemble
from .training.step import Task
from .worlds.evaluator import Measure
from .worlds.registry import register
from .worlds.tensors import Samples
from .worlds.world import World

__all__ = [
    "Ancestral",
    "Ascended",
    "Ascent",
    "Blind",
    "BlindDenoiser",
    "BlindGaussian",
    "BlindUNet",
    "BlockMeans",
    "ByAttribute",
    "ByIdentity",
    "Categorical",
    "Checkpoint",
    "ControlledSplit",
    "Curves",
    "DDIM",
    "Denoiser",
    "EmpiricalDenoiser",
    "EmpiricalImages",
    "Ensemble",
    "Gaussian",
    "GaussianMixture",
    "ImageData",
    "ImageRecipe",
    "IndependentLeaves",
    "Inpainting",
    "InputError",
    "KeptInMemory",
    "Ladder",
    "LocalFeatures",
    "Measure",
    "Measured",
    "Member",
    "MemorizedFraction",
    "MixtureDenoiser",
    "ModuleNetwork",
    "Noise",
    "NoisePrediction",
    "Normalisation",
    "Onset",
    "Parametrisation",
    "Posterior",
    "PublishedAncestral",
    "Recipe",
    "Residual",
    "Run",
    "Sampler",
    "Samples",
    "Schedule",
    "Series",
    "Splits",
    "Study",
    "Task",
    "TokenLogits",
    "Transformer",
    "TreeGrammar",
    "TreeOracle",
    "TwoSample",
    "UNet",
    "UNetDenoiser",
    "VarianceExploding",
    "World",
    "blockwise_nearest",
    "consecutive_splits",
    "correlation",
    "cosine_similarity",
    "decide",
    "decompose",
    "denoising_psnr",
    "disjoint_splits",
    "exact_basis",
    "fid",
    "find_onset",
    "fit",
    "frechet_distance",
    "gap_ratio",
    "jacobian",
    "lanczos_basis",
    "load_ensemble",
    "load_features",
    "load_images",
    "load_split",
    "make_split",
    "mean_squared_difference",
    "measure",
    "memorized_fraction",
    "near_duplicates",
    "nearest_hamming",
    "nearest_neighbour_divergence",
    "nearest_neighbour_two_sample",
    "oracle_divergence",
    "psnr",
    "quickstart",
    "read_recipe",
    "register",
    "report",
    "sample_split_divergence",
    "study",
    "token_loss",
    "train",
    "uturn",
    "write_split",
]

__version__: str
