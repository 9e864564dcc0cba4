"""The command line: parsing only, one verb per stage. `entry` runs it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, final

import tyro
from tyro.conf import Positional, arg, subcommand

from twinsplit.cli.data import Data

Scale = Literal["smoke", "laptop", "paper"]
BuiltIn = Literal["hierarchical", "digits"]
Workers = Annotated[int, arg(help="one-thread worker processes; 0 takes one per core, and the results are the same for any number")]
Device = Annotated[
    str, arg(help="where networks compute: cpu, or an accelerator such as cuda, which one process uses (no GPU has run this so far)")
]
RunFolder = Positional[Annotated[Path, arg(metavar="RUN", help="a run folder, as `train` or `quickstart` wrote it")]]


@final
@dataclass(frozen=True)
class Quickstart:
    """The main job: data, twins on disjoint splits, measures, onset, report.html. The same command resumes."""

    out: Path = Path("twinsplit-out/quickstart")
    """the run folder to write"""
    seed: int = 0
    """of data, weights, order and noise"""
    world: BuiltIn = "hierarchical"
    """what is learned: hierarchical (sequences of a grammar, with exact answers), or digits (real images)"""
    scale: Scale = "laptop"
    """size of the run: smoke (seconds), laptop (minutes on 2 cores), paper (the published setting: days on 2 cores)"""
    workers: Workers = 0
    device: Device = "cpu"

    def run(self) -> None:
        from twinsplit.cli.verbs import quickstart

        quickstart(self)


@final
@dataclass(frozen=True)
class ImportData:
    """The authors' data file (.npy, plain or a pickled object array) into a data folder, for `train --data` and `import checkpoints`."""

    file: Positional[Annotated[Path, arg(metavar="FILE.npy")]]
    out: Path
    """the data folder to write"""
    trusted: Annotated[bool, arg(help="I know where the file comes from; without this only its header is read")] = False
    vocab_size: int = 6
    """symbols of the grammar (q)"""
    depth: int = 4
    """levels of the tree (l)"""
    rules_per_symbol: int = 4
    """allowed productions of each symbol (q_eff)"""
    sigma: float = 1.0
    """spread of the logits of the productions"""
    grammar_seed: int = 0
    """of the rules; the defaults are the published grammar"""
    impossible: float = 0.0
    """largest fraction of sequences that may be impossible under the grammar"""

    def run(self) -> None:
        from twinsplit.cli.verbs import import_data

        import_data(self)


@final
@dataclass(frozen=True)
class ImportCheckpoints:
    """The authors' checkpoints (.pt with model_state_dict, full_params.json beside them) into a run folder that can be measured."""

    paths: Positional[Annotated[tuple[Path, ...], arg(metavar="FILES_OR_FOLDERS")]]
    out: Path
    """the run folder to write"""
    data: Path
    """the data folder that the networks learned from (`twinsplit import data`)"""
    trusted: Annotated[bool, arg(help="I know where the files come from; without this only their first bytes are read")] = False
    held_out: int = 4_000
    """sequences to measure on: the last of the data whose content no split holds"""
    names: Path | None = None
    """a JSON file that says which tensor is which parameter, where the usual names do not"""

    def run(self) -> None:
        from twinsplit.cli.verbs import import_checkpoints

        import_checkpoints(self)


@final
@dataclass(frozen=True)
class Import:
    """Bring the authors' own data and checkpoints into our formats. Files are opened by a restricted reader, in a sandbox."""

    kind: Annotated[ImportData, subcommand("data")] | Annotated[ImportCheckpoints, subcommand("checkpoints")]

    def run(self) -> None:
        self.kind.run()


@final
@dataclass(frozen=True)
class Train:
    """Train K twins at once on disjoint splits. The same command resumes, to the same bits on the same machine."""

    recipe: Positional[Annotated[Path | None, arg(metavar="RECIPE", help="a .toml or .json recipe; without it, --scale decides")]] = None
    out: Path = Path("twinsplit-out/train")
    """the run folder to write"""
    scale: Scale = "laptop"
    """the preset, where no recipe is given"""
    world: BuiltIn = "hierarchical"
    """the preset's world: hierarchical, or digits (with --scale paper: the published setting for faces, which needs --data)"""
    seed: int | None = None
    """overrides the recipe's seed"""
    data: Path | None = None
    """a folder of `twinsplit data` to learn from, instead of the recipe's own"""
    workers: Workers = 0
    device: Device = "cpu"
    dry_run: Annotated[bool, arg(help="write nothing; say what the run takes: steps, FLOPs, disk, memory, hours")] = False

    def run(self) -> None:
        from twinsplit.cli.verbs import dry_run, train

        (dry_run if self.dry_run else train)(self)


@final
@dataclass(frozen=True)
class Measure:
    """Measure along the checkpoints; what is on disk is not measured again."""

    path: RunFolder
    names: Positional[tuple[str, ...]] = ()
    """measures (default: those the onset and the report need); `nearest_neighbours`, of images `sample_similarity`, `memorization` and
    `two_sample`, sample from every checkpoint; `fid` judges the samples there are"""
    features: Path | None = None
    """for `fid`: a local TorchScript module that maps images (n, C, H, W) in [0, 1] to features (n, d); nothing is downloaded"""
    inception: Path | None = None
    """for `fid`, instead: the local file inception-2015-12-05.pt, whose features are those of published values"""
    workers: Workers = 0
    device: Device = "cpu"

    def run(self) -> None:
        from twinsplit.cli.verbs import measure

        measure(self)


@final
@dataclass(frozen=True)
class OnsetVerb:
    """Decide: the step where the twins began to lean on their own samples, the test-loss minimum, and how sure that is."""

    path: RunFolder
    json: Annotated[bool, arg(help="print the whole decision as one JSON object")] = False

    def run(self) -> None:
        from twinsplit.cli.verbs import onset, onset_json

        (onset_json if self.json else onset)(self.path)


@final
@dataclass(frozen=True)
class Report:
    """Write RUN/report.html and RUN/figures from stored results."""

    path: RunFolder

    def run(self) -> None:
        from twinsplit.cli.verbs import report

        print(report(self.path))


@final
@dataclass(frozen=True)
class Figure:
    """Make a published figure: PNG, PDF, its numbers (parquet and JSON) and its configuration. What stands is not made again."""

    name: Positional[
        Annotated[
            str,
            arg(
                metavar="NAME",
                help="fig1b, fig3b, fig4a, fig4b, fig5, fig6, fig9, fig10, fig11 (biased generalization, sequences); "
                "fig1a, fig2, fig7, fig8 "
                "(the same, images); gahb-psnr, gahb-twins, gahb-bases, gahb-onset, gahb-rates, rp-lpips, rp-attributes, rp-identities "
                "(two denoisers); gtv1, gtv2, gtv3, gtv-twins "
                "(generalization through variance)",
            ),
        ]
    ]
    scale: Scale = "laptop"
    """smoke (seconds), laptop, or paper (the published setting)"""
    out: Path = Path("twinsplit-out/figures")
    """the folder to write into"""
    seed: int = 0
    """of data and models"""
    seeds: int | None = None
    """splits per run, for fig1a to fig11: one network on each, two for fig1b and fig6 (default: 3 smoke; 6 laptop, 5 for images, 4 for
    fig1b and fig6; 15 paper); for gahb figures and rp-lpips: networks at every N or of every class, each on a split of its own (default:
    3 smoke; 4 laptop; 2 paper; 3 for gahb-rates); for rp-attributes and rp-identities: pairs of networks for each kind of split
    (default: 3 smoke, 6 laptop and paper)"""
    runs: Annotated[
        tuple[Path, ...],
        arg(
            name="run",
            metavar="RUN",
            help="for fig1b to fig11 of sequences, and fig1a, fig2 and fig8: draw from this run, imported or your own, instead of training "
            "(repeat it for fig3b and fig6); it is measured, and never trained; --scale and --seed then decide nothing",
        ),
        tyro.conf.UseAppendAction,
    ] = ()
    data: Path | None = None
    """for the figures of images: a prepared data folder instead of the built-in digits; at paper scale it must be CelebA's"""
    lpips_weights: Path | None = None
    """for rp-lpips: order by LPIPS with these weights (lpips.LPIPS(net="vgg") by safetensors.torch.save_model); without, by SSIM"""
    workers: Workers = 0
    device: Device = "cpu"

    def run(self) -> None:
        from twinsplit.cli.verbs import figure

        figure(self)


@final
@dataclass(frozen=True)
class Claims:
    """Judge C1..C6 of biased generalization: holds, does not hold, or not enough power, each with its statistics and intervals.

    What the judgement needs is measured first; what stands is not measured again. Runs that are named are not trained on: those made
    elsewhere never, and one whose training has not ended is judged at the checkpoints it has. Without paths, runs are made first.
    """

    paths: Positional[
        Annotated[tuple[Path, ...], arg(metavar="[RUN|FIGURE]...", help="run folders, or figure files such as OUT/fig5.png")]
    ] = ()
    scale: Scale = "laptop"
    """without paths: the setting of the runs that are made"""
    repeats: int = 3
    """without paths: independent runs, with seeds 0, 1, ..."""
    seeds: int | None = None
    """without paths: networks per run, each with a seed and a split of its own"""
    out: Path = Path("twinsplit-out/figures")
    """without paths: the folder of figures whose runs are used, or made"""
    document: Path | None = None
    """also write the verdicts as a Markdown page"""
    json: Annotated[bool, arg(help="print everything as JSON")] = False
    workers: Workers = 0
    device: Device = "cpu"

    def run(self) -> None:
        from twinsplit.cli.verbs import claims

        claims(self)


@final
@dataclass(frozen=True)
class Export:
    """Write one network of a run on images in diffusers' own layout (`save_pretrained`), with the normalisation it needs beside it."""

    path: RunFolder
    out: Path
    """the folder to write: unet/, scheduler/, model_index.json, normalisation.json"""
    member: int = 0
    """which network, in storage order from 0"""
    step: int | None = None
    """which checkpoint; without it, the last one"""

    def run(self) -> None:
        from twinsplit.cli.verbs import export

        export(self)


@final
@dataclass(frozen=True)
class Doctor:
    """What works on this machine, and what to install."""

    def run(self) -> None:
        from twinsplit.cli.doctor import examine, render

        print(render(examine()))


@final
@dataclass(frozen=True)
class Command:
    """Train a diffusion model on disjoint halves of the data and find the step at which the twins stop learning the
    distribution and start leaning on their own samples."""

    verb: (
        Annotated[Quickstart, subcommand("quickstart")]
        | Annotated[Data, subcommand("data")]
        | Annotated[Import, subcommand("import")]
        | Annotated[Train, subcommand("train")]
        | Annotated[Measure, subcommand("measure")]
        | Annotated[OnsetVerb, subcommand("onset")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Figure, subcommand("figure")]
        | Annotated[Claims, subcommand("claims")]
        | Annotated[Export, subcommand("export")]
        | Annotated[Doctor, subcommand("doctor")]
    ) = field(metadata={})


def parse() -> Command:
    """The command that `sys.argv` asks for; help and unknown words leave with tyro's own status, 0 and 2."""
    return tyro.cli(Command, prog="twinsplit", config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes))
