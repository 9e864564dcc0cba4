"""gahb-rates at smoke scale: its files, its numbers, that nothing is made twice, and that a stopped command goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from twinsplit.data.images.folder import load_images
from twinsplit.data.splits.disjoint import disjoint_splits
from twinsplit.data.synthetic import CAlphaImages, DiscImages, fresh
from twinsplit.diffusion.blind import Blind
from twinsplit.errors import InputError
from twinsplit.exact.discs import DiscPosterior, best_errors
from twinsplit.exact.fields import field_error
from twinsplit.execution.local import Inline
from twinsplit.measures.statistics import mean_over
from twinsplit.noise.reference import Noise
from twinsplit.papers.figure import Options, make
from twinsplit.papers.gahb import rates
from twinsplit.papers.gahb.rate_measures import BEST, ERRORS, FITTED, PICTURES, SCALES, Rates, _rows
from twinsplit.papers.gahb.rate_panels import REGIONS, Rated, decibels, slopes
from twinsplit.papers.gahb.stages import LEVELS
from twinsplit.pipeline import stages as pipeline
from twinsplit.runs.store import Run

PARTS = ("curves", "marks", "slopes", "best")
KINDS = (".png", ".pdf", ".html", *(f"-{part}.{kind}" for part in PARTS for kind in ("parquet", "json")), "-config.json")
SMOKE = SCALES["smoke"]
PAGE = Path(__file__).parents[3] / "docs" / "rates.md"
NAMES = ["alpha = 1", "alpha = 4", "discs"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    out = tmp_path_factory.mktemp("rates")
    files = make(rates.NAME, Options("smoke", out), Inline())
    assert files == [out / f"{rates.NAME}{kind}" for kind in KINDS]
    return out


@pytest.fixture(scope="module")
def runs(made: Path) -> dict[str, Run[Any]]:
    listed = json.loads((made / "gahb-rates-config.json").read_text())["runs"]
    found = [Run.open(made / name) for name in listed]
    by_kind = {str(run.read_json("data.json")["source"].get("alpha", "discs")): run for run in found}
    return dict(zip(NAMES, (by_kind["1.0"], by_kind["4.0"], by_kind["discs"]), strict=True))


def stamps(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def line(made: Path, panel: str, start: str) -> dict[str, np.ndarray]:
    rows = [r for r in pq.read_table(made / "gahb-rates-curves.parquet").to_pylist() if r["panel"] == panel and r["line"].startswith(start)]
    assert rows, (panel, start)
    return {key: np.array([np.nan if r[key] is None else r[key] for r in rows]) for key in ("x", "y", "low", "high")}


def test_every_file_is_there_and_the_same_command_touches_nothing(made: Path) -> None:
    before = stamps(made)
    assert all((made / f"{rates.NAME}{kind}").is_file() for kind in KINDS)
    make(rates.NAME, Options("smoke", made), Inline())
    assert stamps(made) == before


def test_networks_learn_from_the_first_images_and_are_judged_on_others(made: Path, runs: dict[str, Run[Any]]) -> None:
    for name, kind in SMOKE.kinds(0).items():
        folder = Path(runs[name].recipe.data.path)
        assert folder.parent == (made / "data").resolve()
        data = load_images(folder)
        assert len(data) == SMOKE.source(kind, 3).count >= 3 * 32 + 4
        assert np.array_equal(data.pixels[5], np.rint(255 * kind.images(torch.tensor([5]))[0]))
        assert runs[name].read_json("data.json")["rows"]["splits"] == np.arange(96).reshape(3, 32).tolist()


def test_the_same_normals_at_every_level_and_errors_of_what_is_drawn(runs: dict[str, Run[Any]]) -> None:
    """Input errors are sigma^2 times the same mean square of the normals; the mean of the best denoiser stands at the recomputed value."""
    table = [row for row in runs["discs"].table(ERRORS).to_pylist() if row["of"] == "input"]
    normals = Noise(0).child("rates").normal(0, fresh(16), (1, 8, 8), torch.float32)
    for row in table:
        expected = row["sigma"] ** 2 * normals.double().square().mean((1, 2, 3)).numpy()
        assert np.allclose(row["values"], expected, rtol=1e-3, atol=1e-9)
    assert len(table) == 3 * len(LEVELS)
    row = runs["discs"].table(BEST).to_pylist()[1]
    errors, effective = best_errors(DiscPosterior(DiscImages(8), 1_024), fresh(8), normals[:8, 0].double().numpy(), row["sigma"],
                                    Noise(0).child("rates").child("particles"))  # fmt: skip
    assert np.allclose(row["values"], errors, rtol=1e-5)
    assert row["effective"] == pytest.approx(effective.min())


def test_errors_are_those_of_the_denoiser_on_fresh_images() -> None:
    class Shrink(Blind):
        def residual(self, y: torch.Tensor) -> torch.Tensor:
            return 0.5 * y

    kind, noise = CAlphaImages(1.0, 8), Noise(0, "z")
    _, output = _rows(kind, 5, noise, ({"sigma": 0.2}, Shrink()))
    clean = torch.from_numpy(kind.images(fresh(5)))
    expected = (0.5 * (clean + 0.2 * noise.normal(0, fresh(5), (1, 8, 8))) - clean).square().mean((1, 2, 3))
    assert np.allclose(output["values"], expected, rtol=1e-5)


def test_lines_are_of_mean_errors_and_bands_over_networks(made: Path, runs: dict[str, Run[Any]]) -> None:
    for name in NAMES:
        rows = runs[name].table(ERRORS).to_pylist()
        networks = line(made, name, "networks, slope")
        for i, sigma in enumerate(sorted(LEVELS, reverse=True)):
            each = [-10 * np.log10(np.mean(r["values"])) for r in rows if r["sigma"] == sigma and r["of"] == "output"]
            expected = mean_over(each, "members")
            assert (networks["y"][i], networks["low"][i], networks["high"][i]) == pytest.approx((expected.value, *expected.interval()))
        assert np.allclose(np.diff(networks["x"]), -20 * np.diff(np.log10(sorted(LEVELS, reverse=True))), atol=0.01)


def test_slopes_are_fitted_and_told_with_their_interval(made: Path) -> None:
    table = pq.read_table(made / "gahb-rates-slopes.parquet").to_pylist()
    assert [row["class"] for row in table] == NAMES
    assert [row["theory"] for row in table] == [0.5, 0.8, 1.0]
    for row in table:
        networks = line(made, row["class"], "networks, slope")
        sigma = np.array(sorted(LEVELS, reverse=True))
        kept = (sigma >= 10 / 255) & (sigma <= 100 / 255)
        assert np.polyfit(networks["x"][kept], networks["y"][kept], 1)[0] == pytest.approx(row["slope"])  # linear in y: of the mean too
        mean = mean_over(row["networks"], "members")
        assert (row["slope"], row["low"], row["high"]) == pytest.approx((mean.value, *mean.interval()))
        theory = line(made, row["class"], "slope")
        assert np.allclose(np.diff(theory["y"]), row["theory"] * np.diff(theory["x"]))
        assert theory["y"].mean() == pytest.approx(networks["y"][kept].mean())
    drawn = line(made, "fitted slopes", "networks")
    assert drawn["x"].tolist() == [1.0, 4.0]
    assert np.allclose(drawn["y"], [row["slope"] for row in table[:2]])
    limit = line(made, "fitted slopes", "alpha /")
    assert np.allclose(limit["y"], limit["x"] / (limit["x"] + 1))


def test_the_best_denoiser_is_better_than_networks_and_near_its_law(made: Path) -> None:
    """Twenty-four steps of training are far from enough, whatever the noise; in low noise the best follows 5 sigma^2 / pixels."""
    table = pq.read_table(made / "gahb-rates-best.parquet").to_pylist()
    assert [row["sigma"] for row in table] == pytest.approx([LEVELS[0], LEVELS[7], LEVELS[14]])
    for row in table:
        assert row["error"] + 4 * row["standard_error"] < min(row["networks"])
        assert np.allclose(row["decibels_lost"], 10 * np.log10(np.array(row["networks"]) / row["error"]))
    assert abs(table[0]["error"] / (5 * LEVELS[0] ** 2 / 64) - 1) < 4 * (2 / 5 / 8) ** 0.5
    best, law = line(made, "discs", "best possible"), line(made, "discs", "5 sigma")
    assert np.allclose(best["y"], decibels(np.array([row["error"] for row in table])))
    assert (best["low"] < best["y"]).all()
    assert (best["y"] < best["high"]).all()
    assert np.allclose(law["y"] - law["x"], 10 * np.log10(64 / 5))


def test_smooth_regions_alone_are_denoised_better_than_networks_do(made: Path) -> None:
    for name in NAMES[:2]:
        alone, networks = line(made, name, "smooth regions"), line(made, name, "networks, slope")
        assert (alone["y"] > networks["y"]).all()
        assert (np.diff(alone["y"]) > 0).all()


def test_a_lost_figure_and_a_stopped_run_are_made_again_the_same(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a class stand; stopped before the second class is trained, the next command goes on and gives the same bytes."""
    shutil.copytree(made / "data", tmp_path / "data")
    trained: list[int] = []
    train = pipeline.train_stage

    def stopping(session: Any) -> None:
        trained.append(1)
        if len(trained) == 2:
            raise KeyboardInterrupt
        train(session)

    monkeypatch.setattr(pipeline, "train_stage", stopping)
    before = stamps(tmp_path / "data")
    with pytest.raises(KeyboardInterrupt):
        make(rates.NAME, Options("smoke", tmp_path), Inline())
    assert not (tmp_path / "gahb-rates-config.json").exists()
    monkeypatch.setattr(pipeline, "train_stage", train)
    make(rates.NAME, Options("smoke", tmp_path), Inline())
    assert stamps(tmp_path / "data") == before
    for part in PARTS:
        name = f"gahb-rates-{part}.json"
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_pictures_are_of_fresh_images(runs: dict[str, Run[Any]]) -> None:
    for name, kind in SMOKE.kinds(0).items():
        found = runs[name].tensors(PICTURES, runs[name].steps()[-1])
        assert np.allclose(found["clean"], kind.images(fresh(8)), atol=1e-6)
        assert found["denoised"].shape == (8, 1, 8, 8)
        assert not torch.equal(found["denoised"], found["noisy"])


@pytest.mark.parametrize("networks", [2, 3])
def test_discs_that_coincide_leave_enough(networks: int) -> None:
    """Two greys of one level make a constant image, and there are only 256 of these: the laptop run once ended for want of one disc."""
    setting = SCALES["laptop"]
    source = setting.source(DiscImages(setting.size, seed=0), networks)
    pixels = np.rint(source.kind.images(torch.arange(source.count)) * 255).astype(np.uint8)
    data = setting.base.data
    assert disjoint_splits(pixels, networks, data.split_size, data.held_out).rows.shape == (networks, data.split_size)


def test_slopes_and_decibels() -> None:
    x = np.array([0.0, 1.0, 5.0])
    assert np.allclose(slopes(x, np.stack([2 * x + 1, 3 - x], 1)), [2.0, -1.0])
    assert np.array_equal(decibels(np.array([0.1, -1.0, 0.0])), [10.0, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("scale", SCALES)
def test_settings_of_every_scale_hold_together(scale: str, tmp_path: Path) -> None:
    """Images enough for disjoint splits and held-out ones, sides that can be halved, fresh images for the exact denoiser and the plate."""
    setting: Rates = SCALES[scale]  # type: ignore[index]
    recipe = setting.recipe(1, setting.networks(None), tmp_path)
    needed = 3 * recipe.data.split_size + recipe.data.held_out
    assert setting.source(DiscImages(setting.size), 3).count > needed
    assert setting.size % (1 << recipe.network.blocks) == 0
    assert setting.best.images <= setting.fresh
    assert setting.fresh >= 8
    assert recipe.training.steps > 0
    assert list(setting.kinds(1))[-1] == "discs"
    with pytest.raises(InputError):
        setting.networks(1)
    with pytest.raises(InputError):
        make(rates.NAME, Options("enormous", tmp_path), Inline())


@pytest.mark.parametrize("size", [16, 32, 80])
def test_the_page_tells_the_slopes_of_the_smooth_regions_on_a_grid(size: int) -> None:
    """docs/rates.md, to the last digit it prints and one more for libraries' rounding."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith(("| 1 |", "| 2 |", "| 4 |"))]
    sigmas = np.array([sigma for sigma in LEVELS if FITTED[0] <= sigma <= FITTED[1]])
    column = {16: 2, 32: 3, 80: 4}[size]
    for row in rows:
        kind = CAlphaImages(float(row[0]), size)
        errors = np.array([field_error(kind, fresh(REGIONS), sigma) for sigma in sigmas])
        found = slopes(-20 * np.log10(sigmas), decibels(errors)[:, None])[0]
        assert float(row[1]) == pytest.approx(kind.slope, abs=5.1e-4)
        assert float(row[column]) == pytest.approx(found, abs=5.1e-4)
    assert len(rows) == 3


def test_a_read_class_has_a_line_per_network(runs: dict[str, Run[Any]]) -> None:
    rated = Rated.read("discs", DiscImages(8), runs["discs"])
    assert rated.y.shape == (15, 3)
    assert rated.on_grid is None
    assert rated.fitted.sum() == 7
