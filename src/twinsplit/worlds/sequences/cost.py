"""What one checkpoint of sequences is asked, and what of the answers is kept: counts that follow from the recipe alone."""

from twinsplit.worlds.sequences.probe_sets import training_draws
from twinsplit.worlds.sequences.world import HierarchicalWorld
from twinsplit.worlds.world import MeasurementCost


def measurement_cost_of(world: HierarchicalWorld) -> MeasurementCost:
    """Of the standard measures (`STANDARD`) and the nearest neighbours of samples."""
    data, networks = world.recipe.data, len(world.members)
    held_out = data.held_out * world.recipe.measuring.noise_draws
    own = min(data.held_out, data.split_size) * training_draws(world.recipe)
    pairs, losses = networks * (networks - 1) * held_out, networks * (2 * held_out + own)
    oracles, terms = networks * (world.grammar.depth + 1) * held_out, 4 * networks * (held_out + own)
    samples = networks * world.recipe.measuring.generated + data.splits * data.held_out
    return MeasurementCost(2 * networks * (held_out + own), 4 * (pairs + oracles + losses + terms + samples))
