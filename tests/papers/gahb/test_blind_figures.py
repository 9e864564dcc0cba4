"""The two-denoiser figures at smoke scale: nested rungs, measures repeated by hand, and figures that stand."""

import shutil
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.jacobian import jacobian
from twinsplit.measures.psnr import psnr
from twinsplit.measures.similarity import correlation
from twinsplit.networks.blind_denoiser import BlindDenoiser
from twinsplit.papers.figure import FIGURES, Options, make
from twinsplit.papers.gahb import panels, stages
from twinsplit.papers.gahb.figures import NAMES
from twinsplit.papers.gahb.ladder import LADDERS
from twinsplit.pipeline import stages as pipeline
from twinsplit.report.pictures import Samples
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld

RECIPES = LADDERS["smoke"].recipes(0)


@pytest.fixture(scope="module")
def out(ladder_out: Path) -> Path:
    return ladder_out


@pytest.fixture(scope="module")
def rungs(ladder_rungs: list[Run[Any]]) -> list[Run[Any]]:
    return ladder_rungs


@pytest.fixture(scope="module")
def world(ladder_world: ImageWorld) -> ImageWorld:
    return ladder_world


def member(run: Run[Any], world: ImageWorld, k: int) -> BlindDenoiser:
    found = world.load(run, run.steps()[-1]).member(k)
    assert isinstance(found, BlindDenoiser)
    return found


def rows(run: Run[Any], name: str, **where: object) -> list[dict[str, Any]]:
    return [row for row in run.table(name).to_pylist() if all(row[key] == value for key, value in where.items())]


def test_rungs_are_nested_and_judged_on_one_held_out_set() -> None:
    small, large = (ImageWorld.of(recipe) for recipe in RECIPES.values())
    assert np.array_equal(small.splits.rows, large.splits.rows[:, : small.splits.rows.shape[1]])
    assert np.array_equal(small.splits.held_out, large.splits.held_out)
    assert not set(large.splits.held_out) & set(large.splits.rows.flatten())


def test_rungs_differ_in_the_split_size_alone() -> None:
    small, large = (recipe.to_json() for recipe in RECIPES.values())
    assert small["data"].pop("split_size") < large["data"].pop("split_size")
    assert small == large


def test_psnr_is_that_of_the_network_on_these_images(rungs: list[Run[Any]], world: ImageWorld) -> None:
    run, sigma = rungs[1], stages.LEVELS[7]
    clean, ids = world.pictures[1], torch.from_numpy(world.splits.held_out)
    noisy = clean + sigma * world.root.child("psnr").normal(0, ids, (1, 8, 8), torch.float32)
    y = member(run, world, 2).mean(noisy)
    found = rows(run, "psnr", member=2, sigma=sigma, data="test")
    assert {row["of"]: row["values"] for row in found} == {
        "input": pytest.approx(psnr(clean, noisy).tolist(), rel=1e-5),
        "output": pytest.approx(psnr(clean, y.detach()).tolist(), rel=1e-4),
    }


def test_every_network_has_every_level_on_both_kinds_of_images(rungs: list[Run[Any]]) -> None:
    for run in rungs:
        found = {(row["member"], row["sigma"], row["data"], row["of"]) for row in run.table("psnr").to_pylist()}
        assert len(found) == run.table("psnr").num_rows == 3 * len(stages.LEVELS) * 2 * 2
        assert {len(row["values"]) for row in rows(run, "psnr", data="train")} == {min(8, run.recipe.data.split_size)}


def test_factors_are_eigenvalues_of_the_symmetric_part(rungs: list[Run[Any]], world: ImageWorld) -> None:
    run = rungs[1]
    stored = run.tensors("bases", run.steps()[-1])
    denoiser = member(run, world, 1)
    matrix = jacobian(denoiser.mean, stored["noisy"][2])
    expected = torch.linalg.eigvalsh((matrix + matrix.T) / 2).flip(0)
    found = rows(run, "jacobian_spectrum", member=1, image=2)[0]
    np.testing.assert_allclose(found["values"], expected, atol=1e-4)
    assert stored["directions"].shape == (3, stages.SHOWN, 1, 8, 8)
    odd = ((matrix - matrix.T) / 2).norm() / matrix.norm()
    assert found["asymmetry"] == pytest.approx(float(odd), rel=1e-3)
    shares = [np.mean([row["asymmetry"] for row in one.table("jacobian_spectrum").to_pylist()]) for one in rungs]
    assert panels.asymmetry_caption(rungs).endswith(f"{shares[0]:.2f} at N = 4, {shares[1]:.2f} at N = 16.")


def test_large_images_have_their_leading_factors_by_lanczos(
    rungs: list[Run[Any]], world: ImageWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same stage, told that 64 pixels are many, finds the first of the factors that the whole matrix has."""
    run, step = Run.open(shutil.copytree(rungs[1].path, tmp_path / "run")), rungs[1].steps()[-1]
    shutil.rmtree(run.path / "measurements" / "jacobian_spectrum.parquet")
    monkeypatch.setattr(stages, "LARGEST_EXACT", 63)
    monkeypatch.setattr(stages, "LEADING", 16)  # for which 4 x 16 products show all there is
    list(stages.measure_bases(run, world, step, Inline()))
    for exact, found in zip(rows(rungs[1], "jacobian_spectrum"), rows(run, "jacobian_spectrum"), strict=True):
        assert exact["bound"] == 0
        np.testing.assert_allclose(found["values"], exact["values"][:16], atol=1e-3)
        assert found["asymmetry"] == pytest.approx(exact["asymmetry"], abs=0.02)
        assert (exact["member"], exact["image"]) == (found["member"], found["image"])
    assert "The 16 largest by Lanczos, each within" in panels.asymmetry_caption([run])
    assert "Lanczos" not in panels.asymmetry_caption(rungs)
    old, new = (one.tensors("bases", step)["directions"][:, 0].flatten(1) for one in (rungs[1], run))
    assert float((old * new).sum(1).abs().min()) > 0.99


def test_what_twins_draw_is_correlated_sample_by_sample(rungs: list[Run[Any]]) -> None:
    run = rungs[1]
    images = torch.from_numpy(Samples.read(run, run.steps()[-1]).images).double()
    expected = np.mean([float(correlation(images[a], images[b]).mean()) for b in range(3) for a in range(b)])
    (value, low, high), (null, null_low, null_high) = panels.alike(run, run.steps()[-1])
    assert value == pytest.approx(expected, rel=1e-9)
    assert low < value < high
    assert null_low <= null <= null_high
    others = [correlation(images[a, i][None], images[b, j][None]) for b in range(3) for a in range(b) for i, j in permutations(range(5), 2)]
    assert null == pytest.approx(float(torch.stack(others).mean()), rel=1e-9)


def test_no_shuffled_pair_is_of_one_noise(rungs: list[Run[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that are alike where their noise is, and have nothing in common elsewhere."""
    run = rungs[0]
    apart = torch.eye(5).reshape(5, 1, 5, 1).expand(3, 5, 1, 5, 1).mul(255).byte().numpy()
    monkeypatch.setattr(panels.Samples, "read", lambda run, step: Samples(apart, apart))
    (value, _, _), null = panels.alike(run, run.steps()[-1])
    assert value == pytest.approx(1.0)
    assert null == pytest.approx((-0.25, -0.25, -0.25))
    monkeypatch.setattr(panels.Samples, "read", lambda run, step: Samples(apart[:, :1], apart[:, :1]))
    assert np.isnan(panels.alike(run, run.steps()[-1])[1]).all()  # one sample has no other


def test_reranked_rows_are_of_the_samples(rungs: list[Run[Any]]) -> None:
    run = rungs[0]
    found = rows(run, "reranked_ssim", member=0)
    assert {row["quantity"]: len(row["values"]) for row in found} == {"changed": 5, "agreement": 5}
    assert {(row["distance"], row["count"], row["constant_images"]) for row in found} == {("SSIM", 4, 0)}
    assert all(-1 <= value <= 1 for row in found for value in row["values"])


def test_the_same_image_is_given_to_both_denoisers(rungs: list[Run[Any]], world: ImageWorld) -> None:
    run = rungs[1]
    found = run.tensors("same_image", run.steps()[-1])
    for key, k in (("seen", 0), ("unseen", 1)):
        assert torch.allclose(found[key], member(run, world, k)(found["noisy"], 0).mean, atol=1e-5)
    assert torch.equal(found["clean"], world.pictures[0][0][:8])


def test_figures_stand_and_nothing_is_made_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "begin", None)
    for name in NAMES:
        made = make(name, Options("smoke", out), Inline())
        assert {path.suffix for path in made} == {".png", ".pdf", ".html", ".parquet", ".json"}
        assert "<img src=" in (out / f"{name}.html").read_text() or name == "rp-lpips"


def test_the_published_ladder_needs_its_data_and_has_its_sizes() -> None:
    with pytest.raises(InputError, match="needs CelebA"):
        FIGURES["gahb-psnr"].recipes(Options("paper"))
    ladder = LADDERS["paper"]
    assert ladder.sizes == (10, 100, 1_000, 10_000, 97_500)  # of 98,117, less half of the images held out
    assert 2 * ladder.sizes[-1] + ladder.base.data.held_out <= 196_235
    assert ladder.base.training.epoch_samples == 100_000
    assert ladder.base.training.steps == 1_000 * 196
    with pytest.raises(InputError, match="no twins"):
        FIGURES["gahb-psnr"].recipes(Options("smoke", seeds=1))
