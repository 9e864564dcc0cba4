"""What one checkpoint of images is asked, and what of the answers is kept: counts that follow from the recipe alone."""

from math import prod

from twinsplit.worlds.images.judging import STATISTICS, can_be_told_apart
from twinsplit.worlds.images.world import ImageWorld
from twinsplit.worlds.world import Toll


def toll_of(world: ImageWorld) -> Toll:
    """Of the standard measures (`STANDARD`), and the samples with what is measured on them."""
    data, asked, networks = world.recipe.data, world.recipe.measuring, len(world.members)
    held_out, own = data.held_out * asked.noise_draws, min(asked.train_images, data.split_size) * asked.noise_draws
    times, pairs = len(asked.times), networks * (networks - 1)
    answers = networks * (held_out * (len({world.recipe.measured_time, *asked.times}) + 1) + own)
    values = pairs * held_out * (1 + times) + networks * (held_out * (1 + times) + own)
    near = pairs * asked.generated + 3 * (networks * asked.generated + data.splits * data.held_out)
    told = len(STATISTICS) * networks if can_be_told_apart(world) else 0
    samples = networks * asked.generated * (2 * prod(world.sample_shape) + 1)  # each with its nearest training image, and whether it ended
    return Toll(answers, 4 * (values + near + told) + samples)
