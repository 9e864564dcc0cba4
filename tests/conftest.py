"""Every test runs alike on every machine: Hypothesis is derandomised and has no deadline, because speed is not tested here.

Under pytest-xdist each worker takes one thread: two workers with two threads each on two cores wait for each other.
"""

import os

import pytest
import torch
from hypothesis import settings

from fixtures_images import image_figures, image_recipe, image_run, image_world
from fixtures_ladder import ladder_out, ladder_rungs, ladder_world
from fixtures_sequences import figures, middle

__all__ = ["figures", "image_figures", "image_recipe", "image_run", "image_world", "ladder_out", "ladder_rungs", "ladder_world", "middle"]

LONGEST = ("test_docs.py", "test_cli.py")  # begun first, so that one worker is not left with them at the end

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of minutes before files of seconds; the order within a file stays."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
