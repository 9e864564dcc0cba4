"""Recipes: everything that decides a run's numbers, as plain data; and the presets `smoke`, `laptop`, `paper`.

A recipe is read from TOML or JSON, checked key by key, and written into the run folder. Two runs with equal recipes on one
machine have equal bits. Sizes that change only speed (workers, chunk sizes) are not part of it.
"""

from twinsplit.recipes.images import DIGITS, DIGITS_SMOKE, IMAGE_PRESETS, BlindSizes, ImageMeasuring, ImageRecipe, Images, UNetSizes
from twinsplit.recipes.parts import Diffusion, Repeating, RunRecipe, Splitting, Training, difference, require
from twinsplit.recipes.reading import PUBLISHED, SHIPPED, read_recipe, recipe_from, stored_recipe
from twinsplit.recipes.registry import Entry, enter, entries, entry_of, preset_of
from twinsplit.recipes.sequences import PRESETS, QUICKSTART, SMOKE, Data, Measuring, Network, Recipe
from twinsplit.recipes.tensors import SeriesRecipe, TensorNetwork, TensorRecipe

__all__ = [
    "DIGITS",
    "DIGITS_SMOKE",
    "IMAGE_PRESETS",
    "PRESETS",
    "PUBLISHED",
    "QUICKSTART",
    "SHIPPED",
    "SMOKE",
    "BlindSizes",
    "Data",
    "Diffusion",
    "Entry",
    "ImageMeasuring",
    "ImageRecipe",
    "Images",
    "Measuring",
    "Network",
    "Recipe",
    "Repeating",
    "RunRecipe",
    "SeriesRecipe",
    "Splitting",
    "TensorNetwork",
    "TensorRecipe",
    "Training",
    "UNetSizes",
    "difference",
    "enter",
    "entries",
    "entry_of",
    "preset_of",
    "read_recipe",
    "recipe_from",
    "require",
    "stored_recipe",
]
