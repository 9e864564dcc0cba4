"""Closest images and their second order: by hand, by distance and weights, without images of one colour, and what the captions count."""

import json
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from twinsplit.cli.figures import TrainingOptions, figure
from twinsplit.cli.options import Compute
from twinsplit.diffusion.blind import Blind
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.bounded import fraction_interval
from twinsplit.measures.perceptual import spearman, ssim_distance
from twinsplit.measures.similarity import correlation
from twinsplit.papers.gahb.ladder import LADDERS
from twinsplit.papers.rp import nearest, nearest_panels
from twinsplit.papers.rp.nearest import Eye, Near, measure_closest, measure_reranked
from twinsplit.papers.rp.nearest_panels import Counts
from twinsplit.report.pictures import Samples
from twinsplit.runs.files import fingerprint
from twinsplit.runs.store import Run
from twinsplit.worlds.images.generation import drawing_of
from twinsplit.worlds.images.world import ImageWorld

SMOKE, ALONE = TrainingOptions("smoke"), Compute(workers=1)
RECIPES = LADDERS["smoke"].recipes(0)


@pytest.fixture
def run(ladder_rungs: list[Run[Any]], tmp_path: Path) -> Run[Any]:
    """A copy of the longer rung, to change."""
    return Run.open(shutil.copytree(ladder_rungs[1].path, tmp_path / "run"))


@pytest.fixture
def step(ladder_rungs: list[Run[Any]]) -> int:
    return ladder_rungs[1].steps()[-1]


def rows(run: Run[Any], name: str, **where: object) -> list[dict[str, Any]]:
    return [row for row in run.table(name).to_pylist() if all(row[key] == value for key, value in where.items())]


def forget(run: Run[Any], *names: str) -> None:
    for name in names:
        shutil.rmtree(run.path / "measurements" / f"{name}.parquet")


def test_the_closest_image_correlates_best(ladder_rungs: list[Run[Any]], ladder_world: ImageWorld, step: int) -> None:
    run = ladder_rungs[1]
    samples = torch.from_numpy(Samples.read(run, step).images).double() / 255
    pictures = run.tensors("closest", step)["images"]
    for k in range(3):
        training = ladder_world.pictures[0][k].double()
        every = torch.stack([correlation(sample.expand_as(training), training) for sample in samples[k]])
        np.testing.assert_allclose(rows(run, "closest", member=k)[0]["values"], every.amax(1), atol=1e-6)
        assert torch.equal(pictures[k], (training[every.argmax(1)] * 255).round().byte())


def test_the_second_order_by_hand(ladder_rungs: list[Run[Any]], ladder_world: ImageWorld, step: int) -> None:
    run, k = ladder_rungs[1], 2
    samples, training = torch.from_numpy(Samples.read(run, step).images[k]).float() / 255, ladder_world.pictures[0][k]
    changed, agreement = (rows(run, "reranked_ssim", member=k, quantity=name)[0]["values"] for name in ("changed", "agreement"))
    for i, sample in enumerate(samples):
        near = correlation(sample.expand_as(training), training).sort(descending=True)
        other = ssim_distance(sample.expand(10, 1, 8, 8), training[near.indices[:10]])
        assert changed[i] == float(other.argmin() != 0)
        assert agreement[i] == pytest.approx(spearman(-near.values[:10].numpy(), other.numpy()), abs=1e-6)


def test_the_panels_are_of_these_rows(ladder_rungs: list[Run[Any]]) -> None:
    changed, agreement = nearest_panels.reranked(ladder_rungs, nearest.SSIM)
    line, chance = changed.lines
    for i, run in enumerate(ladder_rungs):
        counts = [sum(row["values"]) for row in rows(run, "reranked_ssim", quantity="changed")]
        assert line.y[i] == pytest.approx(sum(counts) / 15)
        assert (line.low[i], line.high[i]) == pytest.approx(fraction_interval(counts, [5, 5, 5]))
        means = [np.mean(row["values"]) for row in rows(run, "reranked_ssim", quantity="agreement")]
        assert agreement.lines[0].y[i] == pytest.approx(np.mean(means))
    assert chance.y == pytest.approx([3 / 4, 9 / 10])  # four images at N = 4, ten at N = 16
    for one in (line, agreement.lines[0]):
        assert ((one.low >= -1) & (one.low < one.y) & (one.y < one.high) & (one.high <= 1)).all()


def test_another_distance_or_other_weights_are_another_measurement(run: Run[Any], ladder_world: ImageWorld, step: int) -> None:
    """Where the results of SSIM stand."""
    eyes = [Eye("LPIPS", fingerprint(name), lambda a, b, sign=sign: sign * ssim_distance(a, b)) for name, sign in ((b"1", 1), (b"2", -1))]
    for eye in eyes:
        assert [found.names for found in measure_reranked(eye, run, ladder_world, step, Inline())] == [(eye.table,)]
        assert list(measure_reranked(eye, run, ladder_world, step, Inline())) == []
    kept, other, reverse = (
        [row["values"] for row in rows(run, name, quantity="agreement")] for name in ("reranked_ssim", eyes[0].table, eyes[1].table)
    )
    assert kept == other
    np.testing.assert_allclose(reverse, -np.array(kept), atol=1e-6)
    assert {row["weights_sha256"] for row in rows(run, eyes[0].table)} == {fingerprint(b"1")}


class Weighed(torch.nn.Module):
    """A network of one weight, under a name that the package has, which makes distances of pixels."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.lin0 = torch.nn.Parameter(torch.ones(1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.lin0 * (a - b).square().mean((1, 2, 3), keepdim=True)


def test_other_weights_at_the_same_path_make_another_figure(ladder_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Weighed))
    out, weights = shutil.copytree(ladder_out, tmp_path / "out"), tmp_path / "vgg.safetensors"
    configurations = []
    for weight in (1.0, -1.0):
        save_file({"lin0": torch.tensor([weight])}, weights)
        figure("rp-lpips", out=out, lpips_weights=weights, training=SMOKE, compute=ALONE)
        configurations.append(json.loads((out / "rp-lpips-config.json").read_text()))
    assert [one["distance"] for one in configurations] == ["LPIPS", "LPIPS"]
    assert configurations[1]["weights_sha256"] == fingerprint(weights.read_bytes()) != configurations[0]["weights_sha256"]
    page = (out / "rp-lpips.html").read_text()
    assert "ordered again by LPIPS (images enlarged 2 times, to the 16 pixels that VGG needs)" in page
    assert "nearest image changes under LPIPS" in page
    figure("rp-lpips", out=out, training=SMOKE, compute=ALONE)
    assert json.loads((out / "rp-lpips-config.json").read_text())["distance"] == "SSIM"


@pytest.mark.parametrize("name", ["gahb-twins", "gahb-psnr", "gahb-bases", "gahb-onset"])
def test_weights_are_for_the_second_order_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no --lpips-weights; leave it out: it is for rp-lpips$"):
        figure(name, out=tmp_path / "out", lpips_weights=tmp_path / "vgg.safetensors", training=SMOKE, compute=ALONE)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_there_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read --lpips-weights .*nothing\.safetensors: No such file"):
        figure("rp-lpips", out=tmp_path / "out", lpips_weights=tmp_path / "nothing.safetensors", training=SMOKE, compute=ALONE)
    assert not (tmp_path / "out").exists()


def test_images_of_one_colour_are_left_out_on_both_sides() -> None:
    generator = torch.Generator().manual_seed(0)
    samples, training = torch.rand(4, 1, 8, 8, generator=generator), torch.rand(6, 1, 8, 8, generator=generator)
    samples[1], training[[0, 3]] = 0.3, torch.tensor([0.0, 1.0])[:, None, None, None]
    near = Near.of(samples, training, 10)
    assert near.varied.tolist() == [True, False, True, True]
    assert near.rows.shape == (3, 4)
    assert near.left_out == 2
    assert sorted(near.rows[0].tolist()) == [1, 2, 4, 5]
    expected = correlation(samples[[0, 2, 3]], training[near.rows[:, 0]])
    torch.testing.assert_close(near.correlations[:, 0], expected)
    assert np.isnan(near.whole(near.correlations[:, 0])).tolist() == [False, True, False, False]
    none = Near.of(samples, torch.zeros(3, 1, 8, 8), 10)
    assert (none.varied.any().item(), none.rows.shape, none.left_out) == (False, (0, 0), 3)


def test_a_figure_goes_on_without_them_and_counts_them(run: Run[Any], step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network 0 has drawn a constant image, network 1 nothing else, and network 2 has learned from nothing else."""
    world = ImageWorld.of(RECIPES[16])
    training = world.pictures[0]
    training[0][3], training[2][:] = 0.5, 0.25
    stored = run.tensors("samples", step)
    stored["images"][0, 2], stored["images"][1] = 7, 200
    stored["finished"] = torch.ones(3, 5, dtype=torch.bool)
    stored["finished"][0, :3] = False
    run.write_tensors("samples", step, stored)
    forget(run, "closest", "reranked_ssim")
    list(measure_closest(run, world, step, Inline()))
    list(measure_reranked(nearest.SSIM, run, world, step, Inline()))
    assert [np.isnan(row["values"]).sum() for row in rows(run, "closest")] == [1, 5, 5]
    assert [row["count"] for row in rows(run, "reranked_ssim", quantity="changed")] == [10, 10, 0]
    pictures = run.tensors("closest", step)["images"]
    assert pictures[0].flatten(1).eq(nearest.BLANK).all(1).tolist() == [False, False, True, False, False]
    counts = Counts.of(run, (step,))
    assert counts == Counts(16, 15, 3, 6 + 5, 1 + 16)
    assert nearest_panels.caption([counts]) == (
        "Samples whose ascent did not end, kept as they were: 3 of 15 at N = 16. "
        "Of one colour, and without a closest image: 11 samples and 17 training images at N = 16."
    )
    line = nearest_panels.reranked([run], nearest.SSIM)[0].lines[0]
    assert line.y[0] == pytest.approx(np.nanmean(rows(run, "reranked_ssim", quantity="changed", member=0)[0]["values"]))
    assert np.isnan(line.low[0])  # one network is no interval


def test_samples_of_before_say_that_nothing_is_recorded(run: Run[Any], step: int) -> None:
    stored = run.tensors("samples", step)
    assert stored.pop("finished").shape == (3, 5)
    run.write_tensors("samples", step, stored)
    assert Samples.read(run, step).unfinished is None
    counts = Counts.of(run, (step,))
    assert counts.unfinished is None
    assert nearest_panels.caption([counts]) == "Samples whose ascent did not end, kept as they were: not recorded."
    mixed = nearest_panels.caption([counts, replace(counts, N=64, unfinished=2)])
    assert mixed.endswith("kept as they were: not recorded at N = 16, 2 of 15 at N = 64.")
    assert nearest_panels.counts_table([counts])["unfinished"].to_pylist() == [None]


def test_what_did_not_end_is_what_the_ascent_flags(ladder_rungs: list[Run[Any]], step: int) -> None:
    run = ladder_rungs[1]
    world = ImageWorld.of(RECIPES[16])
    drawn = drawing_of(world)(world.load(run, step).member(1))
    assert Samples.read(run, step).finished is not None
    assert run.tensors("samples", step)["finished"][1].tolist() == drawn.finished.tolist()
    hurried = replace(world, recipe=replace(world.recipe, measuring=replace(world.recipe.measuring, sampling_steps=2)))
    assert drawing_of(hurried)(Half()).finished.tolist() == [False] * 5


class Half(Blind):
    """A denoiser that takes half of everything for noise: in two steps no ascent ends."""

    def residual(self, y: Tensor) -> Tensor:
        return y / 2
