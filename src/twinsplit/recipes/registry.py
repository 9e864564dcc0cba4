"""The registered worlds: the recipe type of each, its presets, and where its class is.

Recipes, command line, page and dry run find a world here and nowhere else. The built-in worlds
name their classes as text ("module:Class"), so that reading a recipe loads neither torch nor data.
A world of another package is registered by `twinsplit.register`, or by an entry point of the group
`twinsplit.worlds`, which is loaded when a name is asked for that nobody has registered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, final

from twinsplit.errors import InputError
from twinsplit.recipes.parts import RunRecipe, require

GROUP = "twinsplit.worlds"


@final
@dataclass(frozen=True)
class Entry:
    """A registered world.

    name: as recipes write it (`world = "images"`); recipe: its type; presets: scale -> recipe;
    world: its class, or "module:Class"; label: how `--world` names its presets.
    """

    name: str
    recipe: type[RunRecipe]
    presets: Mapping[str, RunRecipe]
    world: Any
    label: str

    def load(self) -> Any:
        """Return the class of the world."""
        if not isinstance(self.world, str):
            return self.world
        module, name = self.world.split(":")
        return getattr(import_module(module), name)


_ENTRIES: dict[str, Entry] = {}


def enter(entry: Entry) -> None:
    """Register a world; the same name again takes the place of the earlier one."""
    require(entry.name.isidentifier(), f"a world named {entry.name!r}", "choose a name of letters, digits and underscores")
    _ENTRIES[entry.name] = entry


def entries() -> Mapping[str, Entry]:
    """Return every registered world by name, those of installed packages included."""
    for point in entry_points(group=GROUP):
        if point.name not in _ENTRIES:
            point.load()  # the module registers its world when it is imported
    return dict(_ENTRIES)


def entry_of(name: object, where: str) -> Entry:
    """Return the world that a recipe names; InputError for one that nobody has registered."""
    if isinstance(name, str) and name in _ENTRIES:
        return _ENTRIES[name]
    known = entries()
    if not isinstance(name, str) or name not in known:
        raise InputError(f"{where}: world = {name!r}", f"choose one of {', '.join(known)}, or import the module that registers it")
    return known[name]


def preset_of(label: str, scale: str) -> RunRecipe:
    """Return the recipe of a scale among the presets that `--world` calls `label`."""
    known = {entry.label: entry.presets for entry in entries().values() if entry.presets}
    require(label in known, f"no world named {label!r}", f"choose one of {', '.join(known)}")
    require(scale in known[label], f"no scale named {scale!r}", f"choose one of {', '.join(known[label])}")
    return known[label][scale]
