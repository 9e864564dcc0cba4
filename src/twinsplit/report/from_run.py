"""A run folder as a `Report`: everything the page shows, read from stored results only."""

from datetime import UTC, datetime
from typing import Any

from twinsplit.errors import InputError
from twinsplit.recipes import ImageRecipe
from twinsplit.report import from_images, from_sequences
from twinsplit.report.definitions import DEFINITIONS, OF_IMAGES
from twinsplit.report.model import Decision, Report
from twinsplit.runs.store import Run

CAVEATS = (
    "The decision holds for this data, network and training; another setting needs its own twins.",
    "Stopping early lowers how much the samples lean on single training examples. It is no privacy guarantee.",
)
DECIDED: dict[str, Any] = {"verdict": str, "reason": str, "level": float, "rise": float}
DECIDED |= {f"{name}_interval": list for name in ("onset", "test_loss_minimum", "rise")}
DECIDED |= {f"{name}_step": float | None for name in ("onset", "test_loss_minimum")}
LEFT_OUT = ("rows", "normalisations")  # of data.json: too long to be read


def report_of(run: Run[Any]) -> Report:
    """Everything the page shows. InputError where a stage is missing."""
    decision = decision_of(run)
    of_images = isinstance(run.recipe, ImageRecipe)
    world = from_images if of_images else from_sequences
    return Report(
        title="When did the twins start to lean on their own samples?",
        subtitle=world.subtitle(run),
        decision=decision,
        panels=tuple(world.panels(run, decision.onset_step or float(run.steps()[-1]) / 10)),
        histograms=() if of_images else tuple(from_sequences.histograms(run, decision)),
        definitions=OF_IMAGES if of_images else DEFINITIONS,
        configuration=run.recipe.to_json(),
        environment=run.read_json("environment.json"),
        data={k: v for k, v in run.read_json("data.json").items() if k not in LEFT_OUT},
        command=run.read_json("status.json", command=str)["command"],
        caveats=CAVEATS,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        galleries=tuple(from_images.galleries(run, decision)) if of_images else (),
    )


def decision_of(run: Run[Any]) -> Decision:
    """The stored decision, with the checkpoint to use: the last one at or before the onset."""
    found = _stored(run)
    return Decision(
        verdict=found["verdict"],
        onset_step=found["onset_step"],
        onset_interval=tuple(found["onset_interval"]),
        test_loss_minimum_step=found["test_loss_minimum_step"],
        test_loss_minimum_interval=tuple(found["test_loss_minimum_interval"]),
        reason=found["reason"],
        level=found["level"],
        rise=100 * found["rise"],
        rise_interval=tuple(None if bound is None else 100 * bound for bound in found["rise_interval"]),
        rise_unit="% of its value at the onset",
        checkpoint=_checkpoint_before(run, found["onset_step"]),
    )


def _stored(run: Run[Any]) -> dict[str, Any]:
    """onset.json; `twinsplit onset` writes it anew, so that is the remedy for whatever is wrong with it."""
    try:
        found: dict[str, Any] = run.read_json("measurements/onset.json", **DECIDED)
    except InputError as error:
        raise InputError(error.what, f"run: twinsplit onset {run.path}") from error
    return found


def _checkpoint_before(run: Run[Any], step: float | None) -> str | None:
    earlier = [s for s in run.steps() if step is not None and s <= step]
    return str(run.checkpoint(earlier[-1]).relative_to(run.path)) if earlier else None
