"""Whether two commits make the same bits on this machine: the same commands run with each, and what they made compared by content.

    python benchmarks/same_bits.py A B [--keep DIR] [--jobs NAME,NAME] [--drawings]
    python benchmarks/same_bits.py A --keep DIR      the digests of one commit, to be compared with later
    python benchmarks/same_bits.py A A               whether a commit makes the same bits twice
    python benchmarks/same_bits.py --list            the jobs and their commands

A and B are revisions, or folders of checkouts with their uncommitted changes. Compared are tensors, tables, decisions, data and
configurations; PNG, PDF and HTML are told apart as drawings. What the last commit made is left in work of --place, to be looked at.
Exit status: 0 equal, 1 something differs or failed.
"""

import argparse
import fcntl
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from golden.content import one_hash
from golden.difference import Difference, Renamed, differences
from golden.jobs import BY_NAME, JOBS, Job, with_needs
from golden.running import Bench, Keep, Made, job_key, missing
from golden.trees import Tree, checked_out

RENAMED: dict[str, str] = {}  # pattern of a whole path of A, from the job's name on -> its path in B: r"(.*)/old\.json": r"\1/new.json"
RENAMED_PARTS: dict[str, dict[str, str]] = {}  # pattern of a whole path of B -> old tensor, column or JSON key -> new one
SHOWN = 8  # files of a job whose differences are shown
PLACE = Path(tempfile.gettempdir()) / "twinsplit-same-bits"


@final
@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    trees: tuple[str, ...]
    jobs: tuple[str, ...]
    keep: Path | None
    place: Path
    drawings: bool
    listed: bool


@final
@dataclass(frozen=True)
class Verdict:
    """Of one job: its differences in content, and in drawings alone; failed: the end of a log."""

    job: Job
    content: tuple[Difference, ...]
    drawings: tuple[Difference, ...]
    failed: str

    def fails(self, strictly: bool) -> bool:
        """Whether the commits are not the same here."""
        return bool(self.failed or self.content or (strictly and self.drawings))

    def __str__(self) -> str:
        if self.failed:
            return "failed"
        drawn = f" ({len(self.drawings)} drawings differ)" if self.drawings else ""
        return (f"different: {len(self.content)} files" if self.content else "equal") + drawn


def options(words: list[str] | None) -> Options:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="*", metavar="A [B]", help="revisions of this repository, or folders of checkouts")
    parser.add_argument("--jobs", default="", metavar="NAME,NAME", help="only these, and those whose folders they read (default: all)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the digests of commits here, and use those that are kept")
    parser.add_argument("--place", type=Path, default=PLACE, metavar="DIR", help=f"where commands run (default {PLACE})")
    parser.add_argument("--drawings", action="store_true", help="drawings that differ are a failure, too")
    parser.add_argument("--list", action="store_true", help="print the jobs and their commands")
    asked = parser.parse_args(words)
    names = tuple(filter(None, asked.jobs.split(",")))
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        parser.error(f"no job named {unknown[0]!r}; choose among {', '.join(BY_NAME)}")
    if not asked.list and not 1 <= len(asked.trees) <= 2:
        parser.error("name one commit, or two")
    return Options(tuple(asked.trees), names or tuple(BY_NAME), asked.keep, asked.place.resolve(), asked.drawings, asked.list)


def show_jobs() -> None:
    """Names and commands."""
    for job in JOBS:
        print(f"{job.name}: {job.about}", *(f"    {shlex.join(step.words)}" for step in job.steps), sep="\n")


def digests(tree: Tree, jobs: tuple[Job, ...], bench: Bench, keep: Keep) -> dict[str, Made]:
    """Job -> what it left: kept, or made now."""
    kept = keep.read()
    todo = missing(jobs, kept)
    made = {job.name: kept[job_key(job)] for job in jobs if job_key(job) in kept}
    print(f"{tree.asked} = {tree.commit[:12]}{tree.commit[40:]}: {len(made)} jobs kept, {len(todo)} to be run", file=sys.stderr)
    if not todo:
        return made
    with checked_out(tree, bench.place / "tree") as root:
        for job, found in bench.run(root, todo):
            made[job.name] = found
            keep.add(job, found)
            print(f"    {timed(job, found)}", file=sys.stderr, flush=True)
    return made


def timed(job: Job, made: Made) -> str:
    """A line of what a job took and left."""
    end = f"failed\n{made.failed}" if made.failed else one_hash(made.files)
    return f"{job.name:<26}{made.cpu_s:7.1f} s CPU {made.wall_s:7.1f} s {len(made.files):6} files  {end}"


def verdict(job: Job, a: Made, b: Made, renamed: Renamed) -> Verdict:
    """One job of both."""
    before = {f"{job.name}/{path}": one for path, one in a.files.items()}
    after = {f"{job.name}/{path}": one for path, one in b.files.items()}
    found = differences(renamed.applied(before), after)
    failed = "\n".join(f"{name}: {made.failed}" for name, made in (("A", a), ("B", b)) if made.failed)
    return Verdict(job, tuple(one for one in found if not one.drawing), tuple(one for one in found if one.drawing), failed)


def show(verdicts: list[Verdict], a: dict[str, Made], b: dict[str, Made]) -> None:
    """The table, and under each job what differs."""
    print(f"{'job':<26}{'A, s CPU':>10}{'B, s CPU':>10}{'files':>8}  verdict")
    for one in verdicts:
        name = one.job.name
        print(f"{name:<26}{a[name].cpu_s:10.1f}{b[name].cpu_s:10.1f}{len(b[name].files):8}  {one}")
        found = (*one.content, *one.drawings)
        more = [f"    and {len(found) - SHOWN} more files"] if len(found) > SHOWN else []
        print(*filter(None, [one.failed, *map(str, found[:SHOWN]), *more]), sep="\n", end="\n" if found or one.failed else "")


@contextmanager
def held(place: Path) -> Iterator[None]:
    """No other comparison may use the folder meanwhile."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another comparison runs in {place}: wait for it, or choose another --place") from None
        yield


def main(words: list[str] | None = None) -> int:
    """Run what is to be run, compare, print; the exit status."""
    asked = options(words)
    if asked.listed:
        show_jobs()
        return 0
    bench, jobs = Bench(asked.place), with_needs(asked.jobs)
    trees = [Tree.of(name) for name in asked.trees]
    keeps = [Keep(asked.keep, tree.commit, bench.key) for tree in trees]
    if len(trees) == 2 and trees[0].commit == trees[1].commit:
        keeps[1] = replace(keeps[1], folder=None)  # the same commit twice asks whether it makes the same bits again
    with held(asked.place):
        made = [digests(tree, jobs, bench, keep) for tree, keep in zip(trees, keeps, strict=True)]
    if len(made) == 1:
        return int(any(one.failed for one in made[0].values()))
    a, b = made
    renamed = Renamed(RENAMED, RENAMED_PARTS)
    verdicts = [verdict(job, a[job.name], b[job.name], renamed) for job in jobs]
    show(verdicts, a, b)
    return int(any(one.fails(asked.drawings) for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
