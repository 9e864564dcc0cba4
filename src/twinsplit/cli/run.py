"""The verbs of a run: quickstart, train, measure, onset, report, export."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from twinsplit.cli.options import HERE, BuiltIn, Compute, DryRun, RunFolder, Scale
from twinsplit.errors import InputError

if TYPE_CHECKING:
    from twinsplit.recipes import RunRecipe

QuickstartWorld = Annotated[
    BuiltIn, arg(help="what is learned: hierarchical (sequences of a grammar, with exact answers), or digits (real images)")
]
QuickstartScale = Annotated[
    Scale,
    arg(help="size of the run: smoke (seconds), laptop (minutes on 2 cores), paper (the published setting: days on 2 cores)"),
]
RecipeFile = Positional[Annotated[Path | None, arg(metavar="RECIPE", help="a .toml or .json recipe; without it, --scale decides")]]
PresetWorld = Annotated[
    BuiltIn,
    arg(help="the preset's world: hierarchical, or digits (with --scale paper: the published setting for faces, which needs --data)"),
]
Measures = Positional[
    Annotated[
        tuple[str, ...],
        arg(
            help="measures (default: those the onset and the report need); `nearest_neighbours`, of images "
            "`sample_similarity`, `memorization` and `two_sample`, sample from every checkpoint; `fid` judges the samples "
            "there are"
        ),
    ]
]
FeatureModule = Annotated[
    Path | None,
    arg(help="for `fid`: a local TorchScript module that maps images (n, C, H, W) in [0, 1] to features (n, d); nothing is downloaded"),
]
InceptionModule = Annotated[
    Path | None,
    arg(help="for `fid`, instead: the local file inception-2015-12-05.pt, whose features are those of published values"),
]


def quickstart(
    *,
    out: Path = Path("twinsplit-out/quickstart"),
    seed: int = 0,
    world: QuickstartWorld = "hierarchical",
    scale: QuickstartScale = "laptop",
    dry_run: DryRun = False,
    compute: Compute = HERE,
) -> None:
    """The main job: data, twins on disjoint splits, measures, onset, report.html. The same command
    resumes.

    Args:
        out: the run folder to write
        seed: of data, weights, order and noise
    """
    from twinsplit import recipes
    from twinsplit.pipeline import stages as pipeline
    from twinsplit.report.write import write_report
    from twinsplit.runs.imported import refuse_imported
    from twinsplit.runs.store import Run

    refuse_imported(out)
    recipe = replace(recipes.preset_of(world, scale), seed=seed)
    if world == "digits" and scale == "paper":
        raise InputError(
            "--world digits has no paper scale", "use laptop; the published images are CelebA's: `twinsplit train` with a recipe"
        )
    if dry_run:
        _print_costs(recipe, compute)
        return
    with compute.executor(len(recipe.members)) as executor:
        session = pipeline.begin(out, recipe, executor)
        pipeline.train_stage(session)
        pipeline.measure_stage(session)
        decision = pipeline.decide(session.run)
        pipeline.sampling_stage(session, pipeline.moments(session.run, decision))
    page = write_report(Run.open(out))
    print(f"{decision.verdict}: {decision.reason}\n{page}")


def train(
    recipe: RecipeFile = None,
    *,
    out: Path = Path("twinsplit-out/train"),
    scale: Scale = "laptop",
    world: PresetWorld = "hierarchical",
    seed: int | None = None,
    data: Path | None = None,
    dry_run: DryRun = False,
    compute: Compute = HERE,
) -> None:
    """Train K twins at once on disjoint splits. The same command resumes, to the same bits on the
    same machine.

    Args:
        out: the run folder to write
        scale: the preset, where no recipe is given
        seed: overrides the recipe's seed
        data: a folder of `twinsplit data` to learn from, instead of the recipe's own
    """
    from twinsplit import recipes
    from twinsplit.pipeline import stages as pipeline
    from twinsplit.runs.imported import refuse_imported

    chosen = recipes.read_recipe(recipe) if recipe else recipes.preset_of(world, scale)
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    if data is not None:
        chosen = chosen.on_folder(data.resolve())
    if dry_run:
        _print_costs(chosen, compute)
        return
    refuse_imported(out)
    with compute.executor(len(chosen.members)) as executor:
        pipeline.train_stage(pipeline.begin(out, chosen, executor))
    print(f"{out}: trained to step {chosen.training.steps}; next: twinsplit measure {out}")


def _print_costs(recipe: "RunRecipe", compute: Compute) -> None:
    """Print what a run of the recipe would take; write nothing."""
    from twinsplit.pipeline.dry_run import dry_run, render

    with compute.executor(len(recipe.members)) as executor:
        print(render(dry_run(recipe, executor)))


def measure(
    path: RunFolder,
    names: Measures = (),
    *,
    features: FeatureModule = None,
    inception: InceptionModule = None,
    compute: Compute = HERE,
) -> None:
    """Measure along the checkpoints; what is on disk is not measured again."""
    from twinsplit.cli.distances import FID, distance_stage
    from twinsplit.pipeline import stages as pipeline
    from twinsplit.runs.store import Run

    run = Run.open(path)
    distance = distance_stage(run, names, features, inception)
    others = tuple(name for name in names if name != FID)
    with compute.executor(len(run.recipe.checkpoint_steps())) as executor:
        session = pipeline.resume(path, executor)
        if not session.run.steps():
            raise InputError(f"{path} has no checkpoint yet", f"train first: twinsplit train --out {path}")
        if others or not names:
            pipeline.measure_stage(session, others)
        distance(session)
    print(f"{path}: measured; next: twinsplit onset {path}")


def onset(path: RunFolder, *, json: bool = False) -> None:
    """Decide: the step where the divergence of the twins is lowest, the test-loss minimum,
    and how sure that is.

    Args:
        json: print the whole decision as one JSON object
    """
    from json import dumps

    from twinsplit.pipeline import stages as pipeline
    from twinsplit.runs.store import Run

    decision = pipeline.decide(Run.open(path))
    words = f"{decision.verdict}: {decision.reason}"
    print(dumps(decision.to_json(), indent=2, allow_nan=False) if json else words)


def report(path: RunFolder) -> None:
    """Write RUN/report.html and RUN/figures from stored results."""
    from twinsplit.report.write import write_report
    from twinsplit.runs.store import Run

    print(write_report(Run.open(path)))


def export(path: RunFolder, *, out: Path, member: int = 0, step: int | None = None) -> None:
    """Write one network of a run on images in diffusers' own layout (`save_pretrained`), with the
    normalisation it needs beside it.

    Args:
        out: the folder to write: unet/, scheduler/, model_index.json, normalisation.json
        member: which network, in storage order from 0
        step: which checkpoint; without it, the last one
    """
    from twinsplit.runs.store import Run
    from twinsplit.worlds.images.export import export_network

    print(export_network(Run.open(path), member, step, out))
