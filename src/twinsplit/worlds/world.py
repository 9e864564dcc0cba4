"""The world of a recipe: what its networks learn from and are judged by. The stages of a run know no more than this."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.exploding import VarianceExploding
from twinsplit.diffusion.schedule import Noising, Schedule
from twinsplit.diffusion.series import Member
from twinsplit.execution.local import Executor
from twinsplit.networks.flops import Flops
from twinsplit.networks.network import Network
from twinsplit.networks.parametrisation import Parametrisation
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Diffusion, RunRecipe
from twinsplit.runs.rows import Rows
from twinsplit.runs.store import Run
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import load_ensemble
from twinsplit.training.step import Task


@final
@dataclass(frozen=True)
class Measured:
    """One checkpoint measured and on disk."""

    step: int
    names: tuple[str, ...]


@final
@dataclass(frozen=True)
class MeasurementCost:
    """Of one checkpoint. answers: noised samples that its networks are asked about, all together; kept: bytes of what is stored,
    before compression.
    """

    answers: int
    kept: int


class Examiner(ABC):
    """Asks every checkpoint the same questions. It travels to worker processes."""

    @abstractmethod
    def rows(self, ensemble: Ensemble, name: str) -> Rows:
        """The measure `name` of one checkpoint: naming columns, and `values`, the replicates."""

    @abstractmethod
    def lowest_losses(self) -> dict[str, float]:
        """Name of a loss -> what the exact posterior pays, where there is one: no model can be expected to do better."""


class World(ABC):
    """Rebuilt from the recipe alone."""

    recipe: RunRecipe
    schedule: Noising
    network: Network

    @property
    def root(self) -> Noise:
        """The root of the run's randomness."""
        return Noise(self.recipe.seed)

    @property
    def members(self) -> tuple[Member, ...]:
        """Names of the networks, in storage order."""
        return tuple(Member(*names) for names in self.recipe.members)

    @property
    @abstractmethod
    def parametrisation(self) -> Parametrisation:
        """What the networks' outputs mean."""

    def task(self) -> Task:
        """What the members train on, less the data."""
        return Task(self.recipe.training, self.parametrisation, self.root)

    def flops(self) -> Flops:
        """Operations of one network for one sample."""
        return self.network.flops(self.parametrisation.state(self.sample_shape))

    def ensemble(self) -> Ensemble:
        """The untrained members."""
        return Ensemble.initial(self.network, self.members, self.root, self.parametrisation.denoiser)

    def load(self, run: Run[Any], step: int, device: torch.device | str = "cpu") -> Ensemble:
        """The members at a kept checkpoint."""
        return load_ensemble(run, self.network, step, device, self.parametrisation.denoiser)

    @abstractmethod
    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        """(splits, n, ...) what each split's networks train on."""

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """Of one sample in `split_samples`."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """data.json: where the data come from, their fingerprint, the rows of each split."""

    @property
    @abstractmethod
    def data_bytes(self) -> int:
        """Memory that all the data take."""

    @property
    @abstractmethod
    def measures(self) -> tuple[str, ...]:
        """Every measure of a checkpoint that there is."""

    @property
    @abstractmethod
    def standard(self) -> tuple[str, ...]:
        """Those that the onset and the report need."""

    @property
    @abstractmethod
    def sampled(self) -> str:
        """The measure that draws samples; the report wants it at a few checkpoints only."""

    @property
    def drawn(self) -> tuple[str, ...]:
        """All that is measured where samples are drawn."""
        return (self.sampled,)

    @abstractmethod
    def examiner(self) -> Examiner:
        """The questions, made ready."""

    @abstractmethod
    def drawing(self, count: int, steps: int) -> Callable[[Any], object]:
        """From a network to `count` samples of it in `steps` steps. It travels to worker processes."""

    @abstractmethod
    def drawn_at_once(self, device: str) -> int:
        """Samples of one network that a worker draws together."""

    @abstractmethod
    def measurement_cost(self) -> MeasurementCost:
        """What a checkpoint takes besides training, when samples are drawn from it."""

    @abstractmethod
    def sample_stage(self, run: Run[Any], steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
        """Draw samples at some checkpoints and measure them; what stands is not made again."""


def schedule_of(diffusion: Diffusion) -> Schedule:
    """The named variance-preserving schedule."""
    schedule: Schedule = getattr(Schedule, diffusion.schedule)(diffusion.T)
    return schedule


EXPLODING = {"sqrt_sigma": VarianceExploding.published, "uniform_sigma": VarianceExploding.report}


def noising_of(diffusion: Diffusion) -> Noising:
    """The named process, of either kind."""
    return EXPLODING[diffusion.schedule](diffusion.T) if diffusion.schedule in EXPLODING else schedule_of(diffusion)
