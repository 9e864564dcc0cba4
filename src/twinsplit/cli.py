"""The command line: parsing only, one verb per stage. Exit status: 0 done, 2 bad input, 1 a failure of ours."""

import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, final

import tyro
from tyro.conf import Positional, arg, subcommand

from twinsplit.data_cli import Data
from twinsplit.errors import InputError

Scale = Literal["smoke", "laptop", "paper"]
Workers = Annotated[int, arg(help="one-thread worker processes; 0 takes one per core, and the results are the same for any number")]
RunFolder = Positional[Annotated[Path, arg(metavar="RUN", help="a run folder, as `train` or `quickstart` wrote it")]]


@final
@dataclass(frozen=True)
class Quickstart:
    """The main job: data, twins on disjoint splits, measures, onset, report.html. The same command resumes."""

    out: Path = Path("twinsplit-out/quickstart")
    """the run folder to write"""
    seed: int = 0
    """of data, weights, order and noise"""
    scale: Scale = "laptop"
    """size of the run: smoke (seconds), laptop (minutes on 2 cores), paper (the published setting: days on 2 cores)"""
    workers: Workers = 0

    def run(self) -> None:
        from twinsplit.verbs import quickstart

        quickstart(self.out, self.seed, self.scale, self.workers)


@final
@dataclass(frozen=True)
class Train:
    """Train K twins at once on disjoint splits. The same command resumes, to the same bits on the same machine."""

    recipe: Positional[Annotated[Path | None, arg(metavar="RECIPE", help="a .toml or .json recipe; without it, --scale decides")]] = None
    out: Path = Path("twinsplit-out/train")
    """the run folder to write"""
    scale: Scale = "laptop"
    """the preset, where no recipe is given"""
    seed: int | None = None
    """overrides the recipe's seed"""
    data: Path | None = None
    """a folder of `twinsplit data grammar` to learn from, instead of drawing the recipe's own"""
    workers: Workers = 0
    device: str = "cpu"
    """cpu, or an accelerator such as cuda"""

    def run(self) -> None:
        from twinsplit.verbs import train

        train(self)


@final
@dataclass(frozen=True)
class Measure:
    """Measure along the checkpoints; what is on disk is not measured again."""

    path: RunFolder
    names: Positional[tuple[str, ...]] = ()
    """measures (default: those the onset and the report need); `nearest_neighbours` samples from every checkpoint"""
    workers: Workers = 0

    def run(self) -> None:
        from twinsplit.verbs import measure

        measure(self.path, self.names, self.workers)


@final
@dataclass(frozen=True)
class OnsetVerb:
    """Decide: the step where the twins began to lean on their own samples, the test-loss minimum, and how sure that is."""

    path: RunFolder
    json: Annotated[bool, arg(help="print the whole decision as one JSON object")] = False

    def run(self) -> None:
        from twinsplit.verbs import onset, onset_json

        (onset_json if self.json else onset)(self.path)


@final
@dataclass(frozen=True)
class Report:
    """Write RUN/report.html and RUN/figures from stored results."""

    path: RunFolder

    def run(self) -> None:
        from twinsplit.verbs import report

        print(report(self.path))


@final
@dataclass(frozen=True)
class Figure:
    """Make a published figure: PNG, PDF, its numbers (parquet and JSON) and its configuration. What stands is not made again."""

    name: Positional[Annotated[str, arg(metavar="NAME", help="gtv1, gtv2, gtv3 or gtv-twins (generalization through variance)")]]
    scale: Scale = "laptop"
    """smoke (seconds), laptop, or paper (the published setting)"""
    out: Path = Path("twinsplit-out/figures")
    """the folder to write into"""
    seed: int = 0
    """of data and models"""

    def run(self) -> None:
        from twinsplit.verbs import figure

        figure(self)


@final
@dataclass(frozen=True)
class Doctor:
    """What works on this machine, and what to install."""

    def run(self) -> None:
        from twinsplit.doctor import examine, render

        print(render(examine()))


@final
@dataclass(frozen=True)
class Command:
    """Train a diffusion model on disjoint halves of the data and find the step at which the twins stop learning the
    distribution and start leaning on their own samples."""

    verb: (
        Annotated[Quickstart, subcommand("quickstart")]
        | Annotated[Data, subcommand("data")]
        | Annotated[Train, subcommand("train")]
        | Annotated[Measure, subcommand("measure")]
        | Annotated[OnsetVerb, subcommand("onset")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Figure, subcommand("figure")]
        | Annotated[Doctor, subcommand("doctor")]
    ) = field(metadata={})


def main() -> None:
    """The console entry point."""
    command = tyro.cli(Command, prog="twinsplit", config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes))
    try:
        command.verb.run()
    except InputError as error:
        print(f"twinsplit: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("twinsplit: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        print(f"twinsplit: a failure of ours: {type(error).__name__}: {error}; the same command resumes what is on disk", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
