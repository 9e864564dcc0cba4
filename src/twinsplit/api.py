"""The whole job in a few calls: what the commands do, from Python.

    run = train("laptop", "runs/a")
    measure(run)
    onset = decide(run)
    page = report(run)

Every function takes a run folder (a path or a `Run`) or a `Study`, as `fit` and `study` return it.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from twinsplit.execution.local import open_executor
from twinsplit.onset.decision import Onset
from twinsplit.pipeline import stages
from twinsplit.pipeline.study import Study
from twinsplit.recipes import RunRecipe, preset_of, read_recipe
from twinsplit.report.write import report
from twinsplit.runs.store import Run

__all__ = ["decide", "measure", "quickstart", "report", "train"]

AnyRun = TypeVar("AnyRun", bound="Study | Run[Any] | Path | str")
SCALES = ("smoke", "laptop", "paper")


def quickstart(
    out: Path | str = "twinsplit-out/quickstart",
    *,
    world: str = "hierarchical",
    scale: str = "laptop",
    seed: int = 0,
    workers: int = 1,
    device: str = "cpu",
) -> Onset:
    """Train twins, measure them, find the onset, draw samples and write the page, as `twinsplit quickstart` does.

    Args:
        out: the run folder; the same call resumes it.
        world: whose presets: "hierarchical", "digits", or the name of a registered world.
        scale: "smoke" (seconds), "laptop" (minutes) or "paper" (the published setting).
        seed: of data, weights, order and noise.
        workers: one-thread worker processes; the results are the same for any number.
        device: where networks compute.

    Returns:
        The decision; OUT/report.html is the page.

    Raises:
        InputError: for what cannot be asked; nothing is written then.

    Examples:
        >>> quickstart("runs/quick", scale="smoke").verdict  # doctest: +SKIP
    """
    recipe = replace(preset_of(world, scale), seed=seed)
    with open_executor(min(workers, len(recipe.members)), device) as executor:
        session = stages.begin(Path(out), recipe, executor)
        with closing(session.lock):
            stages.train_stage(session)
            stages.measure_stage(session)
            onset = stages.decide(session.run)
            stages.sampling_stage(session, stages.moments(session.run, onset))
    report(session.run)
    return onset


def train(recipe: RunRecipe | Path | str, out: Path | str, *, workers: int = 1, device: str = "cpu") -> Run[Any]:
    """Train twins on disjoint splits, or go on training, to the same bits on the same machine.

    Args:
        recipe: a recipe, the path of a .toml or .json file, or a preset: "smoke", "laptop", "paper", or
            "digits/smoke" for another world's.
        out: the run folder.
        workers: one-thread worker processes.
        device: where networks compute.

    Returns:
        The run.

    Raises:
        InputError: for a recipe that cannot be run, a folder that holds another run, a loss that is not finite.

    Examples:
        >>> run = train("smoke", "runs/a")  # doctest: +SKIP
    """
    chosen = _recipe(recipe)
    with open_executor(min(workers, len(chosen.members)), device) as executor:
        session = stages.begin(Path(out), chosen, executor)
        with closing(session.lock):
            stages.train_stage(session)
    return session.run


def _recipe(recipe: RunRecipe | Path | str) -> RunRecipe:
    if isinstance(recipe, RunRecipe):
        return recipe
    world, _, scale = str(recipe).rpartition("/")
    preset = scale in SCALES and not Path(recipe).exists()
    return preset_of(world or "hierarchical", scale) if preset else read_recipe(Path(recipe))


def measure(run: AnyRun, names: Sequence[str] = (), *, workers: int = 1, device: str = "cpu") -> AnyRun:
    """Measure along the checkpoints; skip measurements that exist.

    Args:
        run: a run folder, or a study.
        names: measures, by default those that the onset and the page need.
        workers: one-thread worker processes.
        device: where networks compute.

    Returns:
        What was given, so that calls can be nested.

    Raises:
        InputError: for an unknown measure, or data that are not those the run began with.

    Examples:
        >>> onset = decide(measure("runs/a"))  # doctest: +SKIP
    """
    study = Study.of(run)
    with open_executor(min(workers, max(1, len(study.run.steps()))), device) as executor, study.held(executor) as session:
        stages.measure_stage(session, tuple(names))
    return run


def decide(run: Study | Run[Any] | Path | str) -> Onset:
    """Find the onset and the test-loss minimum from stored measurements, and store the decision.

    Args:
        run: a run folder, or a study, that is measured.

    Raises:
        InputError: where checkpoints are not measured, or too few to find a minimum.

    Examples:
        >>> decide("runs/a").verdict  # doctest: +SKIP
    """
    return stages.decide(_run(run))


def _run(run: Study | Run[Any] | Path | str) -> Run[Any]:
    if isinstance(run, Study):
        return run.run
    return run if isinstance(run, Run) else Run.open(Path(run))
