"""The trusted side of the sandbox: starts it, waits, and takes plain arrays from it; nothing that it says is believed unchecked."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 900
BROKEN = "give a file that is whole, as its authors wrote it"


@final
@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint as read: tensors under the names of the file, float32; the epoch it claims for itself, if it does."""

    tensors: "dict[str, Tensor]"
    epoch: int | None


def read_array(source: Path, seconds: int = SECONDS) -> NDArray[Any]:
    """(N, L) integers of a data file, in a sandbox."""
    with _sandbox("data", [source], seconds) as (folder, _):
        array: NDArray[Any] = np.load(folder / "0" / "data.npy", allow_pickle=False)
        return array


def read_weights(sources: Sequence[Path], seconds: int = SECONDS) -> list[Weights]:
    """The checkpoints, in a sandbox."""
    from safetensors.torch import load

    with _sandbox("checkpoint", sources, seconds) as (folder, said):
        found = [load((folder / str(i) / "tensors.safetensors").read_bytes()) for i in range(len(sources))]
    epochs = [entry.get("epoch") for entry in said]
    return [Weights(tensors, epoch if type(epoch) is int else None) for tensors, epoch in zip(found, epochs, strict=True)]


@contextmanager
def _sandbox(kind: str, sources: Sequence[Path], seconds: int) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    missing = [source for source in sources if not source.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is no file", "check the path")
    with tempfile.TemporaryDirectory(prefix="twinsplit-import-") as folder:
        yield Path(folder), _run(kind, Path(folder), sources, seconds)


def _run(kind: str, folder: Path, sources: Sequence[Path], seconds: int) -> list[dict[str, Any]]:
    names = ", ".join(source.name for source in sources)
    words = [
        sys.executable,
        "-P",
        "-m",
        "twinsplit.papers.imports.sandbox",
        kind,
        str(folder),
        str(seconds),
        *(str(s.resolve()) for s in sources),
    ]
    quiet, errors = subprocess.DEVNULL, folder / "stderr"
    try:
        with errors.open("wb") as said:  # no larger than the sandbox lets its files become
            done = subprocess.run(
                words, env=environment(folder), cwd=folder, timeout=seconds, check=False, stdin=quiet, stdout=quiet, stderr=said
            )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"reading {names} took more than {seconds} s and was stopped", BROKEN) from error
    if done.returncode:
        raise InputError(f"reading {names} was stopped ({_ending(done.returncode, errors)})", BROKEN)
    return _judged(json.loads((folder / "answer.json").read_text(encoding="utf-8")), sources)


def environment(folder: Path) -> dict[str, str]:
    """All that the sandbox inherits: where modules and libraries are, and one thread; no other variable of the user's."""
    modules = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    own = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"}
    return own | single | libraries


def _ending(code: int, errors: Path) -> str:
    if code < 0:
        return f"signal {-code}: it went past its limit of memory or time, or crashed the reader"
    last = errors.read_bytes()[-400:].decode(errors="replace").strip().splitlines() or ["no word"]
    return f"exit status {code}: {_line(last[-1])}"


def _judged(answer: dict[str, Any], sources: Sequence[Path]) -> list[dict[str, Any]]:
    if "what" in answer:
        raise InputError(f"{sources[answer['source']]}: {_line(answer['what'])}", _line(answer["remedy"]))
    said: list[dict[str, Any]] = answer["said"]
    return said


def _line(text: str) -> str:
    """One printable line of bounded length, whatever the file made of it."""
    return "".join(c if c.isprintable() else " " for c in text)[:400]
