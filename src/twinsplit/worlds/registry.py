"""The worlds there are."""

from twinsplit.recipes import ImageRecipe, Recipe, RunRecipe
from twinsplit.worlds.images.world import ImageWorld
from twinsplit.worlds.sequences.world import HierarchicalWorld
from twinsplit.worlds.world import World


def world_of(recipe: RunRecipe) -> World:
    """Built from its recipe; InputError where the recipe's sizes do not fit the data."""
    if isinstance(recipe, ImageRecipe):
        return ImageWorld.of(recipe)
    assert isinstance(recipe, Recipe)
    return HierarchicalWorld.of(recipe)
