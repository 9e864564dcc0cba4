"""What the page says is what is stored."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import SMOKE
from twinsplit.report.figure import Axes
from twinsplit.report.from_run import onset_of, report_of
from twinsplit.report.page import render
from twinsplit.report.panels import PageParts, nearest_step, page_of, register_page
from twinsplit.report.write import write_report
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

pytest.importorskip("plotly", reason="pip install 'twinsplit[report]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = replace(SMOKE, data=replace(SMOKE.data, splits=4), training=replace(SMOKE.training, steps=24))
    session = pipeline.begin(tmp_path_factory.mktemp("report") / "run", recipe, Inline())
    pipeline.train_stage(session)
    pipeline.measure_stage(session)
    pipeline.sampling_stage(session, pipeline.moments(session.run, pipeline.decide(session.run)))
    return session.run


def test_curves_are_means_of_the_stored_replicates(run: Run) -> None:
    report = report_of(run)
    split, loss = report.main
    table = run.table("sample_split_divergence").to_pylist()
    for i, step in enumerate(run.steps()):
        stored = np.mean([np.mean(row["values"]) for row in table if row["step"] == step])
        assert split.lines[0].y[i] == pytest.approx(stored, rel=1e-6)
    losses = Table.read(run, "test_loss").where(step=run.steps()[-1]).means
    assert loss.lines[0].y[-1] == pytest.approx(losses.mean(), rel=1e-6)
    half = 3.182446 * losses.std(ddof=1) / 2  # Student's t for three degrees of freedom
    assert loss.lines[0].high[-1] == pytest.approx(losses.mean() + half, rel=1e-5)


def test_histograms_are_fractions_of_the_stored_distances(run: Run) -> None:
    histograms = report_of(run).distances
    assert histograms
    for histogram in histograms:
        (generated,), (held_out,) = histogram.bars, histogram.lines
        assert generated.y.sum() == pytest.approx(1)
        assert held_out.y.sum() == pytest.approx(1)
        assert f"{4 * run.recipe.measuring.generated:,} generated sequences" in histogram.note
        assert (generated.high <= 1).all()


def test_the_decision_names_a_checkpoint_that_exists(run: Run) -> None:
    report = report_of(run)
    assert report.onset == onset_of(run)
    assert report.onset.to_json() == run.read_json(pipeline.ONSET)
    if report.checkpoint is not None:
        assert (run.path / report.checkpoint).is_file()


def test_the_page_carries_configuration_data_and_definitions(run: Run) -> None:
    page = render(report_of(run))
    for text in ("split_size", str(run.read_json("data.json")["sha256"]), "Nearest-neighbour distance", "arXiv 2603.03469"):
        assert text in page
    assert "privacy guarantee" in page


def test_reports_come_from_stored_results_only(run: Run, tmp_path: Path) -> None:
    """A copy without its checkpoints gives the same curves."""
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    for path in (copy / "checkpoints").glob("*.safetensors"):
        if "optimizer" in path.name:
            path.unlink()
    first, second = report_of(run), report_of(Run.open(copy))
    for a, b in zip(first.main, second.main, strict=True):
        np.testing.assert_array_equal(a.lines[0].y, b.lines[0].y)


def test_nearest_step_is_nearest_in_log_step() -> None:
    assert nearest_step((10, 100, 1000), 40) == 100
    assert nearest_step((10, 100, 1000), 20) == 10
    assert nearest_step((), 20) is None


@pytest.mark.parametrize("text", [None, "{}", "[]", '{"verdict": 1}', "{"])
def test_a_missing_or_damaged_decision_names_the_stage_that_makes_it(run: Run, tmp_path: Path, text: str | None) -> None:
    copy = Run.create(tmp_path / "run", run.recipe)
    if text is not None:
        (copy.path / "measurements").mkdir()
        (copy.path / pipeline.ONSET).write_text(text)
    with pytest.raises(InputError, match=rf"onset.json.*; run: twinsplit onset {copy.path}"):
        onset_of(copy)


@pytest.mark.parametrize(("name", "text"), [("status.json", "[1]"), ("status.json", "{}"), ("environment.json", "[]"), ("data.json", "[]")])
def test_damaged_parts_of_a_run_are_refused_by_name(run: Run, tmp_path: Path, name: str, text: str) -> None:
    copy = Run.open(shutil.copytree(run.path, tmp_path / "copy"))
    (copy.path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        report_of(copy)


def test_a_file_where_figures_belong_is_refused_before_the_page(run: Run, tmp_path: Path) -> None:
    copy = Run.open(shutil.copytree(run.path, tmp_path / "copy"))
    (copy.path / "figures").write_text("mine")
    with pytest.raises(InputError, match="figures is not a folder"):
        write_report(copy)
    assert not (copy.path / "report.html").exists()
    assert (copy.path / "figures").read_text() == "mine"


def test_a_world_without_a_page_of_its_own_gets_the_default_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(run.recipe), "world", "somebody else's")
    report = report_of(run)
    assert [axes.key for axes in report.panels] == ["split", "loss", "losses"]
    assert report.distances == report.galleries == ()
    text = render(report)
    assert "on 4 disjoint splits" in text
    assert "Sample-split divergence" in text
    assert "token" not in " ".join(definition.text for definition in report.definitions)


def test_a_world_brings_its_page_and_a_measure_its_panel(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def panel(run: Run, settled: float) -> list[Axes]:
        return [Axes(f"mine, from {settled:.0f}", "optimizer step", "nats", report_of(run).main[0].lines)]

    monkeypatch.setattr("twinsplit.report.panels._PAGES", {})
    register_page("mine", PageParts(subtitle=lambda run: "my own", loss_unit="points"))
    assert page_of("mine").subtitle(run) == "my own"
    monkeypatch.setattr(type(run.recipe), "world", "mine")
    report = report_of(run, [panel])
    assert report.subtitle == "my own"
    assert report.main[1].y_label == "points"
    assert report.details[-1].title.startswith("mine, from ")
