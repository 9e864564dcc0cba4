"""Learning-rate factors by step."""

import math

from twinsplit.training.batches import steps_per_epoch


def constant(step: int, steps: int, per_epoch: int) -> float:
    """1 at every step."""
    return 1.0


def published(step: int, steps: int, per_epoch: int) -> float:
    """[BG]: by epoch, from 1 to 0.5 linearly over 50 epochs, then a cosine from 0.5 to 0.1 at the last epoch."""
    epoch, last = (step - 1) // per_epoch, max(steps // per_epoch, 1)
    if epoch < 50:
        return 1.0 - 0.5 * epoch / 50
    progress = min((epoch - 50) / max(last - 50, 1), 1.0)
    return 0.1 + 0.4 * 0.5 * (1 + math.cos(math.pi * progress))


def warmup(step: int, steps: int, per_epoch: int) -> float:
    """[BG]'s other schedule: by epoch, linearly up to 1 at the 500th, then a cosine from 1 to 0.1 at the last.

    The first epoch has factor 1/500, not 0. The 500 epochs are not shortened for short runs: one of at most 500 epochs ends
    in its warm-up, at (its epochs) / 500.
    """
    epoch, last = (step - 1) // per_epoch, max(steps // per_epoch, 1)
    if epoch < 500:
        return (epoch + 1) / 500
    progress = min((epoch - 499) / max(last - 500, 1), 1.0)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))


def halving(step: int, steps: int, per_epoch: int) -> float:
    """[GAHB]: halved after every 100 epochs, so that of 1,000 the last hundred have factor 2^-9."""
    return 0.5 ** ((step - 1) // per_epoch // 100)


RATES = {"constant": constant, "published": published, "warmup": warmup, "halving": halving}


def rate_factor(name: str, step: int, steps: int, n: int, batch: int) -> float:
    """The factor of the named schedule at a step (1, 2, ...); n: samples in an epoch."""
    return RATES[name](step, steps, steps_per_epoch(n, batch))
