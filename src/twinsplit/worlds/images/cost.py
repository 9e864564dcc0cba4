"""What one checkpoint of images is asked, and what of the answers is kept: counts that follow from the recipe alone."""

from math import prod

from twinsplit.worlds.evaluator import MeasurementCost
from twinsplit.worlds.images.judging import STATISTICS, can_be_told_apart
from twinsplit.worlds.images.pictured import PicturedWorld


def measurement_cost_of(world: PicturedWorld) -> MeasurementCost:
    """Of the standard measures (`STANDARD`), and the samples with what is measured on them."""
    data, options, networks = world.recipe.data, world.recipe.measuring, len(world.members)
    held_out, own = data.held_out * options.noise_draws, min(options.train_images, data.split_size) * options.noise_draws
    times, pairs = len(options.times), networks * (networks - 1)
    answers = networks * (held_out * (len({world.recipe.measured_time, *options.times}) + 1) + own)
    values = pairs * held_out * (1 + times) + networks * (held_out * (1 + times) + own)
    near = pairs * options.generated + 3 * (networks * options.generated + data.splits * data.held_out)
    caption = len(STATISTICS) * networks if can_be_told_apart(world) else 0
    samples = (
        networks * options.generated * (2 * prod(world.sample_shape) + 1)
    )  # each with its nearest training image, and whether it ended
    return MeasurementCost(answers, 4 * (values + near + caption) + samples)
