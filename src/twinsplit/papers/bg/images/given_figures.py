"""The image figures drawn from a run that is given: measured where something is missing, never trained."""

from contextlib import closing
from pathlib import Path

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.bg.images.figures import FIGURES, measured, store_drawn
from twinsplit.papers.figure_store import existing
from twinsplit.papers.from_runs import configuration_of, image_run_from
from twinsplit.pipeline import stages as pipeline


def draw_figure(name: str, path: Path, out: Path, executor: Executor) -> list[Path]:
    """Measure what is missing, draw and store; the paths. What stands is not made again, unless the checkpoints changed."""
    figure = FIGURES[name]
    if figure.coarser:
        drawable = ", ".join(other for other, one in FIGURES.items() if not one.coarser)
        raise InputError(f"{name} trains networks on coarser copies, so it has no --run", f"leave it out, or draw {drawable}")
    configuration = configuration_of(out, [path], [image_run_from(path)])
    if found := existing(out, name, configuration):
        return found
    session = pipeline.resume(path, executor)
    with closing(session.lock):
        measured(session, figure.stages, {})
    return store_drawn(out, name, session.run, configuration)
