"""What each verb of the command line does: a few lines over the stages."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinsplit import recipes
from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.sequences import SequenceData
from twinsplit.errors import InputError
from twinsplit.execution.local import Crew, available_cores, crew
from twinsplit.papers.imports.checkpoints import gather
from twinsplit.papers.imports.header import untrusted_checkpoint, untrusted_data
from twinsplit.papers.imports.names import NameMap
from twinsplit.papers.imports.run import import_run
from twinsplit.papers.imports.sequences import import_sequences
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import RunRecipe
from twinsplit.runs.imported import refuse_imported
from twinsplit.runs.places import check_file
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from twinsplit.cli import command as cli
    from twinsplit.cli import data as data_cli


def _crew(workers: int, tasks: int, device: str = "cpu") -> "AbstractContextManager[Crew]":
    if workers < 0:
        raise InputError(f"--workers {workers}", "give 1 or more, or 0 for one per core")
    return crew(min(workers or available_cores(), tasks), device)


def quickstart(asked: "cli.Quickstart") -> None:
    """Everything from the data to the page."""
    refuse_imported(asked.out)
    recipe = replace(recipes.preset_of(asked.world, asked.scale), seed=asked.seed)
    if asked.world == "digits" and asked.scale == "paper":
        raise InputError(
            "--world digits has no paper scale", "use laptop; the published images are CelebA's: `twinsplit train` with a recipe"
        )
    out = asked.out
    with _crew(asked.workers, len(recipe.members), asked.device) as hands:
        session = pipeline.begin(out, recipe, hands)
        pipeline.train_stage(session)
        pipeline.measure_stage(session)
        decision = pipeline.decide(session.run)
        pipeline.sampling_stage(session, pipeline.moments(session.run, decision))
    page = report(out)
    print(f"{decision.verdict}: {decision.reason}\n{page}")


def data_grammar(asked: "data_cli.DataGrammar") -> None:
    """Draw and write a data folder."""
    if asked.samples < 1:
        raise InputError(f"--samples {asked.samples}", "draw at least 1")
    grammar = TreeGrammar.random(asked.vocab_size, asked.depth, asked.rules_per_symbol, asked.sigma, asked.grammar_seed)
    origin = {"grammar_seed": asked.grammar_seed, "sigma": asked.sigma}
    data = SequenceData.drawn(grammar, asked.samples, asked.seed, asked.factorised, origin)
    data.save(asked.out)
    print(f"{asked.out}: {asked.samples} sequences of {grammar.length} tokens, sha256 {data.describe()['sha256'][:16]}")


def import_data(asked: "cli.ImportData") -> None:
    """Read the authors' data file in the sandbox, check it against the grammar, write a data folder."""
    if not asked.trusted:
        raise untrusted_data(asked.file)
    law = {"rules_per_symbol": asked.rules_per_symbol, "sigma": asked.sigma, "grammar_seed": asked.grammar_seed}
    grammar = TreeGrammar.random(asked.vocab_size, asked.depth, asked.rules_per_symbol, asked.sigma, asked.grammar_seed)
    data, impossible = import_sequences(asked.file, grammar, law, asked.impossible)
    data.save(asked.out)
    count = f"{len(data.sequences)} sequences of {grammar.length} tokens"
    print(f"{asked.out}: {count}, {impossible:.3%} impossible under the grammar, sha256 {data.describe()['sha256'][:16]}")


def import_checkpoints(asked: "cli.ImportCheckpoints") -> None:
    """Read the authors' checkpoints in the sandbox and write a run folder."""
    series = gather(asked.paths)
    if not asked.trusted:
        raise untrusted_checkpoint(series.files(series.epochs[0])[0])
    names = NameMap.read(asked.names) if asked.names else NameMap.usual()
    story = import_run(series, asked.data, asked.out, asked.held_out, names)
    for pair in story["shared_contents"]:
        print(f"splits {pair['split_a']} and {pair['split_b']} share {pair['contents']} contents of {series.common.n}")
    held = f"{len(series.sources)} networks on splits {', '.join(map(str, series.splits))} at {len(series.epochs)} epochs"
    print(f"{asked.out}: {held}; next: twinsplit measure {asked.out}")


def train(asked: "cli.Train") -> None:
    """Train, or go on training."""
    refuse_imported(asked.out)
    recipe = _recipe(asked)
    with _crew(asked.workers, len(recipe.members), asked.device) as hands:
        pipeline.train_stage(pipeline.begin(asked.out, recipe, hands))
    print(f"{asked.out}: trained to step {recipe.training.steps}; next: twinsplit measure {asked.out}")


def dry_run(asked: "cli.Train") -> None:
    """Say what a run would take; write nothing."""
    from twinsplit.pipeline.dry_run import costs_of, render, speed_of
    from twinsplit.pipeline.sampling_cost import afterwards_of
    from twinsplit.worlds.registry import world_of

    recipe = _recipe(asked)
    with _crew(asked.workers, len(recipe.members), asked.device) as hands:
        world = world_of(recipe)
        print(render(recipe, costs_of(world), speed_of(world, hands), afterwards_of(world, hands)))


def _recipe(asked: "cli.Train") -> RunRecipe:
    recipe = recipes.read_recipe(asked.recipe) if asked.recipe else recipes.preset_of(asked.world, asked.scale)
    if asked.seed is not None:
        recipe = replace(recipe, seed=asked.seed)
    if asked.data is not None:
        recipe = recipe.on_folder(asked.data.resolve())
    return recipe


def measure(asked: "cli.Measure") -> None:
    """Measure what is missing."""
    from twinsplit.cli import measure_verbs

    path = asked.path
    distance = measure_verbs.distance_of(asked, Run.open(path))
    names = tuple(name for name in asked.names if name != measure_verbs.FID)
    with _crew(asked.workers, len(Run.open(path).recipe.checkpoint_steps()), asked.device) as hands:
        session = pipeline.resume(path, hands)
        if not session.run.steps():
            raise InputError(f"{path} has no checkpoint yet", f"train first: twinsplit train --out {path}")
        if names or not asked.names:
            pipeline.measure_stage(session, names)
        distance(session)
    print(f"{path}: measured; next: twinsplit onset {path}")


def onset(path: Path) -> None:
    """The decision in words."""
    decision = pipeline.decide(Run.open(path))
    print(f"{decision.verdict}: {decision.reason}")


def onset_json(path: Path) -> None:
    """The decision as one JSON object."""
    json.dump(pipeline.decide(Run.open(path)).to_json(), sys.stdout, indent=2, allow_nan=False)
    print()


def figure(asked: "cli.Figure") -> None:
    """Make one figure, or name the files of one that stands."""
    from twinsplit.cli import figure_verbs

    with _crew(asked.workers, available_cores(), asked.device) as hands:
        print(*figure_verbs.make(asked, hands), sep="\n")


def claims(asked: "cli.Claims") -> None:
    """Judge the six claims on runs, or on the runs of figures, or on runs made here."""
    from twinsplit.papers.bg import claims_report

    if asked.document is not None:
        check_file(asked.document)
    with _crew(asked.workers, available_cores(), asked.device) as hands:
        if asked.paths:
            runs = [path for path, _ in claims_report.runs_of(asked.paths)]
        else:
            planned = claims_report.planned(asked.scale, asked.repeats, asked.seeds, asked.out)
            runs = [claims_report.made(path, recipe, hands) for path, recipe in planned]
        judged = [claims_report.judge(path, hands) for path in runs]
    if asked.document is not None:
        claims_report.write_document(asked.document, judged)
    print(claims_report.as_json(judged) if asked.json else claims_report.as_text(judged))


def report(path: Path) -> Path:
    """Write the page and the printed figure."""
    from twinsplit.report.write import write_report

    return write_report(Run.open(path))


def export(asked: "cli.Export") -> None:
    """One network for diffusers."""
    from twinsplit.worlds.images.export import export_network

    print(export_network(Run.open(asked.path), asked.member, asked.step, asked.out))
