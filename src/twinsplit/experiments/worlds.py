"""The worlds there are."""

from twinsplit.experiments.hierarchical.world import HierarchicalWorld
from twinsplit.experiments.images.world import ImageWorld
from twinsplit.experiments.world import World
from twinsplit.recipes import ImageRecipe, Recipe, RunRecipe


def world_of(recipe: RunRecipe) -> World:
    """Built from its recipe; InputError where the recipe's sizes do not fit the data."""
    if isinstance(recipe, ImageRecipe):
        return ImageWorld.of(recipe)
    assert isinstance(recipe, Recipe)
    return HierarchicalWorld.of(recipe)
