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
from twinsplit.execution.local import Executor, available_cores, open_executor
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


def _executor(workers: int, tasks: int, device: str = "cpu") -> "AbstractContextManager[Executor]":
    if workers < 0:
        raise InputError(f"--workers {workers}", "give 1 or more, or 0 for one per core")
    return open_executor(min(workers or available_cores(), tasks), device)


def quickstart(options: "cli.Quickstart") -> None:
    """Everything from the data to the page."""
    refuse_imported(options.out)
    recipe = replace(recipes.preset_of(options.world, options.scale), seed=options.seed)
    if options.world == "digits" and options.scale == "paper":
        raise InputError(
            "--world digits has no paper scale", "use laptop; the published images are CelebA's: `twinsplit train` with a recipe"
        )
    out = options.out
    with _executor(options.workers, len(recipe.members), options.device) as executor:
        session = pipeline.begin(out, recipe, executor)
        pipeline.train_stage(session)
        pipeline.measure_stage(session)
        decision = pipeline.decide(session.run)
        pipeline.sampling_stage(session, pipeline.moments(session.run, decision))
    page = report(out)
    print(f"{decision.verdict}: {decision.reason}\n{page}")


def data_grammar(options: "data_cli.DataGrammar") -> None:
    """Draw and write a data folder."""
    if options.samples < 1:
        raise InputError(f"--samples {options.samples}", "draw at least 1")
    grammar = TreeGrammar.random(options.vocab_size, options.depth, options.rules_per_symbol, options.sigma, options.grammar_seed)
    origin = {"grammar_seed": options.grammar_seed, "sigma": options.sigma}
    data = SequenceData.drawn(grammar, options.samples, options.seed, options.factorised, origin)
    data.save(options.out)
    print(f"{options.out}: {options.samples} sequences of {grammar.length} tokens, sha256 {data.describe()['sha256'][:16]}")


def import_data(options: "cli.ImportData") -> None:
    """Read the authors' data file in the sandbox, check it against the grammar, write a data folder."""
    if not options.trusted:
        raise untrusted_data(options.file)
    law = {"rules_per_symbol": options.rules_per_symbol, "sigma": options.sigma, "grammar_seed": options.grammar_seed}
    grammar = TreeGrammar.random(options.vocab_size, options.depth, options.rules_per_symbol, options.sigma, options.grammar_seed)
    data, impossible = import_sequences(options.file, grammar, law, options.impossible)
    data.save(options.out)
    count = f"{len(data.sequences)} sequences of {grammar.length} tokens"
    print(f"{options.out}: {count}, {impossible:.3%} impossible under the grammar, sha256 {data.describe()['sha256'][:16]}")


def import_checkpoints(options: "cli.ImportCheckpoints") -> None:
    """Read the authors' checkpoints in the sandbox and write a run folder."""
    series = gather(options.paths)
    if not options.trusted:
        raise untrusted_checkpoint(series.files(series.epochs[0])[0])
    names = NameMap.read(options.names) if options.names else NameMap.usual()
    story = import_run(series, options.data, options.out, options.held_out, names)
    for pair in story["shared_contents"]:
        print(f"splits {pair['split_a']} and {pair['split_b']} share {pair['contents']} contents of {series.common.n}")
    held = f"{len(series.sources)} networks on splits {', '.join(map(str, series.splits))} at {len(series.epochs)} epochs"
    print(f"{options.out}: {held}; next: twinsplit measure {options.out}")


def train(options: "cli.Train") -> None:
    """Train, or go on training."""
    refuse_imported(options.out)
    recipe = _recipe(options)
    with _executor(options.workers, len(recipe.members), options.device) as executor:
        pipeline.train_stage(pipeline.begin(options.out, recipe, executor))
    print(f"{options.out}: trained to step {recipe.training.steps}; next: twinsplit measure {options.out}")


def dry_run(options: "cli.Train") -> None:
    """Say what a run would take; write nothing."""
    from twinsplit.pipeline.dry_run import costs_of, render, speed_of
    from twinsplit.pipeline.sampling_cost import sampling_cost_of
    from twinsplit.worlds.registry import world_of

    recipe = _recipe(options)
    with _executor(options.workers, len(recipe.members), options.device) as executor:
        world = world_of(recipe)
        print(render(recipe, costs_of(world), speed_of(world, executor), sampling_cost_of(world, executor)))


def _recipe(options: "cli.Train") -> RunRecipe:
    recipe = recipes.read_recipe(options.recipe) if options.recipe else recipes.preset_of(options.world, options.scale)
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    if options.data is not None:
        recipe = recipe.on_folder(options.data.resolve())
    return recipe


def measure(options: "cli.Measure") -> None:
    """Measure what is missing."""
    from twinsplit.cli import measure_verbs

    path = options.path
    distance = measure_verbs.distance_of(options, Run.open(path))
    names = tuple(name for name in options.names if name != measure_verbs.FID)
    with _executor(options.workers, len(Run.open(path).recipe.checkpoint_steps()), options.device) as executor:
        session = pipeline.resume(path, executor)
        if not session.run.steps():
            raise InputError(f"{path} has no checkpoint yet", f"train first: twinsplit train --out {path}")
        if names or not options.names:
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


def figure(options: "cli.Figure") -> None:
    """Make one figure, or name the files of one that stands."""
    from twinsplit.cli import figure_verbs

    with _executor(options.workers, available_cores(), options.device) as executor:
        print(*figure_verbs.make(options, executor), sep="\n")


def claims(options: "cli.Claims") -> None:
    """Judge the six claims on runs, or on the runs of figures, or on runs made here."""
    from twinsplit.papers.bg import claims_report

    if options.document is not None:
        check_file(options.document)
    with _executor(options.workers, available_cores(), options.device) as executor:
        if options.paths:
            runs = [path for path, _ in claims_report.runs_of(options.paths)]
        else:
            planned = claims_report.planned(options.scale, options.repeats, options.seeds, options.out)
            runs = [claims_report.made(path, recipe, executor) for path, recipe in planned]
        judged = [claims_report.judge(path, executor) for path in runs]
    if options.document is not None:
        claims_report.write_document(options.document, judged)
    print(claims_report.as_json(judged) if options.json else claims_report.as_text(judged))


def report(path: Path) -> Path:
    """Write the page and the printed figure."""
    from twinsplit.report.write import write_report

    return write_report(Run.open(path))


def export(options: "cli.Export") -> None:
    """One network for diffusers."""
    from twinsplit.worlds.images.export import export_network

    print(export_network(Run.open(options.path), options.member, options.step, options.out))
