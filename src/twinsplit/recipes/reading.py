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
from twinsplit.recipes.images import DIGITS, DIGITS_SMOKE, ImageRecipe
from twinsplit.recipes.parts import LARGEST, RunRecipe, require
from twinsplit.recipes.sequences import QUICKSTART, SMOKE, Recipe
from twinsplit.runs.parsing import parse

SHIPPED = Path(__file__).parent / "published"
PUBLISHED = ("paper-5000.toml", "paper-12000.toml", "paper-70000.toml")
PRESETS: dict[str, Recipe] = {"smoke": SMOKE, "laptop": QUICKSTART, "paper": Recipe()}
IMAGE_PRESETS: dict[str, ImageRecipe] = {"smoke": DIGITS_SMOKE, "laptop": DIGITS, "paper": ImageRecipe()}
WORLDS: dict[str, Mapping[str, RunRecipe]] = {"hierarchical": PRESETS, "digits": IMAGE_PRESETS}


def preset(name: str) -> Recipe:
    """The recipe of a scale, in the hierarchical world."""
    require(name in PRESETS, f"no scale named {name!r}", f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def preset_of(world: str, name: str) -> RunRecipe:
    """The recipe of a scale in one of the built-in worlds."""
    require(world in WORLDS, f"no world named {world!r}", f"choose one of {', '.join(WORLDS)}")
    require(name in WORLDS[world], f"no scale named {name!r}", f"choose one of {', '.join(WORLDS[world])}")
    return WORLDS[world][name]


def read_recipe(path: Path) -> RunRecipe:
    """A recipe from a .toml or .json file; keys that are left out keep the `paper` values.

    `world = "images"` makes it one of images. A bare name that is no file here may be one of the recipes that come with the package,
    `PUBLISHED`.
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
    """A recipe from plain nested data; unknown keys and wrong types are refused."""
    world = values.get("world") if isinstance(values, dict) else None
    require(world in (None, "images"), f"{where}: world = {world!r}", 'write world = "images", or leave it out for sequences')
    built = _changed(ImageRecipe() if world else Recipe(), values, where)
    assert isinstance(built, RunRecipe)
    return built


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
