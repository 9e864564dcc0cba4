"""gahb-onset at smoke scale: the numbers of its panels repeated by hand, what is not reached, and that nothing is made twice."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.measures.similarity import correlation
from twinsplit.onset.turning import Turn
from twinsplit.papers.catalogue import FIGURES, Options, make
from twinsplit.papers.figure import run_name
from twinsplit.papers.gahb import together
from twinsplit.papers.gahb.ladder import LADDERS
from twinsplit.papers.gahb.together import Moments, Rung
from twinsplit.papers.lines import epoch_label
from twinsplit.pipeline.curves import curves_of
from twinsplit.report.pictures import Samples
from twinsplit.runs.store import Run

RECIPES = LADDERS["smoke"].recipes(0)
NOT_REACHED = Turn(None, (5.0, None), False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    folder = tmp_path_factory.mktemp("together")
    make("gahb-onset", Options("smoke", folder), Inline())
    return folder


@pytest.fixture(scope="module")
def rungs(out: Path) -> list[Rung]:
    return [Rung.of(Run.open(out / "runs" / run_name(recipe))) for recipe in RECIPES.values()]


def stamps(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def points(out: Path, panel: str, line: str) -> list[dict[str, Any]]:
    rows = pq.read_table(out / "gahb-onset-curves.parquet").to_pylist()
    return [row for row in rows if row["panel"] == panel and row["line"] == line]


def test_it_stands_on_the_ladder_of_the_other_figures_and_is_made_once(out: Path) -> None:
    options = Options("smoke", seed=3, seeds=4)
    assert FIGURES["gahb-onset"].recipes(options) == FIGURES["gahb-psnr"].recipes(options)
    before = stamps(out)
    assert all(path.is_file() for path in make("gahb-onset", Options("smoke", out), Inline()))
    assert stamps(out) == before


def test_its_figure_is_made_again_from_what_is_stored(out: Path) -> None:
    kept = (out / "gahb-onset.png").read_bytes()
    runs = {path: stamp for path, stamp in stamps(out / "runs").items() if path.suffix in (".safetensors", ".parquet")}
    (out / "gahb-onset.png").unlink()
    make("gahb-onset", Options("smoke", out), Inline())
    assert (out / "gahb-onset.png").read_bytes() == kept
    assert {path: stamps(out / "runs")[path] for path in runs} == runs


def test_samples_are_drawn_where_the_decision_says(rungs: list[Rung]) -> None:
    for rung in rungs:
        steps = rung.run.steps()
        assert rung.moments.end == steps[-1]
        assert set(rung.moments.steps) <= set(rung.run.measured("sample_similarity"))
        if rung.onset.onset.step is not None:
            assert rung.moments.onset == min(steps, key=lambda s: abs(np.log(s / rung.onset.onset.step)))


def test_convergence_is_the_correlation_of_samples_at_the_end(out: Path, rungs: list[Rung]) -> None:
    found = points(out, "what twins draw from the same noise", "at the end")
    for point, rung in zip(found, rungs, strict=True):
        images = torch.from_numpy(Samples.read(rung.run, rung.run.steps()[-1]).images).double()
        expected = np.mean([float(correlation(images[a], images[b]).mean()) for a, b in combinations(range(3), 2)])
        assert point["x"] == rung.run.recipe.data.split_size
        assert point["y"] == pytest.approx(expected, rel=1e-9)


def test_the_divergence_is_the_mean_over_pairs_at_every_checkpoint(out: Path, rungs: list[Rung]) -> None:
    for rung in rungs:
        curves = curves_of(rung.run)
        found = points(out, "twins along training", rung.name)
        np.testing.assert_allclose([point["y"] for point in found], curves.divergence.mean((1, 2)), rtol=1e-6)


def test_the_table_says_what_find_onset_says(out: Path, rungs: list[Rung]) -> None:
    table = json.loads((out / "gahb-onset-onsets.json").read_text())
    assert table["N"] == list(RECIPES)
    assert table["verdict"] == [rung.onset.verdict for rung in rungs]
    assert table["onset_step"] == [rung.onset.onset.step for rung in rungs]
    for rung in rungs:
        assert f"{rung.name}: {rung.onset.verdict.replace('_', ' ')}" in together.caption(rungs)


def test_epochs_are_what_the_recipe_calls_one(rungs: list[Rung]) -> None:
    """64 images in batches of 8: at N = 4 that is sixteen passes over the split, and one epoch."""
    axes = together.along_training(rungs)
    assert axes.x_label == together.turns(rungs).y_label == "epoch (64 images seen)"
    assert [line.x[-1] for line in axes.lines] == [3.0, 3.0]  # 24 steps
    run = rungs[0].run
    plain = replace(run.recipe, training=replace(run.recipe.training, epoch_samples=0))
    assert epoch_label(Run(run.path, plain)) == "epoch (passes over the split)"


def test_samples_are_counted_and_shown_beside_their_closest_images(out: Path, rungs: list[Rung]) -> None:
    table = json.loads((out / "gahb-onset-onsets.json").read_text())
    for i, rung in enumerate(rungs):
        counts = [Samples.read(rung.run, step).unfinished for step in rung.moments.steps]
        assert table["samples"][i] == 15 * len(counts)
        assert table["unfinished"][i] == sum(count for count in counts if count is not None)
        assert set(rung.moments.steps) <= set(rung.run.measured("closest"))
        assert f"{table['unfinished'][i]} of {table['samples'][i]} at {rung.name}" in (out / "gahb-onset.html").read_text()


def test_what_is_not_reached_has_no_point_and_is_told(rungs: list[Rung]) -> None:
    open_ended = Rung(rungs[0].run, replace(rungs[0].onset, onset=NOT_REACHED, test_loss_minimum=NOT_REACHED))
    assert Moments.of(open_ended.run, open_ended.onset) == Moments(None, None, open_ended.run.steps()[-1])
    pair = [open_ended, rungs[1]]
    assert [np.isnan(line.y[0]) for line in together.turns(pair).lines] == [True, True]
    assert [bool(np.isnan(line.y[0])) for line in together.convergence(pair).lines] == [True, True, False, False]
    assert together.along_training(pair).marks[0].x is None
    assert "(onset and test-loss minimum not reached)" in together.caption(pair)


def test_an_interval_open_on_a_side_ends_at_the_checkpoints(rungs: list[Rung]) -> None:
    rung = Rung(rungs[0].run, replace(rungs[0].onset, onset=Turn(8.0, (None, None), True)))
    line = together.turns([rung]).lines[0]
    first, last = (float(together.epochs(rung.run, np.array(rung.run.steps()[i]))) for i in (0, -1))
    assert (line.low[0], line.high[0]) == (first, last)
    assert first < line.y[0] < last


def test_a_scale_for_other_images_asks_for_them() -> None:
    with pytest.raises(InputError, match="CelebA"):
        FIGURES["gahb-onset"].recipes(Options("paper"))
