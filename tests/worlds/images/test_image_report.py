"""What the page says of images is what is stored."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinsplit.measures.memorization import memorized_fraction
from twinsplit.pipeline import stages as pipeline
from twinsplit.report.definitions import OF_IMAGES, OF_SEQUENCES
from twinsplit.report.from_run import onset_of, report_of
from twinsplit.report.model import Report
from twinsplit.report.page import render
from twinsplit.report.panels import moments
from twinsplit.runs.store import Run


@pytest.fixture(scope="module")
def decided(image_run: Run[Any], tmp_path_factory: pytest.TempPathFactory) -> Run[Any]:
    """A copy of the figures' run with a decision; samples at every checkpoint."""
    path = tmp_path_factory.mktemp("image-report") / "run"
    shutil.copytree(image_run.path, path)
    pipeline.decide(Run.open(path))
    return Run.open(path)


@pytest.fixture(scope="module")
def report(decided: Run[Any]) -> Report:
    return report_of(decided)


def stored(run: Run[Any], name: str, step: int, **wanted: object) -> list[float]:
    """Means of the chosen rows."""
    rows = [r for r in run.table(name).to_pylist() if r["step"] == step]
    return [float(np.mean(r["values"])) for r in rows if all(r[key] == value for key, value in wanted.items())]


def test_every_curve_is_the_mean_of_what_is_stored(decided: Run[Any], report: Report) -> None:
    curves = {line.name: line for panel in report.panels for line in panel.lines}
    sources: dict[str, tuple[str, dict[str, object]]] = {
        "split_divergence": ("sample_split_divergence", {}),
        "test_loss": ("test_loss", {}),
        "train_loss": ("train_loss", {}),
        "sample_similarity": ("sample_similarity", {}),
    }
    sources |= {f"similarity_{t}": ("noise_similarity", {"t": t}) for t in (3, 5, 8, 10)}
    sources |= {f"loss_{t}": ("fixed_time_loss", {"t": t}) for t in (3, 5, 8, 10)}
    assert set(curves) == set(sources)
    for name, (measure, wanted) in sources.items():
        expected = [np.mean(stored(decided, measure, step, **wanted)) for step in decided.steps()]
        np.testing.assert_allclose(curves[name].y, expected, rtol=1e-6, err_msg=name)
        assert np.isfinite(curves[name].low).all()  # three networks: a band


def test_the_two_curves_that_decide_come_first(report: Report) -> None:
    assert [panel.y_label for panel in report.main] == ["nats per image", "squared error per pixel"]


def test_galleries_are_of_the_moments_of_the_decision(decided: Run[Any], report: Report) -> None:
    wanted = moments(decided, onset_of(decided))
    assert len(report.galleries) == len(wanted)
    for gallery, moment in zip(report.galleries, wanted, strict=True):
        assert gallery.title.lower().startswith(moment)
        assert gallery.page.dtype == np.uint8
        assert "of split 0" in gallery.described
        assert "of split 1" in gallery.described
        assert "not picked by eye" in gallery.note


def test_the_memorized_fraction_is_counted_from_the_ratios(decided: Run[Any], report: Report) -> None:
    step = decided.steps()[-1]
    wanted = (step, "generated", "gap_ratio")
    rows = [r for r in decided.table("memorization").to_pylist() if (r["step"], r["source"], r["quantity"]) == wanted]
    counts = [int((np.array(r["values"]) < 1 / 3).sum()) for r in rows]
    (panel,) = [panel for panel in report.panels if panel.key == "samples"]
    assert f"has {max(counts)} among 6 samples" in panel.note
    assert f"over all 3 networks there are {sum(counts)}." in panel.note
    expected = max((memorized_fraction(r["values"]) for r in rows), key=lambda fraction: fraction.value)
    (low, high), (least, most) = expected.bootstrap, expected.exact
    assert f"bootstrap {low:.1%} to {high:.1%}, of a binomial {least:.1%} to {most:.1%})" in panel.note


def test_the_two_sample_test_is_told_with_what_it_is_over(decided: Run[Any], report: Report) -> None:
    step = decided.steps()[-1]
    rows = [r for r in decided.table("two_sample").to_pylist() if r["step"] == step]
    (panel,) = [panel for panel in report.panels if panel.key == "samples"]
    assert f"Two-sample test at step {step}, of 6 samples of each network against 24 held-out images" in panel.note
    assert "permuted 499 times" in panel.note
    assert "Ranges are over 3 networks, and each p is of one network alone." in panel.note
    for statistic in ("closer", "coincidence"):
        found = [r for r in rows if r["statistic"] == statistic]
        values, least = [r["values"][0] for r in found], min(r["p_value"] for r in found)
        caption = f"{min(values):.2f} to {max(values):.2f} ({found[0]['expected']:.2f} if they do not differ; smallest p {least:.3f})"
        assert caption in panel.note


def test_a_run_of_before_the_two_sample_test_says_nothing_of_it(decided: Run[Any], tmp_path: Path) -> None:
    shutil.copytree(decided.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "measurements" / "two_sample.parquet")
    (panel,) = [panel for panel in report_of(Run.open(tmp_path / "run")).panels if panel.key == "samples"]
    assert "Two-sample" not in panel.note
    assert "copies of training images" in panel.note


def test_definitions_are_those_of_images(report: Report) -> None:
    assert report.definitions == OF_IMAGES
    names = [definition.name for definition in OF_IMAGES]
    assert len(set(names)) == len(names)
    text = " ".join(f"{d.text} {d.formula}" for d in OF_IMAGES)
    assert not re.search(r"token|sequence|oracle", text.replace("Oracle", "oracle"))
    assert any("sequence" in d.text for d in OF_SEQUENCES)


def test_alternative_texts_and_captions_are_on_the_page(report: Report) -> None:
    page = render(report)
    assert page.count('class="pictures"') == len(report.galleries) == page.count('alt="Rows from above')
    assert not re.search(r"<(?:img|script|link)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "normalisations" not in page  # too long to be read
    assert "split_size" in page


def test_a_run_without_samples_has_no_gallery(decided: Run[Any], tmp_path: Path) -> None:
    shutil.copytree(decided.path, tmp_path / "run")
    for name in ("sample_similarity.parquet", "memorization.parquet", "two_sample.parquet", "samples"):
        shutil.rmtree(tmp_path / "run" / "measurements" / name)
    report = report_of(Run.open(tmp_path / "run"))
    assert report.galleries == ()
    assert "samples" not in [panel.key for panel in report.panels]
