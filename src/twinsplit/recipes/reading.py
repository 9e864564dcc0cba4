"""Recipes from files and by name, checked key by key."""

import dataclasses
import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from twinsplit.errors import InputError
from twinsplit.recipes.parts import DEFAULT_WORLD, LARGEST, RunRecipe, require
from twinsplit.recipes.registry import Entry, entry_of
from twinsplit.runs.parsing import parse

SHIPPED = Path(__file__).parent / "published"
PUBLISHED = ("paper-5000.toml", "paper-12000.toml", "paper-70000.toml")
FREE = ("name", "seed", "kind")  # keys that may be left out: they decide neither size nor time


def read_recipe(path: Path) -> RunRecipe:
    """Read a recipe from a .toml or .json file.

    `world = "images"` makes it one of images. `base = "laptop"` fills up the keys that are left out from that preset; without
    it they are an error. A bare name that is no file here may be one of the recipes that come with the package, `PUBLISHED`.
    """
    if path.name == str(path) and not path.exists() and path.name in PUBLISHED:
        path = SHIPPED / path.name
    try:
        text = path.read_text(encoding="utf-8")
        values = parse(text, tomllib.loads if path.suffix == ".toml" else json.loads)
    except OSError as error:
        raise InputError(
            f"cannot read the recipe {path}: {error.strerror}", f"check the path, or name one of {', '.join(PUBLISHED)}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not valid {path.suffix or 'JSON'}: {error}", "correct the file") from error
    return recipe_from(values, str(path))


def recipe_from(values: Any, where: str) -> RunRecipe:
    """Make a recipe from plain nested data; unknown keys, wrong types and, without a `base`, missing keys are refused."""
    entry, given = _entry_and_tables(values, where)
    base = given.pop("base", None)
    if base is None:
        built = _built(entry.recipe(), given, where)
        _refuse_missing(built, given, where, entry.presets)
        return built
    require(isinstance(base, str) and base in entry.presets, f"{where}: base = {base!r}", f"choose one of {', '.join(entry.presets)}")
    return _built(entry.presets[base], given, where)


def stored_recipe(values: Any, where: str) -> RunRecipe:
    """Make the recipe of a run folder; keys that were not there when it was written have their defaults."""
    entry, given = _entry_and_tables(values, where)
    return _built(entry.recipe(), given, where)


def _entry_and_tables(values: Any, where: str) -> tuple[Entry, dict[str, Any]]:
    """The registered world that `values` name, and all that they hold beside its name."""
    require(isinstance(values, dict), f"{where} is not a table of settings", "write key = value pairs")
    given = dict(values)
    return entry_of(given.pop("world", DEFAULT_WORLD), where), given


def _built(base: RunRecipe, given: dict[str, Any], where: str) -> RunRecipe:
    built = _changed(base, given, where)
    assert isinstance(built, RunRecipe)
    return built


def _refuse_missing(built: RunRecipe, given: Any, where: str, presets: Mapping[str, RunRecipe]) -> None:
    """A recipe of a few keys must not be filled up in silence from a preset that takes days."""
    missing = _missing(built, given, "")
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        remedy = f'write base = "{next(iter(presets))}" to fill them up from a preset ({", ".join(presets)})' if presets else "give them"
        raise InputError(f"{where}: missing keys: {named}", remedy)


def _missing(built: Any, given: Any, prefix: str) -> list[str]:
    found = []
    for key in (f.name for f in dataclasses.fields(built)):
        inner = getattr(built, key)
        if dataclasses.is_dataclass(inner):
            found += _missing(inner, given.get(key, {}), f"{prefix}{key}.")
        elif key not in given and key not in FREE:
            found.append(prefix + key)
    return found


def _changed(base: Any, values: Any, where: str) -> object:
    """`base` with these values, each checked against the type of its field."""
    require(isinstance(values, dict), f"{where} is not a table of settings", "write key = value pairs")
    fields = {f.name: f for f in dataclasses.fields(base)}
    for key in values:
        close = difflib.get_close_matches(key, fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"
        require(key in fields, f"{where}: unknown key {key!r}", hint)
    given = {key: _value(fields[key].type, getattr(base, key), value, f"{where}: {key}") for key, value in values.items()}
    return dataclasses.replace(base, **given)


def _value(annotation: Any, before: Any, value: Any, where: str) -> object:
    if dataclasses.is_dataclass(annotation):
        return _changed(before, value, where)
    if get_origin(annotation) is tuple:
        return _numbers(get_args(annotation)[0], value, where)
    choices = getattr(annotation, "__args__", None)
    if choices and dataclasses.is_dataclass(choices[0]):
        return _of_kind(choices, before, value, where)
    if choices:
        require(value in choices, f"{where} = {value!r}", f"choose one of {', '.join(choices)}")
        return value
    return _plain(annotation, value, where)


def _of_kind(kinds: tuple[Any, ...], before: Any, value: Any, where: str) -> object:
    """One of several tables, by its key `kind`; without it, the one that stands."""
    named = {kind().kind: kind for kind in kinds}
    options = value.get("kind", before.kind) if isinstance(value, dict) else before.kind
    require(isinstance(options, str) and options in named, f"{where}: kind = {options!r}", f"choose one of {', '.join(named)}")
    return _changed(before if options == before.kind else named[options](), value, where)


def _numbers(kind: type, value: Any, where: str) -> tuple[Any, ...]:
    """A list of integers, or of numbers."""
    name = "integers" if kind is int else "numbers"
    listed = isinstance(value, list | tuple) and all(type(entry) in (int, kind) for entry in value)
    require(listed, f"{where} = {value!r} is no list of {name}", f"give a list of {name}")
    return tuple(_plain(kind, entry, where) for entry in value)


def _plain(kind: Any, value: Any, where: str) -> object:
    """An integer may stand where a number is asked for; no number is beyond what arithmetic can do."""
    fits = type(value) is kind or (kind is float and type(value) is int)
    require(fits, f"{where} = {value!r} is no {kind.__name__}", f"give a value of type {kind.__name__}")
    if kind in (int, float):
        require(abs(value) < math.inf, f"{where} = {value}", "give a finite number")
        require(type(value) is float or abs(value) < LARGEST, f"{where} has {len(str(abs(value)))} digits", "give at most 18")
    return kind(value)
