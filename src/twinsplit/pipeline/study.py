"""A study: twins with the data they learned from and are judged on, and the folder that holds the results."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, final

from torch import Tensor, nn

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.series import Series
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor, Inline
from twinsplit.networks.module import ModuleNetwork
from twinsplit.networks.parametrisation import NoisePrediction, Parametrisation, TokenLogits
from twinsplit.pipeline import stages
from twinsplit.recipes import Diffusion, Repeating, SeriesRecipe, Splitting, TensorNetwork, TensorRecipe, Training
from twinsplit.runs.store import Run
from twinsplit.worlds.registry import world_of
from twinsplit.worlds.tensors import Samples, SeriesWorld, TensorWorld, parameters_sha256
from twinsplit.worlds.world import World

LOSS_OF: dict[type[Parametrisation], str] = {TokenLogits: "cross_entropy"}


@final
@dataclass(frozen=True, eq=False)
class Study:
    """A run folder with its world, and the series where its networks are another's.

    `twinsplit.measure`, `decide` and `report` take a study as they take a run folder.
    """

    run: Run[Any]
    world: World
    series: Series | None = None

    @classmethod
    def of(cls, run: "Study | Run[Any] | Path | str") -> "Study":
        """The study of a run folder; a study is itself."""
        if isinstance(run, Study):
            return run
        opened = run if isinstance(run, Run) else Run.open(Path(run))
        return cls(opened, world_of(opened.recipe))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    @contextmanager
    def held(self, executor: Executor) -> Iterator["stages.Session[Any]"]:
        """The run held for work; nobody else may work on the folder meanwhile."""
        session = stages.begin_in(self.run.path, self.world, executor, self.series)
        with closing(session.lock):
            yield session


def fit(
    module: nn.Module,
    samples: Tensor | Samples,
    splits: int = 6,
    steps: int = 5_000,
    *,
    out: Path | str | None = None,
    process: Schedule | None = None,
    parametrisation: Parametrisation | None = None,
    oracle: Denoiser[Any] | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    held_out: int | None = None,
    training: Mapping[str, Any] | None = None,
    measuring: Repeating | None = None,
) -> Study:
    """Train twins of a module of one's own on disjoint splits of a tensor of samples.

    Args:
        module: called as module(x_t, t), x_t (n, *sample) float32, t (n,) int64 in 1..T; it returns
            the predicted noise, shaped like x_t (for integer samples: logits (n, L, vocab_size)).
            Every twin starts from weights of its own, drawn as the module's `reset_parameters` draws.
        samples: (N, *sample) float32 vectors, series, images or volumes, or (N, L) int64 tokens;
            or `Samples` that are split already.
        splits: number of disjoint splits, one network each (training={"seeds_per_split": 2}: two).
        steps: optimizer steps (Adam).
        out: the run folder; the same call resumes it. Left out, a temporary folder.
        process: the noising process, by default `Schedule.diffusion_lm(200)`.
        parametrisation: what the output means, by default `NoisePrediction` or, for integers, `TokenLogits`.
        oracle: the exact denoiser of the data's law, where it is known.
        seed: of splits, weights, batches and noise.
        held_out: samples to measure on, by default a fifth.
        training: further settings of `recipes.Training`, such as batch, learning_rate, checkpoints.
        measuring: how often is measured, by default `Repeating()`.

    Raises:
        InputError: where samples, module and settings do not fit; nothing is written then.

    Examples:
        >>> twins = fit(torch.nn.Linear(2, 2), torch.randn(600, 2), splits=3, steps=100)  # doctest: +SKIP
    """
    process = Schedule.diffusion_lm(200) if process is None else process
    dealt = samples if isinstance(samples, Samples) else Samples.deal(samples, splits, seed, held_out=held_out)
    meaning = _parametrisation(dealt, process) if parametrisation is None else parametrisation
    network = ModuleNetwork(module)
    recipe = TensorRecipe(
        name="fit",
        seed=seed,
        diffusion=Diffusion(T=process.T),
        training=_training(meaning, steps, dict(training or {})),
        data=Splitting(len(dealt.splits), dealt.splits.shape[1], len(dealt.held_out)),
        network=TensorNetwork(type(module).__qualname__, parameters_sha256(dict(module.named_parameters()))),
        measuring=measuring or Repeating(),
    )
    world = TensorWorld(recipe, dealt, process, network, meaning, oracle)
    _try_once(world)
    folder = Path(mkdtemp(prefix="twinsplit-")) if out is None else Path(out)
    session = stages.begin_in(folder, world, executor or Inline())
    with closing(session.lock):
        stages.train_stage(session)
    return Study(session.run, world)


def _parametrisation(samples: Samples, process: Schedule) -> Parametrisation:
    if samples.splits.is_floating_point():
        return NoisePrediction(process)
    return TokenLogits(1 + int(max(samples.splits.max(), samples.held_out.max())), process)


def _training(meaning: Parametrisation, steps: int, further: dict[str, Any]) -> Training:
    """Settings for small networks, unless others are given."""
    usual: dict[str, Any] = {
        "steps": steps, "batch": 64, "learning_rate": 1e-3, "schedule": "constant", "precision": "float32",
        "ema_decay": 0.995, "loss": LOSS_OF.get(type(meaning), "noise"), "checkpoints": 30,
        "first_checkpoint": max(1, min(40, steps // 10)), "save_every": max(1, steps // 4),
    }  # fmt: skip
    try:
        return Training(**(usual | further))
    except TypeError as error:
        raise InputError(f"training: {error}", "give names of twinsplit.recipes.Training") from error


def _try_once(world: World) -> None:
    """Evaluate one untrained network on one sample: a module that does not fit is refused before anything is written."""
    probe = world.generic_probes().held_out_fixed
    denoiser = world.ensemble().member(0)
    try:
        losses = world.parametrisation.losses(denoiser, probe.x_0[:2], probe.x_t[:2], probe.t[:2], probe.eps[:2])
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        shapes = f"x_t {tuple(probe.x_t[:2].shape)} and t (2,)"
        raise InputError(f"the module fails on {shapes}: {reason}", "give one that returns a prediction shaped like x_t") from error
    if losses.shape != (len(probe.x_0[:2]),):
        raise InputError(f"the module's loss has the shape {tuple(losses.shape)}", "give one that returns a prediction shaped like x_t")


def study(
    series: Series,
    samples: Samples,
    process: Schedule,
    *,
    out: Path | str | None = None,
    parametrisation: Parametrisation | None = None,
    oracle: Denoiser[Any] | None = None,
    measuring: Repeating | None = None,
    seed: int = 0,
) -> Study:
    """Judge networks that a loop of one's own has trained, at every step of a checkpoint series.

    Args:
        series: steps, and at each step K denoisers with the split each was trained on, such as `KeptInMemory`.
        samples: the splits that the networks learned from, in the order of `Member.split`, and held-out samples.
        process: the noising process the networks were trained under.
        out: the folder of the results; left out, a temporary one.
        parametrisation: what the loss compares, by default the noise (for integers: the tokens).
        oracle: the exact denoiser of the data's law, where it is known.
        measuring: how often is measured, by default `Repeating()`.
        seed: of the noise of the probes and of the drawn samples.

    Raises:
        InputError: where members name splits that the samples do not have.

    Examples:
        >>> judged = study(series, samples, schedule)  # doctest: +SKIP
        >>> onset = twinsplit.decide(twinsplit.measure(judged))  # doctest: +SKIP
    """
    steps, members = series.steps(), series.members
    strays = sorted({m.split for m in members} - set(range(len(samples.splits))))
    if strays or not steps:
        raise InputError(
            f"members of split {strays[0]}" if strays else "a series without steps", "give the splits of all members, and steps"
        )
    recipe = SeriesRecipe(
        name="series",
        seed=seed,
        diffusion=Diffusion(T=process.T),
        training=Training(steps=steps[-1], first_checkpoint=steps[0], checkpoint_list=steps),
        data=Splitting(len(samples.splits), samples.splits.shape[1], len(samples.held_out)),
        measuring=measuring or Repeating(),
        member_splits=tuple(m.split for m in members),
        member_seeds=tuple(m.seed for m in members),
    )
    meaning = _parametrisation(samples, process) if parametrisation is None else parametrisation
    world = SeriesWorld(recipe, samples, process, _UNKNOWN, meaning, oracle)
    folder = Path(mkdtemp(prefix="twinsplit-")) if out is None else Path(out)
    session = stages.begin_in(folder, world, Inline(), series)
    with closing(session.lock):
        stages.set_status(session.run, "judged", steps[-1])
    return Study(session.run, world, series)


_UNKNOWN = ModuleNetwork(nn.Linear(1, 1))  # networks of a series are denoisers already
