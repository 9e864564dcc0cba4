"""Jobs on one tree: run them, digest what they leave, keep the digests."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from golden.content import Content, contents, from_json, to_json
from golden.jobs import Job, with_needs
from golden.machine import fingerprint, machine

DRIVER = Path(__file__).with_name("driver.py")
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
TAIL = 12  # lines of the log of a job that failed


@final
@dataclass(frozen=True)
class Made:
    """What a job left. steps: words, exit status and seconds of each command; failed: the end of its log, or ""."""

    files: Mapping[str, Content]
    steps: tuple[Mapping[str, Any], ...]
    failed: str = ""

    @property
    def wall_s(self) -> float:
        """On the clock, without the start of the process."""
        return float(sum(step["wall_s"] for step in self.steps))

    @property
    def cpu_s(self) -> float:
        """Of the processor."""
        return float(sum(step["cpu_s"] for step in self.steps))


@final
@dataclass(frozen=True)
class Bench:
    """Where commands run. place: its folder; every tree has the same one, because recipes with whole paths are named by them."""

    place: Path

    @property
    def key(self) -> str:
        """Digests of two benches with one key may be compared."""
        return fingerprint({"machine": machine(), "place": str(self.place)})

    def run(self, root: Path, jobs: tuple[Job, ...]) -> Iterator[tuple[Job, Made]]:
        """Each job of these and what it left, as it ends."""
        work = self.place / "work"
        shutil.rmtree(work, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self.place, prefix="numba-") as compiled:
            surroundings = _environment(root, Path(compiled))
            check_code(root, surroundings)
            for job in jobs:
                yield job, _made(job, work / job.name, root, surroundings)


@final
@dataclass(frozen=True)
class Keep:
    """Digests of a commit on a bench, in one file. folder: None keeps nothing."""

    folder: Path | None
    name: str
    key: str

    def read(self) -> dict[str, Made]:
        """Those that are kept."""
        if self.folder is None or not self._path.is_file():
            return {}
        return {name: _made_from(one) for name, one in json.loads(self._path.read_text(encoding="utf-8"))["jobs"].items()}

    def add(self, job: Job, made: Made) -> None:
        """Keep what a job left; one that failed is run again next time."""
        if self.folder is None or made.failed:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        every = self.read() | {job_key(job): made}
        stored = {"commit": self.name, "machine": machine(), "jobs": {key: _made_to(one) for key, one in every.items()}}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        part.replace(self._path)

    @property
    def _path(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name}-{self.key}.json"


def job_key(job: Job) -> str:
    """A name that changes with the commands of a job, or of those that it needs."""
    return f"{job.name}-{fingerprint([asdict(one) for one in with_needs((job.name,))])}"


def missing(jobs: tuple[Job, ...], kept: Mapping[str, Made]) -> tuple[Job, ...]:
    """Those to be run: what is not kept, and what it needs."""
    return with_needs(tuple(job.name for job in jobs if job_key(job) not in kept))


def _environment(root: Path, compiled: Path) -> dict[str, str]:
    """Ours without what alters results, with the code that is asked, one thread, and no compiled code of earlier versions."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TWINSPLIT_", "PYTHON"))}
    return own | THREADS | {"PYTHONPATH": str(root / "src"), "NUMBA_CACHE_DIR": str(compiled), "PYTHONDONTWRITEBYTECODE": "1"}


def check_code(root: Path, surroundings: Mapping[str, str]) -> None:
    """That commands run the code that is asked, and no other that is installed."""
    words = [sys.executable, "-P", "-c", "import twinsplit; print(twinsplit.__file__)"]
    found = subprocess.run(words, env=surroundings, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).is_relative_to(root / "src"):
        raise SystemExit(f"{found} would be run, not the code in {root}")


def entry_of(root: Path) -> str:
    """The function that the command is."""
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["scripts"]["twinsplit"])


def written_for(root: Path, recipe: str) -> str:
    """A recipe in the words of a tree: keys that are left out mean the paper's, which later trees want to be told."""
    reading = root / "src" / "twinsplit" / "recipes" / "reading.py"
    knows_base = reading.is_file() and '"base"' in reading.read_text(encoding="utf-8")
    return f'base = "paper"\n{recipe}' if knows_base else recipe


def _made(job: Job, folder: Path, root: Path, surroundings: Mapping[str, str]) -> Made:
    folder.mkdir(parents=True)
    for name, text in job.files.items():
        (folder / name).write_text(written_for(root, text), encoding="utf-8")
    beside = folder.parent / f"{job.name}.driver"
    beside.mkdir()
    places = {"entry": entry_of(root), "log": str(beside / "log"), "results": str(beside / "results.json")}
    asked = places | {"steps": [asdict(step) for step in job.steps]}
    (beside / "job.json").write_text(json.dumps(asked), encoding="utf-8")
    words = [sys.executable, "-P", str(DRIVER), str(beside / "job.json")]
    subprocess.run(words, cwd=folder, env={**surroundings, **job.variables}, check=True)
    steps = tuple(json.loads((beside / "results.json").read_text(encoding="utf-8")))
    failed = bool(steps[-1]["status"])
    return Made({} if failed else contents(folder), steps, _end(beside / "log") if failed else "")


def _end(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]) or "no word"


def _made_to(made: Made) -> dict[str, Any]:
    return {"steps": list(made.steps), "files": to_json(made.files)}


def _made_from(stored: Mapping[str, Any]) -> Made:
    return Made(from_json(stored["files"]), tuple(stored["steps"]))
