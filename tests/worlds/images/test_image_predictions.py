"""Every measure of a checkpoint, recomputed from the stored weights with diffusers' own module and plain arithmetic."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twinsplit.data.images.builtin import digits_and_labels
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.noise.reference import Noise
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.measuring import measure
from twinsplit.recipes import DIGITS_SMOKE
from twinsplit.runs.store import Run
from twinsplit.worlds.images.predictions import MEASURES, ImageEvaluator, ImagePredictions
from twinsplit.worlds.images.world import ImageWorld

RECIPE = replace(
    DIGITS_SMOKE,
    seed=5,
    data=replace(DIGITS_SMOKE.data, splits=2, split_size=9, held_out=7, normalisation="image", scale=0.5),
    training=replace(DIGITS_SMOKE.training, steps=6, first_checkpoint=2, checkpoints=2, seeds_per_split=2),
    measuring=replace(DIGITS_SMOKE.measuring, times=(4, 20), noise_draws=2, train_images=5),
)
STEP, T = 6, 50


@pytest.fixture(scope="module")
def world() -> ImageWorld:
    return ImageWorld.of(RECIPE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run[Any]:
    session = pipeline.begin(tmp_path_factory.mktemp("image-measures") / "run", RECIPE, Inline())
    pipeline.train_stage(session)
    pipeline.measure_stage(session, tuple(MEASURES))
    return session.run


class ByHand:
    """The stored networks of one step, asked with numpy's pixels, this file's own schedule, and diffusers' own module."""

    def __init__(self, run: Run[Any], step: int = STEP) -> None:
        self.stored, self.about = run.load(step), run.read_json("data.json")
        beta = torch.linspace(1e-4 * 1_000 / T, 0.02 * 1_000 / T, T, dtype=torch.float64)
        self.alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])

    def rows(self, data: int | None) -> list[int]:
        """Of the held-out images (None) or of those of a split that are measured on."""
        rows: list[int] = self.about["rows"]["held_out"] if data is None else self.about["rows"]["splits"][data][:5]
        return rows

    def eps(self, data: int | None, draw: int) -> Tensor:
        ids = torch.tensor(self.rows(data))
        return Noise(5).child("measuring").child("eps").normal(draw, ids, (1, 8, 8)).float()

    def times(self, data: int | None, draw: int, t: int | None) -> Tensor:
        ids = torch.tensor(self.rows(data))
        own = Noise(5).child("measuring").child("time").integers(draw, ids, 1, T)
        return own if t is None else torch.full((len(ids),), t)

    def predicted(self, member: int, data: int | None, t: int | None, mean_of: int | None = None) -> tuple[Tensor, Tensor]:
        """(2 m, 1, 8, 8) predictions of a member over both draws, and the noise; mean_of: whose mean is taken off (its own split's)."""
        rows = self.rows(data)
        pixels = torch.from_numpy(digits_and_labels()[0][rows] / np.float32(16))
        mean = self.mean(member // 2 if mean_of is None else mean_of)
        states, times, noise = [], [], []
        for draw in (0, 1):
            eps, at = self.eps(data, draw), self.times(data, draw, t)
            ab = self.alpha_bar[at].float()[:, None, None, None]
            states.append(ab.sqrt() * (pixels - mean) / 0.5 + (1 - ab).sqrt() * eps)
            times.append(at)
            noise.append(eps)
        module = RECIPE_NETWORK.module().eval()
        module.load_state_dict({name: self.stored[f"average.{name}"][member] for name in RECIPE_NETWORK.shapes()})
        with torch.no_grad():
            return module(torch.cat(states), torch.cat(times) - 1).sample, torch.cat(noise)

    def mean(self, split: int) -> Tensor:
        """(1, 8, 8) of the split's own pictures."""
        return torch.from_numpy(digits_and_labels()[0][self.about["rows"]["splits"][split]].mean(0) / 16).float()


RECIPE_NETWORK = ImageWorld.of(RECIPE).network


@pytest.fixture(scope="module")
def by_hand(run: Run[Any]) -> ByHand:
    return ByHand(run)


def stored(run: Run[Any], name: str, **wanted: int) -> np.ndarray:
    rows = [row for row in run.table(name).to_pylist() if all(row[key] == value for key, value in ({"step": STEP} | wanted).items())]
    assert len(rows) == 1, (name, wanted)
    return np.array(rows[0]["values"])


def test_each_row_names_its_members(run: Run[Any]) -> None:
    rows = run.table("noise_similarity").to_pylist()
    assert len(rows) == 2 * 2 * 12  # checkpoints, times, ordered pairs of four members
    assert {(r["member_a"], r["split_a"], r["seed_a"]) for r in rows} == {(0, 0, 0), (1, 0, 1), (2, 1, 2), (3, 1, 3)}
    assert {(r["member"], r["t"]) for r in run.table("fixed_time_loss").to_pylist()} == {(k, t) for k in range(4) for t in (4, 20)}


def test_the_divergence_is_half_the_squared_distance_of_the_predictions(run: Run[Any], by_hand: ByHand) -> None:
    t = RECIPE.measured_time
    assert t == 5
    (a, _), (b, _) = by_hand.predicted(1, None, t), by_hand.predicted(2, None, t)
    expected = (a - b).double().square().flatten(1).sum(1) / 2
    for pair in ((1, 2), (2, 1)):
        np.testing.assert_allclose(stored(run, "sample_split_divergence", member_a=pair[0], member_b=pair[1]), expected, rtol=2e-3)


def test_losses_are_mean_squares_over_pixels(run: Run[Any], by_hand: ByHand) -> None:
    cases = (("test_loss", None, None, {}), ("train_loss", 1, None, {}), ("fixed_time_loss", None, 20, {"t": 20}))
    for name, data, t, where in cases:
        predicted, eps = by_hand.predicted(3, data, t)
        expected = (predicted - eps).double().square().flatten(1).mean(1)
        assert len(expected) == 2 * len(by_hand.rows(data))
        np.testing.assert_allclose(stored(run, name, member=3, **where), expected, rtol=1e-4, err_msg=name)


def test_similarities_are_cosines_and_differences_mean_squares(run: Run[Any], by_hand: ByHand) -> None:
    cases = (("noise_similarity", None), ("noise_difference", None), ("train_noise_similarity", 1), ("train_noise_difference", 1))
    for name, data in cases:
        (a, _), (b, _) = (by_hand.predicted(k, data, 4) for k in (2, 0))
        a, b = a.double().flatten(1), b.double().flatten(1)
        cosine = (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
        expected = (a - b).square().mean(1) if name.endswith("difference") else cosine
        np.testing.assert_allclose(
            stored(run, name, member_a=2, member_b=0, t=4), expected, rtol=2e-3 if "diff" in name else 1e-5, err_msg=name
        )


def test_no_network_meets_another_splits_mean(run: Run[Any], by_hand: ByHand) -> None:
    """Member 2 is of split 1: with the mean of split 0 the same images give it other predictions, which are not what is stored."""
    eps = by_hand.predicted(2, None, None)[1]
    right, wrong = ((by_hand.predicted(2, None, None, mean)[0] - eps).double().square().flatten(1).mean(1) for mean in (1, 0))
    found = stored(run, "test_loss", member=2)
    np.testing.assert_allclose(found, right, rtol=1e-4)
    assert np.abs(found - wrong.numpy()).max() > 1e-3 * found.max()


def test_the_noise_is_that_of_every_checkpoint(run: Run[Any]) -> None:
    """The first checkpoint's rows follow from the very same states as the last one's."""
    early = ByHand(run, 2)
    predicted, eps = early.predicted(0, None, None)
    expected = (predicted - eps).double().square().flatten(1).mean(1)
    np.testing.assert_allclose(stored(run, "test_loss", member=0, step=2), expected, rtol=1e-4)


def test_noise_and_times_belong_to_the_image_and_the_draw(world: ImageWorld) -> None:
    probes = world.probes()
    some = replace(probes.held_out, images=probes.held_out.images[2:4], ids=probes.held_out.ids[2:4])
    for draw in (0, 1):
        assert torch.equal(probes.eps(some, draw), probes.eps(probes.held_out, draw)[2:4])
        assert torch.equal(probes.all_times(some, draw), probes.all_times(probes.held_out, draw)[2:4])
    assert not torch.equal(probes.eps(some, 0), probes.eps(some, 1))
    assert not torch.equal(probes.eps(probes.splits[0], 0)[:2], probes.eps(probes.splits[1], 0)[:2])


def test_networks_that_know_one_time_are_judged_at_it(run: Run[Any], world: ImageWorld) -> None:
    """Losses and divergence; time_fraction says nothing then."""
    recipe = replace(RECIPE, training=replace(RECIPE.training, times="fixed", fixed_time=20))
    assert recipe.measured_time == 20
    other = ImageWorld.of(recipe)
    probes, ensemble = other.probes(), world.load(run, STEP)
    assert set(probes.all_times(probes.held_out, 1).tolist()) == {20}
    rows = {name: ImageEvaluator(probes).rows(ensemble, name) for name in ("test_loss", "fixed_time_loss", "sample_split_divergence")}
    at_time = [row["values"] for row in rows["fixed_time_loss"] if row["t"] == 20]
    for row, values in zip(rows["test_loss"], at_time, strict=True):
        assert torch.equal(row["values"], values)
    difference = {
        (r["member_a"], r["member_b"]): r["values"] for r in run.table("noise_difference").to_pylist() if (r["step"], r["t"]) == (STEP, 20)
    }
    for row in rows["sample_split_divergence"]:
        expected = np.array(difference[row["member_a"], row["member_b"]]) * 64 / 2
        np.testing.assert_allclose(row["values"], expected, rtol=1e-4)


def test_predictions_are_made_once(run: Run[Any], world: ImageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int, int | None]] = []
    whole = ImagePredictions._at
    monkeypatch.setattr(ImagePredictions, "_at", lambda self, *options: made.append(options) or whole(self, *options))
    evaluator, ensemble = ImageEvaluator(world.probes()), world.load(run, STEP)
    for name in MEASURES:
        evaluator.rows(ensemble, name)
    assert len(made) == len(set(made))
    evaluator.rows(world.load(run, 2), "test_loss")  # another checkpoint is asked anew
    assert len(made) == len(set(made)) + 4


def test_nobody_knows_the_lowest_loss_of_images(run: Run[Any], world: ImageWorld) -> None:
    assert world.evaluator().lowest_losses() == run.read_json("measurements/bayes.json") == {}


def test_unknown_measures_are_refused(run: Run[Any], world: ImageWorld) -> None:
    with pytest.raises(InputError, match="choose among sample_split_divergence, test_loss"):
        list(measure(run, world, ("oracle_divergence",), Inline()))


def test_measuring_goes_on_where_it_stopped(run: Run[Any], world: ImageWorld, tmp_path: Path) -> None:
    import shutil

    again = Run.create(tmp_path / "again", RECIPE)
    shutil.copytree(run.path / "checkpoints", again.path / "checkpoints")
    events = measure(again, world, ("test_loss", "noise_similarity"), Inline())
    assert next(events).step == 2
    events.close()
    assert again.measured("test_loss") == (2,)
    list(measure(again, world, tuple(MEASURES), Inline()))
    for part in (run.path / "measurements").glob("*.parquet/*"):
        assert (again.path / part.relative_to(run.path)).read_bytes() == part.read_bytes(), part
