"""A run folder from checkpoints made elsewhere: whole or not at all; it can be measured and decided, not trained on."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twinsplit.data.sequences import load_sequences
from twinsplit.data.splits.disjoint import shared_contents
from twinsplit.errors import InputError
from twinsplit.papers.imports.checkpoints import Series, recipe_of, stacked
from twinsplit.papers.imports.names import NameMap
from twinsplit.pipeline.stages import disk_needed, set_status
from twinsplit.runs import environment
from twinsplit.runs.files import write_json
from twinsplit.runs.imported import IMPORT
from twinsplit.runs.progress import progress
from twinsplit.runs.store import Run
from twinsplit.worlds.sequences.world import HierarchicalWorld


def import_run(series: Series, data: Path, out: Path, held_out: int, names: NameMap) -> dict[str, Any]:
    """Write the run folder; import.json's content: its networks, and how many contents each pair of splits shares.

    Raises InputError where checkpoints, settings and data do not belong together; nothing is left then.
    """
    if out.exists():
        raise InputError(f"{out} exists", "choose another --out, or remove it")
    sequences = load_sequences(data)
    _check_grammar(series, data, sequences.grammar.vocab_size, sequences.grammar.depth)
    world = HierarchicalWorld.of(recipe_of(series, data, len(sequences.sequences), held_out, names))
    story = {"sources": series.describe(), "shared_contents": _shared(world)}
    with _whole(out) as part:
        _fill(part, series, world, names, story)
    return story


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A new folder that becomes `out` at the end, and is removed where there is no such end; on the same disk, above `out`."""
    home = next(folder for folder in out.resolve().parents if folder.is_dir())
    part = home / f".{out.name}.{os.getpid()}.part"
    try:
        part.mkdir()
        yield part
        out.parent.mkdir(parents=True, exist_ok=True)
        part.rename(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}", "choose another --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(part: Path, series: Series, world: HierarchicalWorld, names: NameMap, story: dict[str, Any]) -> None:
    run = Run.create(part, world.recipe)
    run.check_space(disk_needed(world))
    write_json(part / IMPORT, story)
    run.write_json("data.json", world.describe())
    run.write_json("environment.json", environment.describe())
    with progress("import", world.recipe.training.steps) as report:
        for step, tensors in stacked(series, world.network, names):
            run.save(step, tensors)
            report(step)
    set_status(run, "imported", world.recipe.training.steps)


def _check_grammar(series: Series, data: Path, vocab_size: int, depth: int) -> None:
    for name, ours, theirs in (("vocab_size (q)", vocab_size, series.common.vocab_size), ("depth (l)", depth, series.common.depth)):
        if ours != theirs:
            raise InputError(
                f"{series.sources[0].params} has {name} {theirs}, the data in {data} {ours}", "give the data of these networks"
            )


def _shared(world: HierarchicalWorld) -> list[dict[str, int]]:
    numbers = world.recipe.data.published_splits
    counts = shared_contents(world.data.sequences, world.splits)
    return [{"split_a": numbers[i], "split_b": numbers[j], "contents": count} for (i, j), count in counts.items()]
