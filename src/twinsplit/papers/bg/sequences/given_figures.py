"""The hierarchical figures drawn from runs that are given, imported or our own: measured where something is missing, never trained."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.bg.landmark_measures import Stage, closer
from twinsplit.papers.bg.sequences.figures import FIGURES, figure_of, store_drawn
from twinsplit.papers.figure_store import existing
from twinsplit.papers.from_runs import configuration_of, run_from
from twinsplit.pipeline import stages as pipeline
from twinsplit.runs.store import Run


def draw_figure(name: str, paths: Sequence[Path], out: Path, executor: Executor) -> list[Path]:
    """Measure what is missing, draw and store; the paths. What stands is not made again, unless the checkpoints changed."""
    _check_number(name, paths)
    configuration = configuration_of(out, paths, [run_from(path) for path in paths])
    if found := existing(out, name, configuration):
        return found
    measured = [_measured(path, FIGURES[name].stages, executor) for path in paths]
    return store_drawn(out, name, figure_of(name, measured), configuration)


def _check_number(name: str, paths: Sequence[Path]) -> None:
    numbers, count = FIGURES[name].numbers, len(paths)
    if count not in numbers:
        wanted = "1 run or more" if len(numbers) > 1 else f"{numbers[0]} run{'s' * (numbers[0] > 1)}"
        raise InputError(f"{name} shows {wanted}, {count} were given", "give each of them as --run RUN")
    if len({path.resolve() for path in paths}) < count:
        raise InputError("a run is given twice", "name each run once")


def _measured(path: Path, stages: tuple[Stage, ...], executor: Executor) -> Run:
    session = pipeline.resume(path, executor)
    with closing(session.lock):
        closer(session, stages)
    return session.run
