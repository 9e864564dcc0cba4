"""Claims of several runs, judged: as text, as JSON, as the page docs/claims.md."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.papers.bg.claims import claims_of, to_json
from twinsplit.papers.bg.landmark_measures import CLAIMS, measure_landmarks
from twinsplit.papers.bg.sequences.settings import SETTINGS
from twinsplit.papers.bg.verdicts import Claim, Part
from twinsplit.papers.figure import prepare_run, run_name
from twinsplit.papers.from_runs import check_minima, run_from
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import Recipe
from twinsplit.runs.files import read_json, write_bytes

PUBLISHED = (5_000, 12_000, 70_000)  # split sizes, ascending
ABOUT = """# The six claims, on our runs

Written by `twinsplit claims --document docs/claims.md`; do not edit by hand. The claims are those of *Biased Generalization in Diffusion
Models* (arXiv 2603.03469). Each statistic says by its 95% interval that its claim `holds`, that it `does not hold`, or that there is `not
enough power` to tell. A claim `holds` when all of its statistics say so, `does not hold` when one of them says that, and has `not enough
power` otherwise. Intervals are over splits, one left out at a time, unless the table says otherwise; `open` means that the minimum may lie
beyond the last checkpoint.

One minimum comes before another (C1, C2) where the whole interval of the factor between their steps lies above 1. It does not where the
interval reaches 1 or less and ends at 1.5 or below: a lead of less than that factor is none that anyone could act on (as in `onset`).
The peak of C3 is not at an intermediate time where its interval lies in the second half of the times, or before the second time measured.
Its interval is at least as wide as the times that were measured lie apart, however well the splits agree.

What the words leave open: "0" in C4 and "alike" in C5 mean less than a tenth of the effect that is claimed (the excess on training
data, the advantage of train starts at the test-loss minimum). "Lowest earlier" in C6 is the slope over all k; neighbouring levels may
be too close to tell apart, and must only not be surely the wrong way round; where both sides of an interval are open, nothing is known.
How the setting was found: docs/figures.md.

"""


@final
@dataclass(frozen=True)
class Judged:
    """A run and what it says. last: the step of its last checkpoint."""

    path: Path
    recipe: Recipe
    claims: tuple[Claim, ...]
    last: int

    @property
    def trained(self) -> str:
        """How far: a minimum may lie beyond the last checkpoint of a run whose training has not ended."""
        steps = self.recipe.training.steps
        return f"{steps:,} steps" if self.last == steps else f"{self.last:,} of {steps:,} steps so far"


def planned(scale: str, repeats: int, splits: int | None, out: Path) -> list[tuple[Path, Recipe]]:
    """The runs of a scale with seeds 0..repeats - 1, where the figures keep them."""
    if repeats < 1:
        raise InputError(f"--repeats {repeats}", "ask for at least 1")
    recipes = [at_scale(SETTINGS, scale).recipe("middle", seed, splits) for seed in range(repeats)]
    return [(out / "runs" / run_name(recipe, "middle"), recipe) for recipe in recipes]


def runs_of(paths: Sequence[Path]) -> list[tuple[Path, Recipe]]:
    """Run folders, and the runs that figures were made from."""
    found = {run: None for path in paths for run in _runs_behind(path)}
    opened = [run_from(path) for path in found]
    for run in opened:
        check_minima(run)
    return [(run.path, run.recipe) for run in opened]


def _runs_behind(path: Path) -> list[Path]:
    if (path / "config.json").is_file():
        return [path]
    stem = path.name.split(".")[0]
    names = [stem, *(stem.removesuffix(part) for part in ("-config", "-curves", "-marks"))]
    configuration = next((found for name in names if (found := path.parent / f"{name}-config.json").is_file()), None)
    if path.is_dir() or configuration is None:
        raise InputError(f"{path} is neither a run folder nor a figure", "give a run folder, or a file such as OUT/fig5.png")
    runs = read_json(configuration).get("runs")
    if not runs:
        raise InputError(f"{path} was not made from runs", "give one of fig1b to fig11")
    return [_beside(path.parent, run) for run in runs]


def _beside(folder: Path, run: str) -> Path:
    """A run as a figure names it: below its folder, or elsewhere where the figure was drawn from runs that were given."""
    found = folder / run
    return found.resolve() if ".." in found.parts else found


def made(path: Path, recipe: Recipe, executor: Executor) -> Path:
    """A planned run, trained to the end: taken up where it stood."""
    return prepare_run(path, recipe, executor).path


def judge(path: Path, executor: Executor) -> Judged:
    """Measure what is missing at the checkpoints there are, and judge; the verdicts are stored in RUN/measurements/claims.json.

    Nothing is trained: a run that was made elsewhere, or whose training has not ended, is judged as it stands.
    """
    session = pipeline.resume(path, executor)
    with closing(session.lock):
        measure_landmarks(session, CLAIMS)
        claims = tuple(claims_of(session.run))
        session.run.write_json("measurements/claims.json", to_json(list(claims)))
    return Judged(path, session.run.recipe, claims, session.run.steps()[-1])


def as_json(judged: Sequence[Judged]) -> str:
    """One object per run."""
    rows: list[dict[str, Any]] = [{"run": str(j.path), "trained": j.trained, "claims": to_json(list(j.claims))} for j in judged]
    return json.dumps(rows, indent=2, allow_nan=False)


def as_text(judged: Sequence[Judged]) -> str:
    """A line per claim and statistic."""
    return "\n".join(line for j in judged for line in [f"{j.path}: {j.trained}", *_all_lines(j.claims)])


def _all_lines(claims: Sequence[Claim]) -> list[str]:
    return [line for claim in claims for line in _claim_lines(claim)]


def _claim_lines(claim: Claim) -> list[str]:
    return [f"  {claim.name} {claim.verdict}: {claim.text}", *(f"     {part_text(part)}" for part in claim.parts)]


def part_text(part: Part) -> str:
    """A statistic with its interval, what it is over, and its verdict."""
    return f"{part.statistic}: {_number(part.value, 'not reached')} ({_interval(part)}; {part.over}): {part.verdict}"


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.3g}"


def _interval(part: Part) -> str:
    low, high = (_number(bound, "open") for bound in part.interval)
    return f"{low} to {high}"


def write_document(path: Path, judged: Sequence[Judged]) -> None:
    """The page, whole or not at all."""
    write_bytes(path, (ABOUT + _sizes(judged) + _summary(judged) + "".join(_section(j) for j in judged)).encode())


def _sizes(judged: Sequence[Judged]) -> str:
    """Whether a published size is among the runs."""
    if any(j.recipe.data.split_size >= PUBLISHED[0] for j in judged):
        return ""
    sizes = ", ".join(f"{n:,}" for n in PUBLISHED)
    return f"No run of a published size (n = {sizes}) is among these: such runs take a GPU, and none was had for them.\n\n"


def _summary(judged: Sequence[Judged]) -> str:
    head = "| claim | " + " | ".join(f"seed {j.recipe.seed}" for j in judged) + " |\n|---|" + "---|" * len(judged) + "\n"
    rows = zip(*(j.claims for j in judged), strict=True)
    return head + "".join(f"| **{row[0].name}** {row[0].text} | " + " | ".join(c.verdict for c in row) + " |\n" for row in rows) + "\n"


def _section(j: Judged) -> str:
    data = j.recipe.data
    caption = (
        f"{len(j.recipe.members)} networks on {data.splits} disjoint splits of {data.split_size} sequences (depth {data.depth}, "
        f"{data.held_out} held out), {j.trained}."
    )
    rows = "".join(
        f"| {c.name} | {p.statistic} | {_number(p.value, 'not reached')} | {_interval(p)} | {p.over} | {p.verdict} |\n"
        for c in j.claims
        for p in c.parts
    )
    head = "| claim | statistic | value | 95% interval | over | says |\n|---|---|---|---|---|---|\n"
    return f"## Seed {j.recipe.seed}\n\n{caption}\n\n{head}{rows}\n"
