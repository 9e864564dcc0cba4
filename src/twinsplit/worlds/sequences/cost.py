"""What one checkpoint of sequences costs to measure: counts that follow from the recipe alone."""

from twinsplit.recipes import Recipe
from twinsplit.worlds.evaluator import MeasurementCost
from twinsplit.worlds.sequences.probe_sets import training_draws


def measurement_cost_of(recipe: Recipe, depth: int) -> MeasurementCost:
    """Count for the standard measures (`STANDARD`) and the nearest neighbours of samples."""
    data, networks = recipe.data, len(recipe.members)
    held_out = data.held_out * recipe.measuring.noise_draws
    own = min(data.held_out, data.split_size) * training_draws(recipe)
    pairs, losses = networks * (networks - 1) * held_out, networks * (2 * held_out + own)
    oracles, terms = networks * (depth + 1) * held_out, 4 * networks * (held_out + own)
    samples = networks * recipe.measuring.generated + data.splits * data.held_out
    return MeasurementCost(2 * networks * (held_out + own), 4 * (pairs + oracles + losses + terms + samples))
