"""A run is a folder: configuration, data fingerprint, environment, checkpoints, measurements.

Every file is written whole or not at all (`files`). Each checkpoint's SHA-256 stands in `checkpoints/manifest.json`, so a truncated or
altered file is refused, never used.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, final

from typing_extensions import TypeVar

from twinsplit.errors import InputError
from twinsplit.recipes import Recipe, RunRecipe, difference, stored_recipe
from twinsplit.runs.files import Kind, encode_table, encode_tensors, fingerprint, hold, read_json, write_bytes, write_json
from twinsplit.runs.tables import parts, read_parts

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor


CHECKPOINT = re.compile(r"step_\d{8,}(\.\w+)?\.safetensors")
AnyRecipe = TypeVar("AnyRecipe", bound=RunRecipe, default=Recipe)


@final
class Run(Generic[AnyRecipe]):
    """A run folder, of whatever world. Methods return or raise; a missing or damaged part is an InputError that says the remedy.

    series: where the folder holds results about networks that are not its own, what they come from (`pipeline.study`).
    """

    def __init__(self, path: Path, recipe: AnyRecipe) -> None:
        self.path = path
        self.recipe = recipe
        self.series: Any = None

    @classmethod
    def open(cls, path: Path) -> "Run[Any]":
        """An existing run."""
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is not a run folder (no config.json)", "give the folder that `twinsplit train` or `quickstart` wrote")
        try:
            values = read_json(path / "config.json")
        except InputError as error:
            raise InputError(error.what, "restore it from a copy, or train in another --out: without it the folder is no run") from error
        recipe: Any = stored_recipe(values, str(path / "config.json"))
        return cls(path, recipe)

    @classmethod
    def create(cls, path: Path, recipe: AnyRecipe) -> "Run[AnyRecipe]":
        """A new run, or the existing one with this very recipe; any other content is refused."""
        if (path / "config.json").is_file():
            run = cls.open(path)
            if run.recipe != recipe:
                raise InputError(f"{path} holds a run of another configuration ({difference(run.recipe, recipe)})", "choose another --out")
            return run
        if path.exists() and (not path.is_dir() or any(p.suffix != ".part" for p in path.iterdir())):
            raise InputError(f"{path} exists and is not a run folder", "choose another --out, or remove it")
        write_json(path / "config.json", recipe.to_json())
        return cls(path, recipe)

    def checkpoint(self, step: int, part: str = "") -> Path:
        """The path of a checkpoint (part "") or of what lies beside it (part ".optimizer")."""
        return self.path / "checkpoints" / f"step_{step:08d}{part}.safetensors"

    def _manifest(self) -> dict[str, str]:
        path = self.path / "checkpoints" / "manifest.json"
        manifest: dict[str, str] = read_json(path) if path.exists() else {}
        if not all(CHECKPOINT.fullmatch(name) and isinstance(entry, str) for name, entry in manifest.items()):
            raise InputError(f"{path} lists what is no checkpoint", "restore it from a copy; without it training begins anew")
        return manifest

    def steps(self) -> tuple[int, ...]:
        """Steps of the kept checkpoints that are written, ascending; of another's series, its steps."""
        if self.series is not None:
            steps: tuple[int, ...] = self.series.steps()
            return steps
        present = self._present()
        return tuple(step for step in self.recipe.checkpoint_steps() if self.checkpoint(step).name in present)

    def _present(self) -> set[str]:
        return {name for name in self._manifest() if (self.path / "checkpoints" / name).exists()}

    def resume_step(self) -> int:
        """The last step from which training can go on with no earlier checkpoint missing; 0 when there is none."""
        present = self._present()
        missing = [step for step in self.recipe.checkpoint_steps() if self.checkpoint(step).name not in present]
        points = [_step_of(name) for name in present if ".optimizer" in name and self.checkpoint(_step_of(name)).name in present]
        return max((point for point in points if not missing or point < missing[0]), default=0)

    def save(self, step: int, tensors: Mapping[str, "Tensor"], part: str = "") -> None:
        """Write a checkpoint file and enter its hash in the manifest."""
        path = self.checkpoint(step, part)
        content = encode_tensors(tensors, {"step": step})
        write_bytes(path, content)
        self._enter(self._manifest() | {path.name: fingerprint(content)})

    def _enter(self, manifest: dict[str, str]) -> None:
        write_json(self.path / "checkpoints" / "manifest.json", dict(sorted(manifest.items())))

    def prune(self, keep_last: int = 2) -> None:
        """Drop all but the last resume points, and the weights that only served them."""
        manifest = self._manifest()
        resume = sorted(_step_of(name) for name in manifest if ".optimizer" in name)
        needed = set(resume[-keep_last:])
        kept = set(self.recipe.checkpoint_steps())
        unneeded = {n for n in manifest if _step_of(n) not in needed and (".optimizer" in n or _step_of(n) not in kept)}
        self._enter({name: value for name, value in manifest.items() if name not in unneeded})
        for name in unneeded:
            (self.path / "checkpoints" / name).unlink(missing_ok=True)

    def load(self, step: int, part: str = "") -> dict[str, "Tensor"]:
        """The tensors of a checkpoint, checked against the manifest."""
        from safetensors.torch import load

        path = self.checkpoint(step, part)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read the checkpoint {path}: {error.strerror}", "see RUN/checkpoints for the steps there are"
            ) from error
        if self._manifest().get(path.name) != fingerprint(content):
            raise InputError(
                f"the checkpoint {path} is truncated or altered (its SHA-256 is not the recorded one)",
                "restore it from a copy, or delete this file and train again: the same command makes the same bits",
            )
        tensors: dict[str, Tensor] = load(content)
        return tensors

    def write_table(self, name: str, step: int, table: "pa.Table") -> None:
        """The measurement `name` at one step; together the steps form the parquet data set measurements/NAME.parquet."""
        write_bytes(self.path / "measurements" / f"{name}.parquet" / f"step_{step:08d}.parquet", encode_table(table))

    def measured(self, name: str) -> tuple[int, ...]:
        """Steps at which `name` is measured, ascending."""
        folder = self.path / "measurements" / f"{name}.parquet"
        return tuple(parts(folder))

    def table(self, name: str) -> "pa.Table":
        """The measurement `name` over all steps, in order of steps."""
        folder = self.path / "measurements" / f"{name}.parquet"
        if not parts(folder):
            raise InputError(f"{name} is not measured in {self.path}", f"run: twinsplit measure {self.path}")
        return read_parts(folder, f"twinsplit measure {self.path} {name}, or the command that made it")

    def write_tensors(self, name: str, step: int, tensors: Mapping[str, "Tensor"]) -> None:
        """Tensors that belong to the measurement `name` of a checkpoint, such as its samples."""
        write_bytes(self._tensors(name, step), encode_tensors(tensors, {"step": step}))

    def tensors(self, name: str, step: int) -> dict[str, "Tensor"]:
        """What `write_tensors` wrote."""
        from safetensors.torch import load

        path = self._tensors(name, step)
        try:
            found: dict[str, Tensor] = load(path.read_bytes())
        except Exception as error:  # the library's errors have no common base
            raise InputError(
                f"cannot read the {name} of step {step} in {self.path}: {error}", f"delete {path} and measure again"
            ) from error
        return found

    def _tensors(self, name: str, step: int) -> Path:
        return self.path / "measurements" / name / f"step_{step:08d}.safetensors"

    def write_json(self, name: str, value: Any) -> None:
        """A JSON file of the run, such as "measurements/onset.json"."""
        write_json(self.path / name, value)

    def read_json(self, name: str, kind: Kind = dict, **entries: Kind) -> Any:
        """The value in a JSON file of the run, checked as `read_json` does."""
        return read_json(self.path / name, kind, **entries)

    def hold(self) -> IO[bytes]:
        """Keep other processes out while the returned file is open."""
        return hold(self.path)

    def check_space(self, needed: int) -> None:
        """Refuse when the disk cannot hold `needed` more bytes."""
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise InputError(f"{self.path}: {free >> 20} MiB free, about {needed >> 20} MiB needed", "free some, or choose another --out")


def _step_of(name: str) -> int:
    return int(name.removeprefix("step_").split(".")[0])
