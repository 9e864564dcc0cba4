"""Which checkpoint stands for a place on a curve: one rule for page, figures and measurements."""

from collections.abc import Iterable

import numpy as np

from twinsplit.errors import InputError


def nearest_checkpoint(steps: Iterable[int], log_step: float) -> int:
    """Return the step among `steps` that is nearest to `log_step` in log step.

    Step 0 has no logarithm and is never chosen. Raises InputError where no step above 0 is given.
    """
    trained = sorted(step for step in steps if step > 0)
    if not trained:
        raise InputError("there is no checkpoint after step 0", "keep checkpoints while training")
    return min(trained, key=lambda step: abs(float(np.log(step)) - log_step))
