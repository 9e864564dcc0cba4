"""gahb-onset: on one ladder of N, how far twins converge ([GAHB]) and from which step they part ([BG])."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twinsplit.onset.checkpoints import nearest_checkpoint
from twinsplit.onset.decision import Onset, find_onset
from twinsplit.onset.turning import Turn
from twinsplit.papers.bg.images import panels as of_images
from twinsplit.papers.figure import FIGURES, Options, Panels
from twinsplit.papers.gahb import panels as of_samples
from twinsplit.papers.gahb.figures import OnLadder, rungs_caption
from twinsplit.papers.gahb.panels import SHUFFLED, alike, rung_colour
from twinsplit.papers.lines import OVER_PAIRS, Floats, epoch_label, epochs, in_epochs, minimum_line, pair_line
from twinsplit.papers.rp import nearest_panels
from twinsplit.papers.rp.nearest import measure_closest
from twinsplit.papers.rp.nearest_panels import NOTHING, Band, Counts, N, banded, size
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.curves import curves_of
from twinsplit.pipeline.stages import Session
from twinsplit.report.figure import Axes, ImageGrid, Line, as_floats
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa

DIVERGENCE = "sample_split_divergence"
CAPTION = f"{OVER_PAIRS} {SHUFFLED} Minima: joint 95% intervals over splits and held-out images."


@final
@dataclass(frozen=True)
class Moments:
    """Kept checkpoints: where twins agree best, where the test loss is lowest (None where that is not reached), and the last."""

    onset: int | None
    loss: int | None
    end: int

    @classmethod
    def of(cls, run: Run[Any], onset: Onset) -> "Moments":
        """The checkpoints nearest to what was decided."""
        return cls(_checkpoint(run, onset.onset), _checkpoint(run, onset.test_loss_minimum), run.steps()[-1])

    @property
    def steps(self) -> tuple[int, ...]:
        """Ascending, each once."""
        return tuple(sorted({step for step in (self.onset, self.loss, self.end) if step is not None}))


def _checkpoint(run: Run[Any], turn: Turn) -> int | None:
    return None if turn.step is None else nearest_checkpoint(run.steps(), float(np.log(turn.step)))


@final
@dataclass(frozen=True, eq=False)
class Rung:
    """Networks on splits of one size, and what find_onset says of them."""

    run: Run[Any]
    onset: Onset

    @classmethod
    def of(cls, run: Run[Any]) -> "Rung":
        """Decide from what is measured."""
        return cls(run, find_onset(curves_of(run)))

    @property
    def moments(self) -> Moments:
        """Where samples are drawn."""
        return Moments.of(self.run, self.onset)

    @property
    def name(self) -> str:
        """In legends."""
        return f"N = {size(self.run):,}"


Rungs = Sequence[Rung]


def _sizes(rungs: Rungs) -> Floats:
    return as_floats([size(rung.run) for rung in rungs])


def convergence(rungs: Rungs) -> Axes:
    """Likeness of what twins draw against N ([GAHB] fig. 2), at the three moments of training."""
    x = _sizes(rungs)
    kinds = (("where twins agree best", "onset", "blue"), ("at the test-loss minimum", "loss", "red"), ("at the end", "end", "ink"))
    lines = [banded(text, x, [_alike_at(rung, moment) for rung in rungs], colour) for text, moment, colour in kinds]
    null = replace(banded("shuffled pairs, at the end", x, [alike(rung.run, rung.moments.end)[1] for rung in rungs], "grey"), dash="dash")
    return Axes("what twins draw from the same noise", N, "correlation", (*lines, null))


def _alike_at(rung: Rung, moment: str) -> Band:
    step = getattr(rung.moments, moment)
    return NOTHING if step is None else alike(rung.run, step)[0]


def along_training(rungs: Rungs) -> Axes:
    """Divergence of the twins along training, a curve per N, its minimum marked ([BG] fig. 2)."""
    colours = [rung_colour(i, len(rungs)) for i in range(len(rungs))]
    pairs = list(zip(rungs, colours, strict=True))
    lines = tuple(pair_line(rung.run, of_images.apart(rung.run, DIVERGENCE), rung.name, colour) for rung, colour in pairs)
    marks = tuple(minimum_line(rung.run, rung.onset.onset, f"{rung.name}: agree best", colour) for rung, colour in pairs)
    return Axes("twins along training", epoch_label(rungs[0].run), "sample-split divergence (nats)", lines, marks, y_scale="log")


def turns(rungs: Rungs) -> Axes:
    """When twins agree best and when the test loss is lowest, against N; no point where that is not reached."""
    x = _sizes(rungs)
    onsets = _turn_line("twins agree best", x, rungs, [rung.onset.onset for rung in rungs], "blue")
    losses = _turn_line("test loss lowest", x, rungs, [rung.onset.test_loss_minimum for rung in rungs], "red")
    return Axes("when", N, epoch_label(rungs[0].run), (onsets, losses), y_scale="log")


def _turn_line(text: str, x: Floats, rungs: Rungs, found: Sequence[Turn], colour: str) -> Line:
    """An interval that is open on a side ends at the checkpoints there are."""
    bands = []
    for rung, turn in zip(rungs, found, strict=True):
        at, low, high = in_epochs(rung.run, turn)
        first, last = epochs(rung.run, np.array(rung.run.steps())[[0, -1]]).tolist()
        bands.append(NOTHING if at is None else (at, low or first, high or last))
    return banded(text, x, bands, colour)


def drawn(rung: Rung) -> list[ImageGrid]:
    """What twins draw where they agree best and at the end, each sample beside its closest training image."""
    moments = rung.moments
    steps = [step for step in dict.fromkeys((moments.onset, moments.end)) if step is not None]
    return [replace(of_samples.drawn(rung.run, step), title=f"{rung.name}, {_epoch(rung.run, step)} (step {step:,})") for step in steps]


def _epoch(run: Run[Any], step: int) -> str:
    return f"epoch {float(epochs(run, np.array(step))):,.0f}"


def counts(rungs: Rungs) -> list[Counts]:
    """Of the samples at all moments that are shown."""
    return [Counts.of(rung.run, rung.moments.steps) for rung in rungs]


def caption(rungs: Rungs) -> str:
    """The verdicts, and what is missing from the panels."""
    return " ".join(f"{rung.name}: {rung.onset.verdict.replace('_', ' ')}{_missing(rung)}." for rung in rungs)


def _missing(rung: Rung) -> str:
    names = {"onset": rung.onset.onset, "test-loss minimum": rung.onset.test_loss_minimum}
    missing = [name for name, turn in names.items() if turn.step is None]
    return f" ({' and '.join(missing)} not reached)" if missing else ""


def onset_table(rungs: Rungs) -> "pa.Table":
    """A row per rung: N, the decision whole, and both minima in epochs."""
    import pyarrow as pa

    return pa.Table.from_pylist([_row(rung) for rung in rungs])


def _row(rung: Rung) -> dict[str, Any]:
    at, low, high = in_epochs(rung.run, rung.onset.onset)
    loss, loss_low, loss_high = in_epochs(rung.run, rung.onset.test_loss_minimum)
    epochs_of = {"onset_epoch": at, "onset_epoch_low": low, "onset_epoch_high": high}
    epochs_of |= {"test_loss_minimum_epoch": loss, "test_loss_minimum_epoch_low": loss_low, "test_loss_minimum_epoch_high": loss_high}
    drawn = Counts.of(rung.run, rung.moments.steps)
    return {"N": drawn.N, "samples": drawn.samples, "unfinished": drawn.unfinished} | epochs_of | rung.onset.to_json()


@final
@dataclass(frozen=True)
class OnsetFigure(OnLadder):
    """The decision on every rung, and samples at its landmarks."""

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        pipeline.measure_stage(session)
        moments = Moments.of(session.run, pipeline.decide(session.run))
        pipeline.sampling_stage(session, moments.steps)
        for step in moments.steps:
            pipeline.follow(session, "measure", measure_closest(session.run, session.world, step, session.executor))

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> Panels:
        rungs = [Rung.of(run) for run in runs]
        words = rungs_caption(runs, f"{caption(rungs)} {CAPTION} {nearest_panels.caption(counts(rungs))}")
        axes = [convergence(rungs), along_training(rungs), turns(rungs)]
        return Panels(axes, words, drawn(rungs[-1]), 3, {"onsets": onset_table(rungs)})


(NAME,) = FIGURES.register(OnsetFigure("gahb-onset", "Similarity of twins' samples against N, and their divergence along training"))
