"""What stored samples say, recomputed from them; what cannot be judged is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twinsplit.execution.local import Inline
from twinsplit.measures.two_sample import nearest_neighbour_two_sample
from twinsplit.runs.store import Run
from twinsplit.worlds.images import judging
from twinsplit.worlds.images.judging import can_be_told_apart, levels, measure_two_sample
from twinsplit.worlds.images.world import ImageWorld


def test_the_test_is_of_stored_samples_against_held_out_images_given_the_networks_own_split(
    image_run: Run[Any], image_world: ImageWorld
) -> None:
    step = image_run.steps()[-1]
    made, held_out = image_run.tensors("samples", step)["images"].float() / 255, (image_world.pictures[1] * 255).round() / 255
    rows = [row for row in image_run.table("two_sample").to_pylist() if row["step"] == step]
    assert len(rows) == 2 * 3
    for k in range(3):
        found = nearest_neighbour_two_sample(made[k], (image_world.pictures[0][k] * 255).round() / 255, held_out, 499, 0)
        closer, coincidence = (next(r for r in rows if (r["member"], r["statistic"]) == (k, name)) for name in ("closer", "coincidence"))
        assert closer["values"] == pytest.approx([found.closer.value])
        assert (closer["p_value"], closer["expected"]) == (found.closer.p_value, 0.5)
        assert (closer["low"], closer["high"]) == found.closer_interval
        assert coincidence["values"] == pytest.approx([found.coincidence.value])
        assert (coincidence["p_value"], coincidence["expected"]) == (found.coincidence.p_value, found.coincidence.expected)
        assert np.isnan(coincidence["low"])
        assert (closer["generated"], closer["held_out"], closer["training"], closer["draws"]) == (6, 24, 16, 499)


def test_samples_that_are_training_images_are_told_from_held_out_ones(image_world: ImageWorld, tmp_path: Path) -> None:
    """Whose distance is 0: the smallest p there is, 1 in 500, unless a deal of 499 has the same 6 on one side (1e-3 for all of them)."""
    run = Run.create(tmp_path / "run", image_world.recipe)
    copies = torch.stack([levels(images[:6]) for images in image_world.pictures[0]])
    run.write_tensors("samples", 24, {"images": copies})
    assert [event.names for event in measure_two_sample(run, image_world, (24,), Inline())] == [("two_sample",)]
    closer = [row for row in run.table("two_sample").to_pylist() if row["statistic"] == "closer"]
    assert [row["values"] for row in closer] == [[1.0]] * 3
    assert [row["p_value"] for row in closer] == [1 / 500] * 3


def test_what_stands_is_not_judged_again(image_run: Run[Any], image_world: ImageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "levels", None)  # nothing is even made ready
    assert list(measure_two_sample(image_run, image_world, image_run.steps(), Inline())) == []


@pytest.mark.parametrize(
    "changes",
    [{"data": {"filter": "haar", "gains": (0.0, 0.0, 0.0)}}, {"measuring": {"generated": 1}}, {"data": {"held_out": 1}}],
)
def test_filtered_images_and_single_samples_are_not_judged(image_world: ImageWorld, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Copies without details may be equal in two splits, and one sample says nothing."""
    recipe = image_world.recipe
    other = replace(recipe, **{part: replace(getattr(recipe, part), **values) for part, values in changes.items()})
    world = ImageWorld.of(other)
    assert can_be_told_apart(image_world)
    assert not can_be_told_apart(world)
    assert list(measure_two_sample(Run.create(tmp_path / "run", other), world, (24,), Inline())) == []


def test_levels_of_8_bit_pictures_are_the_pictures() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(levels(every.float() / 255), every)
    assert levels(torch.tensor([-0.2, 1.7])).tolist() == [0, 255]
