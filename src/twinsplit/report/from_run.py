"""A run folder as a `Report`: everything the page shows, read from stored results only."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from twinsplit.errors import InputError
from twinsplit.onset.decision import Onset
from twinsplit.report import from_images, from_sequences, words
from twinsplit.report.model import Report
from twinsplit.report.panels import PanelsOf, loss_panel, nearest_step, page_of, register_page, split_panel
from twinsplit.runs.store import Run

CAVEAT = "The decision holds for this data, network and training; another setting needs its own twins."
SEED_OR_DATA = "Twins part for two reasons, their seeds and their data: with one network a split, nobody can tell one from the other."
DECISION = "measurements/onset.json"
LEFT_OUT = ("rows", "normalisations")  # of data.json: too long to be read

register_page("sequences", from_sequences.PAGE)
register_page("images", from_images.PAGE)


def report_of(run: Run[Any], extra_panels: Sequence[PanelsOf] = ()) -> Report:
    """Everything the page shows. InputError where a stage is missing.

    extra_panels: what measures of the run bring along, each a function of the run and the step from which on curves are
    shown whole; their axes stand behind those of the world.
    """
    onset, page = onset_of(run), page_of(run.recipe.world)
    settled = onset.onset.step or float(run.steps()[-1]) / 10
    return Report(
        title="When do the twins agree best, and when is the test loss lowest?",
        subtitle=page.subtitle(run),
        onset=onset,
        main=(split_panel(run, settled, page.divergence_unit), loss_panel(run, settled, page.loss_unit)),
        details=tuple(axes for panels in (page.details, *extra_panels) for axes in panels(run, settled)),
        definitions=page.definitions,
        configuration=run.recipe.to_json(),
        environment=run.read_json("environment.json"),
        data={k: v for k, v in run.read_json("data.json").items() if k not in LEFT_OUT},
        command=run.read_json("status.json", command=str)["command"],
        caveats=_caveats(run),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        distances=tuple(page.distances(run, onset)),
        galleries=tuple(page.galleries(run, onset)),
        checkpoint=_checkpoint(run, onset),
    )


def _caveats(run: Run[Any]) -> tuple[str, ...]:
    splits = [split for split, _ in run.recipe.members]
    always = (CAVEAT, words.NOT_A_PROMISE)
    return (*always, SEED_OR_DATA) if len(set(splits)) == len(splits) else always


def onset_of(run: Run[Any]) -> Onset:
    """The stored decision; `twinsplit onset` writes it anew, so that is the remedy for whatever is wrong with it."""
    remedy = f"run: twinsplit onset {run.path}"
    try:
        return Onset.from_json(run.read_json(DECISION))
    except InputError as error:
        raise InputError(error.what, remedy) from error
    except ValueError as error:
        raise InputError(f"{run.path / DECISION} holds no decision: {error}", remedy) from error


def _checkpoint(run: Run[Any], onset: Onset) -> str | None:
    """The kept checkpoint nearest to the step to stop at, whose samples the page shows, too: that of the onset, or of the test-loss
    minimum where there is no bias. None where the verdict names no step, and for networks that are kept elsewhere.
    """
    stop = {"bias_precedes_test_minimum": onset.onset.step, "no_bias_before_test_minimum": onset.test_loss_minimum.step}
    step = stop.get(onset.verdict)
    nearest = None if step is None else nearest_step(run.steps(), step)
    path = None if nearest is None else run.checkpoint(nearest)
    return str(path.relative_to(run.path)) if path is not None and path.is_file() else None
