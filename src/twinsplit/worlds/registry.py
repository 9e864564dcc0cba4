"""Registering worlds, and building the world of a recipe."""

from typing import TypeVar

from twinsplit.errors import InputError
from twinsplit.recipes import Entry, RunRecipe, enter, entry_of
from twinsplit.worlds.world import World

AnyWorld = TypeVar("AnyWorld", bound=type[World])


def register(world: AnyWorld) -> AnyWorld:
    """Make a world known by its name to recipes, command line, page and dry run; also a class decorator.

    Args:
        world: a subclass of `World` with `name`, `recipe_type` (whose `world` is that name) and perhaps `presets`.

    Raises:
        InputError: where the recipe type names another world.

    Examples:
        >>> register(MyWorld)  # doctest: +SKIP
    """
    if getattr(world.recipe_type, "world", None) != world.name:
        raise InputError(
            f"the recipe type of the world {world.name!r} names the world {getattr(world.recipe_type, 'world', None)!r}",
            f'write world: ClassVar[str] = "{world.name}" in {world.recipe_type.__name__}',
        )
    enter(Entry(world.name, world.recipe_type, world.presets, world, world.name))
    return world


def world_of(recipe: RunRecipe) -> World:
    """Build the world of a recipe; InputError where the recipe's sizes do not fit the data."""
    built: World = entry_of(recipe.world, "the recipe").load().of(recipe)
    return built
