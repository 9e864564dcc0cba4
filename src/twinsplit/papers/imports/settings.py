"""`full_params.json` beside a checkpoint: the settings that are needed, under the names that are likely."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from twinsplit.errors import InputError
from twinsplit.runs.files import read_json

FILE = "full_params.json"
NAMES = {
    "vocab_size": ("vocab_size", "q", "num_symbols", "n_symbols", "vocabulary_size", "alphabet_size"),
    "depth": ("depth", "l", "num_levels", "n_levels", "tree_depth"),
    "T": ("T", "timesteps", "num_timesteps", "n_timesteps", "diffusion_steps", "num_diffusion_steps"),
    "width": ("width", "d_model", "d", "embed_dim", "embedding_dim", "hidden_dim", "model_dim"),
    "layers": ("layers", "num_layers", "n_layers", "nlayers", "num_encoder_layers"),
    "heads": ("heads", "num_heads", "n_heads", "nhead", "n_head"),
    "n": ("n", "split_size", "n_train", "num_train", "train_size", "training_size"),
    "batch": ("batch", "batch_size", "bs"),
}
SPLIT = ("split", "split_index", "split_idx", "split_id", "subset")
SEED = ("seed", "model_seed", "random_seed")
SCHEDULE = ("noise_schedule", "beta_schedule", "diffusion_schedule")
SCHEDULES = {"diffusion_lm": "diffusion_lm", "linear": "diffusion_lm", "one_minus_sqrt": "one_minus_sqrt", "sqrt": "one_minus_sqrt"}


@final
@dataclass(frozen=True)
class Settings:
    """What decides an imported network. n: sequences in its split; split: which one, counted from 0; T: noising steps."""

    vocab_size: int
    depth: int
    T: int
    width: int
    layers: int
    heads: int
    n: int
    batch: int
    split: int
    schedule: str


def settings_near(folder: Path) -> tuple[Path, Settings]:
    """The settings of the checkpoints in `folder`: its full_params.json, or that of the folder above."""
    for place in (folder, folder.parent):
        if (place / FILE).is_file():
            return place / FILE, settings_of(read_json(place / FILE, object), place / FILE)
    raise InputError(f"there is no {FILE} in {folder} or above it", "copy it beside the checkpoints: it says what they are")


def settings_of(values: Any, where: Path) -> Settings:
    """Settings from the content of a full_params.json, nested or flat."""
    if not isinstance(values, dict):
        raise InputError(f"{where} is no table of settings", "give the file that the training script wrote")
    flat: dict[str, list[Any]] = {}
    for name, value in _leaves(values):
        flat.setdefault(name, []).append(value)
    numbers = {key: _needed(flat, key, names, where) for key, names in NAMES.items()}
    # [BG] has 15 seeds on 15 splits, seed i on split i: without a word on the split the seed names it
    split = _number(flat, SPLIT, where)
    split = _needed(flat, "split", SEED, where, 0) if split is None else split
    return Settings(**numbers, split=split, schedule=_schedule(flat, where))


def _leaves(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield name, value


def _needed(flat: dict[str, list[Any]], key: str, names: tuple[str, ...], where: Path, least: int = 1) -> int:
    found = _number(flat, names, where)
    if found is None:
        raise InputError(f"{where} does not say {key}", f"add it as one of {', '.join((*SPLIT, *names) if key == 'split' else names)}")
    if found < least:
        raise InputError(f"{where}: {key} = {found}", f"give {least} or more")
    return found


def _number(flat: dict[str, list[Any]], names: tuple[str, ...], where: Path) -> int | None:
    found = {name: value for name in names for value in flat.get(name, []) if value is not None}
    wrong = {name: value for name, value in found.items() if type(value) is not int and not (type(value) is float and value.is_integer())}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise InputError(f"{where}: {name} = {str(value)[:40]!r} is no integer", "give an integer")
    if len({int(value) for name in names for value in flat.get(name, []) if value is not None}) > 1:
        raise InputError(f"{where} says two things: {', '.join(f'{k} = {v}' for k, v in found.items())}", "leave the one that is meant")
    return int(next(iter(found.values()))) if found else None


def _schedule(flat: dict[str, list[Any]], where: Path) -> str:
    """The noising process; files of the published runs that do not name it used the published one."""
    for name in SCHEDULE:
        for value in flat.get(name, []):
            if value not in SCHEDULES:
                raise InputError(f"{where}: {name} = {str(value)[:40]!r} is not known", f"choose one of {', '.join(SCHEDULES)}")
            return SCHEDULES[value]
    return "diffusion_lm"
