"""gtv1-3: agreement with the published densities, reproducible tables, figures that are stored whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from gtv_reference import small
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.noise.reference import Noise
from twinsplit.papers.figure import Options, make
from twinsplit.papers.gtv.figures import NAMES, gtv1_tables, gtv2_tables, gtv3_tables
from twinsplit.papers.gtv.sampling import coarser, densities, fitted, sampling_noise, starts
from twinsplit.papers.gtv.settings import LINE, Line

PUBLISHED = [(1e-2, 64), (1e-2, 1024), (1e-4, 256)]
OURS, THEIRS, SAMPLES = 300, 100, 2_000


def chance_of_distance(eps: float, P: int, published: torch.Tensor) -> float:
    """How often two averages over 100 of our models lie as far apart as one of ours and the published one.

    Densities are on 20 bins of 0.15, distances are total variation. Densities of single models have heavy tails, so the spread between
    averages is taken from 1,000 random splits of 300 models rather than from a normal law.
    """
    setting, noise = Line().setting(eps, P), Noise(0, "gtv2")
    each = densities(setting, fitted(setting, noise, OURS), noise, SAMPLES).reshape(OURS, 20, 10).mean(-1)
    target, rng, among, between = published.reshape(20, 10).mean(-1), np.random.default_rng(0), [], []
    for _ in range(1000):
        order = rng.permutation(OURS)
        one, two = each[order[:THEIRS]].mean(0), each[order[THEIRS : 2 * THEIRS]].mean(0)
        among.append(float((one - two).abs().sum()))
        between.append(float((one - target).abs().sum()))
    return float(np.mean(np.array(among) >= np.array(between)))


@pytest.mark.parametrize(("eps", "P"), PUBLISHED)
def test_gtv2_agrees_with_the_published_mean_density(eps: float, P: int) -> None:
    """Not rejected at 1%. The published sampler reads its denoiser from a grid of 200 positions, ours evaluates it: measured between the
    two on equal models, that moves the average by a total variation of 0.02 to 0.04, below what 100 models resolve."""
    assert chance_of_distance(eps, P, small(f"fig2_mean_density_eps{eps:g}_P{P}")) > 0.01


def test_the_agreement_test_can_fail() -> None:
    """The published density of another P is told apart by the same statistic."""
    assert chance_of_distance(1e-2, 1024, small("fig2_mean_density_eps0.01_P64")) < 0.01


def test_a_density_does_not_depend_on_the_company_of_models() -> None:
    setting, noise = LINE["smoke"].setting(1e-2, 64), Noise(0, "gtv2")
    weights = fitted(setting, noise, 5)
    torch.testing.assert_close(densities(setting, weights, noise, 300)[:2], densities(setting, weights[:2], noise, 300))
    assert torch.equal(starts(setting, noise, torch.tensor([3]), 10), starts(setting, noise, torch.arange(4), 10)[3:])


def test_densities_integrate_to_one_and_coarsening_keeps_that() -> None:
    tables = gtv3_tables("smoke")
    density = tables["density"].to_pandas()
    for _, panel in density.groupby(["features", "rotation"]):
        side = np.diff(np.unique(panel["x"])).mean()
        assert panel["average"].sum() * side**2 == pytest.approx(1)
        assert panel["few samples"].sum() * side**2 == pytest.approx(1)


def test_coarse_cells_average_fine_ones() -> None:
    setting = replace(LINE["smoke"].setting(1e-2, 64))
    fine = torch.arange(40, dtype=torch.float64)
    assert coarser(setting, fine, 10)[1] == fine[4:8].mean()


def test_sampling_noise_falls_with_models() -> None:
    setting = LINE["smoke"].setting(1e-2, 64)
    each = Noise(0, "n").uniform(0, torch.arange(400), (40,))
    assert sampling_noise(setting, each) < 0.5 * sampling_noise(setting, each[:40])


def test_the_same_seed_gives_the_same_tables() -> None:
    one, two = (gtv2_tables("smoke", seed=4) for _ in range(2))
    assert one["density"].equals(two["density"])
    assert not one["density"].equals(gtv2_tables("smoke", seed=5)["density"])


def test_gtv1_is_the_published_fraction_at_full_size() -> None:
    table = gtv1_tables("laptop")["fraction"].to_pandas()
    polygon = table[(table["set"] == "polygon") & (table["t"] == 0.2)]["fraction"].to_numpy().reshape(100, 100)
    np.testing.assert_allclose(polygon[::9, ::9], small("polygon_fraction")[..., 2].numpy(), rtol=6.1e-8, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_stored_with_their_data_and_configuration(name: str, tmp_path: Path) -> None:
    written = make(name, Options("smoke", tmp_path), Inline())
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in written}
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads((tmp_path / f"{name}-config.json").read_text())["scale"] == "smoke"
    for path in tmp_path.glob("*.parquet"):
        assert json.loads(path.with_suffix(".json").read_text()) == pq.read_table(path).to_pydict()


def test_unknown_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no figure"):
        make("gtv9", Options("smoke", tmp_path / "out"), Inline())
    with pytest.raises(InputError, match="no scale"):
        make("gtv1", Options("huge", tmp_path / "out"), Inline())
    assert not (tmp_path / "out").exists()


def test_a_figure_that_stands_is_not_made_again(tmp_path: Path) -> None:
    first = make("gtv1", Options("smoke", tmp_path), Inline())
    times = {path: path.stat().st_mtime_ns for path in first}
    assert set(make("gtv1", Options("smoke", tmp_path), Inline())) == set(first)
    assert times == {path: path.stat().st_mtime_ns for path in first}
    make("gtv1", Options("smoke", tmp_path, seed=1), Inline())
    assert times != {path: path.stat().st_mtime_ns for path in first}
