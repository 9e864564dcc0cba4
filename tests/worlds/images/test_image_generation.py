"""What twins draw: from one noise, the same in any chunk; nearest images, gap ratios and similarities as their definitions say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toy import Toy
from twinsplit.diffusion.sampler import DDIM, Ancestral
from twinsplit.measures.memorization import gap_ratio
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.runs.store import Run
from twinsplit.worlds.images import generation
from twinsplit.worlds.images.generation import Drawing, drawing_of
from twinsplit.worlds.images.world import ImageWorld


@pytest.fixture(scope="module")
def step(image_run: Run[Any]) -> int:
    return image_run.steps()[-1]


@pytest.fixture(scope="module")
def drawn(image_run: Run[Any], image_world: ImageWorld, step: int) -> list[Tensor]:
    """The samples of every member, drawn again."""
    ensemble, drawing = image_world.load(image_run, step), drawing_of(image_world)
    return [drawing(ensemble.member(k)).samples for k in range(3)]


@pytest.fixture(scope="module")
def learned(image_world: ImageWorld) -> Tensor:
    """(3, n, 1, 8, 8) what each network learned from."""
    return image_world.split_samples()


def rows(run: Run[Any], name: str, **wanted: object) -> list[np.ndarray]:
    return [np.array(r["values"]) for r in run.table(name).to_pylist() if all(r[key] == value for key, value in wanted.items())]


def sampler_of(drawing: Drawing) -> Any:
    return drawing.draw.args[0]  # type: ignore[attr-defined]  # a partial, so that it can be sent


def test_samples_do_not_depend_on_the_chunk(image_world: ImageWorld, drawn: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit for arithmetic that is the same in any batch; to rounding for convolutions, whose order of summation may differ."""
    drawing = drawing_of(image_world)
    toy = Toy(lambda x, t: 0.8 * x + 0.01 * t, image_world.schedule)
    whole = drawing(toy).samples
    monkeypatch.setattr(generation, "CHUNK", 4)
    assert torch.equal(drawing(toy).samples, whole)


def test_networks_samples_do_not_depend_on_the_chunk(
    image_run: Run[Any], image_world: ImageWorld, step: int, drawn: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "CHUNK", 4)
    again = drawing_of(image_world)(image_world.load(image_run, step).member(1)).samples
    torch.testing.assert_close(again, drawn[1], rtol=1e-4, atol=1e-4)


def test_all_twins_start_and_step_with_the_same_noise(image_world: ImageWorld) -> None:
    """Two networks that predict the same draw the same; what they start from is keyed by the sample alone."""
    seen: list[list[Tensor]] = [[], []]

    def noting(k: int) -> Any:
        def predictor(x: Tensor, t: int) -> Tensor:
            seen[k].append(x.clone())
            return 0.5 * x

        return predictor

    drawing = drawing_of(image_world)
    first, second = (drawing(Toy(noting(k), image_world.schedule)).samples for k in (0, 1))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    assert len(seen[0]) == image_world.recipe.measuring.sampling_steps
    x_T = image_world.root.child("generation").child("x_T").normal(0, torch.arange(6), (1, 8, 8), torch.float32)
    assert torch.equal(seen[0][0], x_T)
    fewer = replace(drawing, count=4)
    again = fewer(Toy(lambda x, t: 0.5 * x, image_world.schedule))
    assert torch.equal(again.samples, first[:4])
    assert again.finished.tolist() == [True] * 4


def test_ancestral_steps_by_hand(image_run: Run[Any], image_world: ImageWorld, step: int, drawn: list[Tensor]) -> None:
    """The reverse process of member 0 over T = 50 in five strides, written out: the bridge's mean and variance."""
    denoiser, ab = image_world.load(image_run, step).member(0), image_world.schedule.alpha_bar
    assert isinstance(denoiser, UNetDenoiser)
    root, ids = image_world.root.child("generation"), torch.arange(6)
    x = root.child("x_T").normal(0, ids, (1, 8, 8)).double()
    for t, s in ((50, 40), (40, 30), (30, 20), (20, 10), (10, 0)):
        eps = denoiser.noise_prediction(x.float(), t).double()
        x_0 = (x - (1 - ab[t]).sqrt() * eps) / ab[t].sqrt()
        a = ab[t] / ab[s]
        mean = (ab[s].sqrt() * (1 - a) * x_0 + a.sqrt() * (1 - ab[s]) * x) / (1 - ab[t])
        z = root.child("steps").normal(t, ids, (1, 8, 8)).double()
        x = mean + ((1 - a) * (1 - ab[s]) / (1 - ab[t])).sqrt() * z
    torch.testing.assert_close(drawn[0].double(), x, rtol=1e-3, atol=1e-3)


def test_the_sampler_is_the_recipes(image_world: ImageWorld) -> None:
    drawing = drawing_of(image_world)
    assert isinstance(sampler_of(drawing), Ancestral)
    recipe = replace(image_world.recipe, measuring=replace(image_world.recipe.measuring, sampler="ddim", sampling_steps=999))
    other = drawing_of(replace(image_world, recipe=recipe))
    assert isinstance(sampler_of(other), DDIM)
    assert (sampler_of(other).eta, sampler_of(other).times) == (0.0, tuple(range(50, -1, -1)))


def test_similarity_is_the_cosine_of_what_two_members_draw(image_run: Run[Any], step: int, drawn: list[Tensor]) -> None:
    assert len(rows(image_run, "sample_similarity", step=step)) == 6
    a, b = drawn[2].double().flatten(1), drawn[0].double().flatten(1)
    (found,) = rows(image_run, "sample_similarity", step=step, member_a=2, member_b=0)
    np.testing.assert_allclose(found, (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1), rtol=1e-5)


def test_memorization_is_the_distance_to_ones_own_training_images(
    image_run: Run[Any], step: int, drawn: list[Tensor], learned: Tensor
) -> None:
    for k in range(3):
        apart = (drawn[k].double()[:, None] - learned[k].double()[None]).flatten(2).norm(dim=2)
        expected = {"distance": apart.min(1).values, "row": apart.argmin(1), "gap_ratio": gap_ratio(drawn[k], learned[k])}
        for quantity, values in expected.items():
            (found,) = rows(image_run, "memorization", step=step, member=k, source="generated", quantity=quantity)
            np.testing.assert_allclose(found, values, rtol=1e-5, err_msg=quantity)


def test_held_out_images_are_judged_as_samples_are(image_run: Run[Any], image_world: ImageWorld, step: int, learned: Tensor) -> None:
    """For every split, with its own normalisation."""
    for split, own in enumerate(image_world.normalisations):
        (found,) = rows(image_run, "memorization", step=step, split=split, source="held_out", quantity="gap_ratio")
        np.testing.assert_allclose(found, gap_ratio(own.apply(image_world.pictures[1]), learned[split]), rtol=1e-6)


def test_stored_pictures_are_the_samples_and_their_nearest_images(
    image_run: Run[Any], image_world: ImageWorld, step: int, drawn: list[Tensor], learned: Tensor
) -> None:
    stored = image_run.tensors("samples", step)
    for k in range(3):
        mean = image_world.pictures[0][k].mean()  # of one channel
        levels = ((drawn[k] + mean) * 255).round().clamp(0, 255)
        assert float((stored["images"][k].float() - levels).abs().max()) <= 1
        nearest = (drawn[k].double()[:, None] - learned[k].double()[None]).flatten(2).norm(dim=2).argmin(1)
        assert torch.equal(stored["nearest"][k].float(), (image_world.pictures[0][k][nearest] * 255).round())


def test_a_copy_of_a_training_image_is_found(image_world: ImageWorld, learned: Tensor) -> None:
    """A network that draws its training images has gap ratios of 0 and is beside them in the gallery."""
    nearest = generation._nearest(learned[0][[3, 5]], learned[0])
    near = {row["quantity"]: row["values"] for row in generation._near_rows({"member": 0}, "generated", nearest)}
    assert near["row"].tolist() == [3, 5]
    assert near["distance"].tolist() == near["gap_ratio"].tolist() == [0, 0]
