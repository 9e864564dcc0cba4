"""Claims: on planted truths each holds, fails or lacks power as it should; on a real run they are told whole; what is no run is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import command
from planted import LENGTH, RECIPE, SPLITS, T, Truth, planted
from twinsplit.errors import InputError
from twinsplit.onset.minima import LeftOut, find_minima
from twinsplit.papers.bg.claims import claims_of, profile, to_json
from twinsplit.papers.bg.claims_report import ABOUT, as_text, planned, runs_of
from twinsplit.papers.bg.verdicts import Claim
from twinsplit.pipeline.landmarks import LOSS, SPLIT, all_minima, landmark_of, landmarks_of
from twinsplit.pipeline.replicates import level_of, neighbour_divergences
from twinsplit.runs.store import Run

YES, NO, OPEN = "holds", "does not hold", "not enough power"


def judged(path: Path, truth: Truth) -> dict[str, Claim]:
    claims = claims_of(planted(path / "run", truth))
    json.dumps(to_json(claims), allow_nan=False)
    return {claim.name: claim for claim in claims}


def test_the_papers_world_bears_out_every_claim(tmp_path: Path) -> None:
    claims = judged(tmp_path, Truth())
    assert {claim.verdict for claim in claims.values()} == {YES}, claims
    assert list(claims) == ["C1", "C2", "C3", "C4", "C5", "C6"]
    values = {name: [part.value for part in claim.parts] for name, claim in claims.items()}
    np.testing.assert_allclose(values["C1"], [1_000 / 250, 1_500 / 250], rtol=0.06)
    np.testing.assert_allclose(values["C2"], [3.0], rtol=0.06)
    np.testing.assert_allclose(values["C3"], [0.15], rtol=0.06)
    np.testing.assert_allclose(values["C4"], [-0.1, -0.2, 0.0], atol=1e-6)
    np.testing.assert_allclose(values["C5"], [0.001, 0.08, 0.079], atol=1e-6)
    np.testing.assert_allclose(values["C6"], [np.log(450 / 1_000) / 2, 1_000 / 700, 700 / 450], rtol=0.06)
    for claim in claims.values():
        for part in claim.parts:
            assert part.over.startswith((f"{SPLITS} splits", "400 sequences"))
            low, high = part.interval
            assert low is not None
            assert high is not None
            assert low <= part.value <= high


@pytest.mark.parametrize(
    ("change", "verdicts"),
    [
        ({"split": 2_000.0}, {"C1": NO, "C4": OPEN}),  # the onset is not before the test-loss minimum: there is nothing between
        (
            {"nearest": 3_000.0, "peak": 0.75, "fresh": 0.2, "oracle": (450.0, 700.0, 1_000.0)},
            {"C1": YES, "C2": NO, "C3": NO, "C4": NO, "C5": OPEN, "C6": NO},
        ),
        (
            {"spread": 0.6, "split": 550.0, "nearest": 1_350.0, "peak": 0.4, "oracle": (600.0, 605.0, 590.0)},
            {"C1": OPEN, "C2": OPEN, "C3": OPEN, "C6": OPEN},
        ),
        ({"excess_term": (-0.1, 0.0), "advantage": (0.05, 0.08)}, {"C1": YES, "C4": NO, "C5": NO}),
        ({"oracle_term": (0.5, 0.6), "advantage": (0.001, -0.05)}, {"C4": NO, "C5": NO}),
        ({"fresh_spread": 3.0}, {"C4": OPEN, "C5": YES}),
        ({"jitter": 0.5}, {"C4": OPEN, "C5": OPEN, "C6": YES}),
        ({"peak": 0.002}, {"C1": YES, "C3": NO}),  # the profile surely falls from the first time on
        ({"peak": 0.002, "spread": 2.0}, {"C3": OPEN}),  # not surely
        ({"oracle": (60_000.0, 60_000.0, 60_000.0)}, {"C6": OPEN}),  # no minimum is reached: nothing is known of their order
    ],
    ids=" ".join,
)
def test_planted_truths(change: dict[str, object], verdicts: dict[str, str], tmp_path: Path) -> None:
    claims = judged(tmp_path, replace(Truth(), **change))  # type: ignore[arg-type]
    assert {name: claims[name].verdict for name in verdicts} == verdicts, claims


def test_neighbours_whose_order_is_unknown_do_not_hold(tmp_path: Path) -> None:
    claim = judged(tmp_path, replace(Truth(), oracle=(60_000.0, 60_000.0, 450.0)))["C6"]
    unknown, known = claim.parts[1:]
    assert (unknown.interval, unknown.verdict) == ((None, None), OPEN)
    assert (known.interval[1], known.verdict) == (None, YES)


@pytest.mark.parametrize("peak", [0.15, 0.3])
def test_a_peak_is_placed_no_finer_than_times_were_measured(peak: float, tmp_path: Path) -> None:
    """Splits that agree to a thousandth leave an interval of one spacing (3 of 50), around the peak."""
    (part,) = judged(tmp_path, replace(Truth(), peak=peak, spread=0.001))["C3"].parts
    low, high = part.interval
    assert high - low == pytest.approx(3 / T, rel=0.1)
    assert (low + high) / 2 == pytest.approx(part.value, rel=0.02)
    assert part.value == pytest.approx(peak, rel=0.03)


def test_a_wide_interval_stays_as_it_is(tmp_path: Path) -> None:
    """Wider than a spacing: what the splits say is not stretched further."""
    (part,) = judged(tmp_path, replace(Truth(), spread=0.3))["C3"].parts
    low, high = part.interval
    assert high - low > 1.5 * 3 / T
    run = Run.open(tmp_path / "run")
    times, means = profile(run, landmarks_of(run).loss, 0)
    turn = find_minima([LeftOut.of_members("profile", times, -means, np.arange(SPLITS))]).turn("profile")
    assert (low * T, high * T) == pytest.approx(turn.interval)


def test_a_test_loss_that_still_falls_comes_after_the_twins(tmp_path: Path) -> None:
    """Its minimum is not reached: no value and an open side are told, yet the order is known."""
    claims = judged(tmp_path, Truth(loss=60_000.0, split=200.0, oracle_term=(0.6, 0.6)))
    part = claims["C1"].parts[1]
    assert (part.value, part.interval[1], part.verdict) == (None, None, YES)
    assert part.interval[0] > 5
    assert claims["C2"].verdict == YES
    run = Run.open(tmp_path / "run")
    assert landmarks_of(run).loss == 5_000
    assert str(landmark_of(run, LOSS)) == "step 5,000, not reached"
    assert str(landmark_of(run, SPLIT)) == f"step {landmarks_of(run).onset:,}"


def test_landmarks_are_the_nearest_checkpoints(tmp_path: Path) -> None:
    run, truth = planted(tmp_path / "run", Truth()), Truth()
    marks, steps = landmarks_of(run), np.array(RECIPE.checkpoint_steps())
    for found, wanted in ((marks.onset, truth.split), (marks.nearest, truth.nearest), (marks.loss, truth.loss)):
        assert abs(np.log(found / wanted)) <= np.abs(np.diff(np.log(steps))).max()
    assert list(all_minima(run).places)[3:] == ["BP_0", "BP_1", "BP_2"]


def test_nearest_neighbour_divergences_are_those_of_the_histograms(tmp_path: Path) -> None:
    steps, values = neighbour_divergences(planted(tmp_path / "run", Truth()))
    assert steps.tolist() == list(RECIPE.checkpoint_steps())
    assert values.shape == (24, SPLITS)
    at = int(np.argmin(np.abs(steps - 500)))
    share = 0.55  # near the minimum, up to the wobble
    expected = share * np.log(share / 0.5) + (1 - share) * np.log((1 - share) / 0.5)
    assert values[at].mean() == pytest.approx(expected, rel=0.1)
    assert LENGTH == 4


def test_factorised_data_are_judged_by_their_own_level(tmp_path: Path) -> None:
    recipe = replace(RECIPE, data=replace(RECIPE.data, factorised=1))
    claims = {claim.name: claim for claim in claims_of(planted(tmp_path / "run", Truth(), recipe))}
    assert level_of(Run.open(tmp_path / "run")) == 1
    assert claims["C1"].parts[0].value == pytest.approx(700 / 250, rel=0.06)
    assert [p.statistic for p in claims["C6"].parts[1:]] == ["step of the minimum for k = 1 over that for k = 2 (not surely below 1)"]
    assert "BP_1" in claims["C3"].parts[0].statistic


def test_where_the_exact_posterior_is_the_coarsest_there_is_no_slope(tmp_path: Path) -> None:
    recipe = replace(RECIPE, data=replace(RECIPE.data, factorised=2))
    claims = claims_of(planted(tmp_path / "run", Truth(), recipe))
    json.dumps(to_json(claims), allow_nan=False)
    assert claims[5].verdict == OPEN
    assert claims[5].parts[0].value is None


def test_what_is_not_measured_is_said(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", Truth())
    for part in (run.path / "measurements" / "fresh_excess.parquet").iterdir():
        part.unlink()
    with pytest.raises(InputError, match="fresh_excess is not measured"):
        claims_of(run)


def test_a_real_run_is_judged_from_the_command_line(middle: Run, figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "claims.md"
    assert command("claims", middle.path, "--workers", 1, "--document", page) == 0
    caption = capsys.readouterr().out
    stored = middle.read_json("measurements/claims.json", list)
    stamps = {p: p.stat().st_mtime_ns for p in (middle.path / "measurements").rglob("*.parquet") if p.is_file()}
    assert command("claims", figures / "fig4a.png", "--json", "--workers", 1) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one == {"run": str(middle.path), "trained": "60 steps", "claims": stored}
    assert stamps == {p: p.stat().st_mtime_ns for p in (middle.path / "measurements").rglob("*.parquet") if p.is_file()}
    assert caption.splitlines()[0] == f"{middle.path}: 60 steps"
    text = page.read_text()
    assert text.startswith(f"{ABOUT}No run of a published size (n = 5,000, 12,000, 70,000) is among these")
    assert "depth 2" in text
    for claim in stored:
        assert f"  {claim['claim']} {claim['verdict']}: {claim['text']}" in caption.splitlines()
        assert f"| **{claim['claim']}** {claim['text']} | {claim['verdict']} |" in text
        for part in claim["parts"]:
            assert part["statistic"] in caption
            assert f"| {claim['claim']} | {part['statistic']} |" in text


def test_a_figure_file_of_any_kind_leads_to_its_runs(figures: Path, middle: Run) -> None:
    for name in ("fig4a.png", "fig4a.html", "fig4a-config.json", "fig4a-curves.parquet", "fig5-marks.json"):
        assert [path for path, _ in runs_of([figures / name])] == [middle.path], name
    found = runs_of([figures / "fig3b.png", middle.path])
    assert sorted(recipe.data.split_size for _, recipe in found) == [4, 6, 8]


def test_planned_runs_are_those_of_the_figures(middle: Run, figures: Path) -> None:
    (first, recipe), (second, other) = planned("smoke", 2, None, figures)
    assert (first, recipe) == (middle.path, middle.recipe)
    assert (other.seed, second.exists()) == (1, False)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["claims", "nowhere.png"], "neither a run folder nor a figure"),
        (["claims", "."], "neither a run folder nor a figure"),
        (["claims", "gtv1.png"], "give one of fig1b to fig11"),
        (["claims", "--scale", "smoke", "--seeds", "2"], "use --seeds 3 or more"),
        (["claims", "--scale", "smoke", "--repeats", "0"], "ask for at least 1"),
        (["figure", "fig5", "--scale", "smoke", "--seeds", "2"], "use --seeds 3 or more"),
        (["figure", "fig5", "--scale", "smoke", "--seeds", "0"], "use --seeds 3 or more"),
        (["figure", "gtv1", "--scale", "smoke", "--seeds", "4"], "leave it out"),
        (["figure", "fig99"], "choose one of fig1a, fig2"),
        (["figure", "fig5", "--scale", "smoke", "--seeds", "90"], "smaller or fewer splits"),
        (["figure", "fig5", "--scale", "smoke", "--workers", "-1"], "give 1 or more"),
    ],
)
def test_refusals_write_nothing(
    words: list[str], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gtv1-config.json").write_text(json.dumps({"figure": "gtv1", "scale": "smoke"}))
    before = sorted(tmp_path.rglob("*"))
    assert command(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert remedy in said.err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_page_of_the_project_begins_as_the_command_writes_it() -> None:
    """The rest of it takes laptop runs of half an hour."""
    page = (Path(__file__).parents[3] / "docs" / "claims.md").read_text()
    assert page.startswith(f"{ABOUT}No run of a published size")


def test_a_run_of_a_published_size_needs_no_excuse(tmp_path: Path) -> None:
    from twinsplit.papers.bg.claims_report import Judged, write_document

    run = planted(tmp_path / "run", Truth())
    claims = tuple(claims_of(run))
    for n, excused in ((256, True), (5_000, False)):
        recipe = replace(run.recipe, data=replace(run.recipe.data, split_size=n))
        write_document(tmp_path / "page.md", [Judged(run.path, recipe, claims, 4_000)])
        text = (tmp_path / "page.md").read_text()
        assert ("none was had" in text) == excused
        assert f"{SPLITS} disjoint splits of {n} sequences" in text
        assert "4,000 of 5,000 steps so far." in text


def test_text_says_what_is_open(tmp_path: Path) -> None:
    from twinsplit.papers.bg.claims_report import Judged

    run = planted(tmp_path / "run", Truth(loss=60_000.0))
    text = as_text([Judged(run.path, run.recipe, tuple(claims_of(run)), 5_000)])
    assert "not reached" in text
    assert "to open; 6 splits): holds" in text
    assert T == 50
