"""Images are split by content, every split has its own normalisation, and filters change what is learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twinsplit.data.filters import pca
from twinsplit.data.images.builtin import digits_and_labels
from twinsplit.data.images.folder import store_images
from twinsplit.data.normalisation import Normalisation
from twinsplit.data.splits.disjoint import Splits, content_ids
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.networks.parametrisation import NoisePrediction
from twinsplit.noise.reference import Noise
from twinsplit.recipes import DIGITS_SMOKE, ImageRecipe, Images, recipe_from
from twinsplit.worlds.images.pictured import image_splits
from twinsplit.worlds.images.world import ImageWorld

SMALL = Images(splits=3, split_size=5, held_out=6)


def pictures(total: int, seed: int = 0) -> np.ndarray:
    """(total, 1, 8, 8) uint8, all different."""
    drawn = np.random.default_rng(seed).integers(0, 17, (total, 1, 8, 8)).astype(np.uint8)
    assert len(np.unique(content_ids(drawn))) == total
    return drawn


def with_data(**changes: object) -> ImageRecipe:
    return replace(DIGITS_SMOKE, data=replace(DIGITS_SMOKE.data, **changes))  # type: ignore[arg-type]


def folder_of(path: Path, pixels: np.ndarray) -> Path:
    """A data folder with these pixels."""
    files = pd.DataFrame({"name": [f"{i}.png" for i in range(len(pixels))], "bytes": 1, "sha256": "0"})
    store_images(path, [pixels], pixels.shape, (files, None), {"source": {"kind": "test"}, "white": 255})
    return path


def test_without_duplicates_the_layout_is_the_published_one() -> None:
    found = image_splits(pictures(40), SMALL, Noise(0))
    assert found.rows.tolist() == np.arange(15).reshape(3, 5).tolist()
    assert found.held_out.tolist() == list(range(34, 40))


def test_planted_duplicates_never_cross_a_border() -> None:
    """Row 7 repeats row 2 of split 0, 8 and 9 are one image, 39 repeats row 12: each stays on one side or is passed over."""
    pixels = pictures(40)
    pixels[7], pixels[9], pixels[39] = pixels[2], pixels[8], pixels[12]
    found = image_splits(pixels, SMALL, Noise(0)).check(pixels)
    assert found.rows.tolist() == [[0, 1, 2, 3, 4], [5, 6, 8, 9, 10], [11, 12, 13, 14, 15]]
    assert found.held_out.tolist() == list(range(33, 39))


@given(st.lists(st.integers(0, 30), min_size=30, max_size=60), st.sampled_from(["listed", "shuffled"]), st.integers(0, 5))
def test_splits_are_disjoint_by_content_and_the_held_out_are_the_last_that_are_free(kinds: list[int], order: str, seed: int) -> None:
    pixels = np.array(kinds, np.uint8)[:, None, None, None]
    data = replace(SMALL, order=order)  # type: ignore[arg-type]
    try:
        found = image_splits(pixels, data, Noise(seed))
    except InputError as error:
        assert "images are left" in str(error) or "samples, " in str(error)  # noqa: PT017
        return
    found.check(pixels)
    sequence = list(range(len(kinds)))
    if order == "shuffled":
        sequence = Noise(seed).child("images").permutation(0, len(kinds)).tolist()
    learned = {kinds[row] for row in found.rows.ravel()}
    free = [row for row in sequence if kinds[row] not in learned]
    assert found.held_out.tolist() == free[-6:]


def test_the_order_is_shuffled_by_the_seed() -> None:
    pixels, data = pictures(40), replace(SMALL, order="shuffled")

    def of(seed: int) -> Splits:
        return image_splits(pixels, data, Noise(seed))

    assert of(3).rows.tolist() == of(3).rows.tolist()
    assert of(3).rows.tolist() != of(4).rows.tolist()
    order = Noise(3).child("images").permutation(0, 40).numpy()
    assert of(3).rows.ravel().tolist() == order[:15].tolist()
    assert of(3).held_out.tolist() == order[-6:].tolist()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"held_out": 26}, r"data.held_out = 26, 25 of 40 images are left; use smaller or fewer splits"),
        ({"split_size": 14}, r"a split needs 14 samples, 12 of 40 are left; use smaller or fewer splits"),
    ],
)
def test_too_few_images_are_refused_in_one_line(changes: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        image_splits(pictures(40), replace(SMALL, **changes), Noise(0))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["channel", "image", "none"])
def test_each_split_is_normalised_by_its_own_images(kind: str) -> None:
    world = ImageWorld.of(with_data(normalisation=kind, scale=0.5))
    pixels = digits_and_labels()[0] / np.float32(16)
    axes = {"channel": (0, 2, 3), "image": (0,), "none": ()}[kind]
    for split, (rows, own) in enumerate(zip(world.splits.rows, world.normalisations, strict=True)):
        mean = pixels[rows].astype(float).mean(axes, keepdims=True)[0] if axes else np.zeros((1, 1, 1))
        np.testing.assert_allclose(own.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(world.split_samples()[split], (pixels[rows] - mean) / 0.5, atol=1e-6)
    if kind != "none":
        assert not torch.equal(world.normalisations[0].mean, world.normalisations[1].mean)


def test_what_is_written_about_the_data_is_enough_to_normalise_again(image_world: ImageWorld) -> None:
    caption = image_world.describe()
    assert caption["rows"]["held_out"] == image_world.splits.held_out.tolist()
    again = [Normalisation.from_json(own) for own in caption["normalisations"]]
    for own, other in zip(image_world.normalisations, again, strict=True):
        assert torch.equal(own.mean, other.mean)
        assert own.scale == other.scale


def test_the_target_is_the_noise() -> None:
    kind, x, eps = NoisePrediction(Schedule.diffusion_lm(30)), torch.randn(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4)
    signal, sigma = torch.rand(2, 3), torch.rand(2, 3)
    x_t = kind.noised(x, eps, signal, sigma)
    torch.testing.assert_close(x_t[1, 2], signal[1, 2] * x[1, 2] + sigma[1, 2] * eps[1, 2])
    assert kind.target(x, eps, sigma) is eps
    assert kind.state((1, 4, 4)) == (1, 4, 4)


def test_haar_without_details_leaves_one_level_a_picture(image_world: ImageWorld) -> None:
    """8 x 8 pixels and three scales: what remains is the mean of all pixels."""
    coarse = ImageWorld.of(with_data(filter="haar", gains=(0.0, 0.0, 0.0)))
    for filtered, whole in zip((*coarse.pictures[0], coarse.pictures[1]), (*image_world.pictures[0], image_world.pictures[1]), strict=True):
        np.testing.assert_allclose(filtered, whole.mean((2, 3), keepdim=True).expand_as(whole), atol=1e-6)
    assert float((coarse.split_samples() - image_world.split_samples()).abs().max()) > 0.1


def test_principal_components_are_those_of_all_training_images(image_world: ImageWorld) -> None:
    coarse = ImageWorld.of(with_data(filter="pca", components=4))
    assert coarse.splits.rows.tolist() == image_world.splits.rows.tolist()
    whole = torch.cat(image_world.pictures[0]).double().flatten(1)
    basis = torch.linalg.svd(whole - whole.mean(0), full_matrices=False)[2][:4]
    held_out = image_world.pictures[1].double().flatten(1)
    expected = (held_out - whole.mean(0)) @ basis.T @ basis + whole.mean(0)
    np.testing.assert_allclose(coarse.pictures[1].flatten(1), expected, atol=1e-6)
    learned = torch.cat(coarse.pictures[0]).double().flatten(1)
    assert int(torch.linalg.matrix_rank(learned - learned.mean(0), atol=1e-4)) == 4
    own = coarse.pictures[0][1].mean()  # the normalisation is of the images that are learned
    assert float(coarse.normalisations[1].mean) == pytest.approx(float(own), abs=1e-6)


def test_components_are_fitted_once_for_all_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    whole = torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda values, **options: fitted.append(len(values)) or whole(values, **options))
    world = ImageWorld.of(with_data(filter="pca", components=4))
    training, held_out = world.pictures
    assert fitted == [3 * 16]
    monkeypatch.undo()
    full = ImageWorld.of(with_data()).pictures
    every = torch.cat(full[0])
    for found, images in zip((*training, held_out), (*full[0], full[1]), strict=True):
        assert torch.equal(found, pca(images, 4, every))


def test_splits_of_one_image_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(InputError, match=r"data.split_size = 1; give 2 or more"):
        with_data(split_size=1)


def test_a_folder_is_learned_from_as_it_is_listed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8)).astype(np.uint8)
    recipe = with_data(path=str(folder_of(tmp_path / "data", pixels)), splits=2, split_size=8, held_out=5, order="listed")
    world = ImageWorld.of(recipe)
    assert (world.network.image_channels, world.network.size) == (3, 8)
    np.testing.assert_allclose(world.pictures[0][1], pixels[8:16] / np.float32(255))
    np.testing.assert_allclose(world.pictures[1], pixels[25:] / np.float32(255))
    assert world.describe()["source"] == {"kind": "test"}


@pytest.mark.parametrize(
    ("shape", "changes", "says"),
    [
        ((30, 1, 8, 6), {}, "images of 8 x 6 pixels; prepare square ones"),
        ((30, 1, 9, 9), {}, "9 pixels a side cannot be halved 1 times"),
        ((30, 1, 4, 4), {"filter": "haar"}, "use 8 pixels or more a side"),
        ((30, 1, 8, 8), {"filter": "pca", "components": 65}, "choose from 1 to"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path: Path, shape: tuple[int, ...], changes: dict[str, object], says: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    recipe = with_data(path=str(folder_of(tmp_path / "data", pixels)), splits=2, split_size=8, held_out=5, **changes)
    with pytest.raises(InputError, match=says):
        ImageWorld.of(recipe).split_samples()


def test_a_recipe_of_images_reads_back_as_one() -> None:
    assert recipe_from({"world": "images", "base": "paper", "data": {"split_size": 7}}, "here") == ImageRecipe(data=Images(split_size=7))
