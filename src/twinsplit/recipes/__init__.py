"""Recipes: everything that decides a run's numbers, as plain data; and the presets `smoke`, `laptop`, `paper`.

A recipe is read from TOML or JSON, checked key by key, and written into the run folder. Two runs with equal recipes on one
machine have equal bits. Sizes that change only speed (workers, chunk sizes) are not part of it.
"""

from twinsplit.recipes.images import DIGITS, DIGITS_SMOKE, BlindSizes, ImageMeasuring, ImageRecipe, Images, UNetSizes
from twinsplit.recipes.parts import Diffusion, RunRecipe, Training, difference, require
from twinsplit.recipes.reading import IMAGE_PRESETS, PRESETS, PUBLISHED, SHIPPED, WORLDS, preset, preset_of, read_recipe, recipe_from
from twinsplit.recipes.sequences import QUICKSTART, SMOKE, Data, Measuring, Network, Recipe

__all__ = [
    "DIGITS",
    "DIGITS_SMOKE",
    "IMAGE_PRESETS",
    "PRESETS",
    "PUBLISHED",
    "QUICKSTART",
    "SHIPPED",
    "SMOKE",
    "WORLDS",
    "BlindSizes",
    "Data",
    "Diffusion",
    "ImageMeasuring",
    "ImageRecipe",
    "Images",
    "Measuring",
    "Network",
    "Recipe",
    "RunRecipe",
    "Training",
    "difference",
    "UNetSizes",
    "preset",
    "preset_of",
    "read_recipe",
    "recipe_from",
    "require",
]
