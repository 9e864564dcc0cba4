"""The world of a recipe: what its networks learn from and are judged by. The stages of a run know no more than this."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.exploding import VarianceExploding
from twinsplit.diffusion.schedule import Noising, Schedule
from twinsplit.diffusion.series import Loaded, Member, Twins
from twinsplit.execution.local import Executor
from twinsplit.networks.network import Network
from twinsplit.networks.parametrisation import Parametrisation, Sampling
from twinsplit.noise.reference import Noise
from twinsplit.recipes import Diffusion, RunRecipe
from twinsplit.runs.files import fingerprint
from twinsplit.runs.store import Run
from twinsplit.training.ensemble import Ensemble
from twinsplit.training.loop import load_ensemble
from twinsplit.training.step import Task
from twinsplit.worlds import generic
from twinsplit.worlds.evaluator import Evaluator, Measure, Measured


class World(ABC):
    """Data, recipe, network and parametrisation: all that the stages of a run know of what is learned.

    A world of one's own sets the class attributes `name`, `recipe_type` and, for the command line,
    `presets`, and gives `of`, `split_samples`, `held_out_samples` and `parametrisation`; everything else has a
    default. `register` makes it known to recipes, command line, page and dry run.
    """

    name: ClassVar[str]
    recipe_type: ClassVar[type[RunRecipe]]
    presets: ClassVar[Mapping[str, RunRecipe]] = {}

    recipe: RunRecipe
    schedule: Noising
    network: Network

    @classmethod
    @abstractmethod
    def of(cls, recipe: Any) -> "World":
        """Build the world of a recipe; InputError where its sizes do not fit the data."""

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

    def ensemble(self) -> Ensemble:
        """The untrained members."""
        return Ensemble.initial(self.network, self.members, self.root, self.parametrisation.denoiser)

    def load(self, run: Run[Any], step: int, device: torch.device | str = "cpu") -> Twins:
        """The networks at a kept checkpoint: the run's own, or those of the series that its results are of."""
        if run.series is not None:
            return Loaded.of(run.series, step)
        return load_ensemble(run, self.network, step, device, self.parametrisation.denoiser)

    @abstractmethod
    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        """(splits, n, *sample) what each split's networks train on."""

    @abstractmethod
    def held_out_samples(self) -> Tensor:
        """(m, *sample) what all networks are measured on, and none has learned from."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample in `split_samples`."""
        return tuple(self.split_samples().shape[2:])

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one noised state."""
        return self.parametrisation.state(self.sample_shape)

    def oracle(self) -> Denoiser[Any] | None:
        """The exact denoiser of the data's law, where it is known."""
        return None

    def describe(self) -> dict[str, Any]:
        """data.json: what the data are, with their fingerprint; a run refuses other data than those it began with."""
        parts = {"splits": self.split_samples(), "held_out": self.held_out_samples()}
        hashes = {f"{name}_sha256": fingerprint(value.contiguous().numpy().tobytes()) for name, value in parts.items()}
        return {"kind": self.recipe.world, "shape": list(self.sample_shape)} | hashes

    extra_measures: ClassVar[tuple[Measure, ...]] = ()
    """Measures of this world beside the generic ones; each draws itself on the page."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Every measure of a checkpoint that there is."""
        return tuple(self._generic.measures)

    @property
    def standard(self) -> tuple[str, ...]:
        """Those that the onset and the report need."""
        return self.measures

    @property
    def sampled(self) -> str:
        """The measure that draws samples; the report wants it at a few checkpoints only."""
        return generic.SAMPLED

    @property
    def drawn(self) -> tuple[str, ...]:
        """All that is measured where samples are drawn."""
        return (self.sampled,)

    def evaluator(self) -> Evaluator:
        """What evaluates checkpoints."""
        return self._generic

    @property
    def _generic(self) -> generic.GenericEvaluator:
        return generic.GenericEvaluator(self.generic_probes(), self.extra_measures)

    def generic_probes(self) -> generic.Probes:
        """The probes of the generic measures."""
        return generic.Probes(self.recipe, self.parametrisation, self.split_samples(), self.held_out_samples(), self.oracle())

    def sample_stage(self, run: Run[Any], steps: tuple[int, ...], executor: Executor) -> Iterator[Measured]:
        """Draw samples at some checkpoints and measure them; skip those that exist."""
        repeats = self.recipe.repeats
        draw = self.parametrisation.sampler(Sampling(repeats.sampling_steps))
        drawing = generic.Drawing(draw, repeats.generated, self.state_shape, self.root.child("generation"))
        load = partial(self.load, run, device=executor.device)
        return generic.measure_samples(run, load, drawing, self.generic_probes(), steps, executor)


def schedule_of(diffusion: Diffusion) -> Schedule:
    """The named variance-preserving schedule."""
    schedule: Schedule = getattr(Schedule, diffusion.schedule)(diffusion.T)
    return schedule


EXPLODING = {"sqrt_sigma": VarianceExploding.published, "uniform_sigma": VarianceExploding.report}


def noising_of(diffusion: Diffusion) -> Noising:
    """The named process, of either kind."""
    return EXPLODING[diffusion.schedule](diffusion.T) if diffusion.schedule in EXPLODING else schedule_of(diffusion)
