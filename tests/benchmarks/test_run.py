"""The benchmark's own arithmetic, and that every row's two ways agree at sizes of seconds. No time is asserted."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import gpu
import run
from rows.growth import exponent

COLUMNS = {"name", "ours_s", "reference_s", "ratio", "goal", "share_of_ceiling", "work", "equal", "series"}
QUICK = [name for name in run.ROWS if name != "quickstart"]  # the demo at smoke scale is a part of .ci/run already


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    path = tmp_path_factory.mktemp("bench") / "rows.json"
    chosen = [argument for name in QUICK for argument in ("--only", name)]
    run.main(["--size", "tiny", "--rounds", "1", "--json", str(path), "--plot", str(path.with_suffix(".png")), *chosen])
    assert path.with_suffix(".png").stat().st_size > 1000
    return json.loads(path.read_text())


def test_every_row_is_there_with_its_columns(rows: list[dict[str, object]]) -> None:
    assert [row["name"] for row in rows] == QUICK
    assert all(set(row) == COLUMNS for row in rows)


def test_ratios_are_reference_over_ours(rows: list[dict[str, object]]) -> None:
    compared = [row for row in rows if row["ratio"] is not None]
    assert len(compared) == 11
    for row in compared:
        assert row["ratio"] == pytest.approx(float(row["reference_s"]) / float(row["ours_s"]))  # type: ignore[arg-type]
        assert row["equal"]


def test_matrix_work_tells_its_share_of_the_ceiling(rows: list[dict[str, object]]) -> None:
    assert {row["name"] for row in rows if row["share_of_ceiling"]} == {"train_full", "train_small", "sampling_full"}


def test_growth_has_series(rows: list[dict[str, object]]) -> None:
    assert all(bool(row["series"]) == str(row["name"]).startswith("growth") for row in rows)


def test_exponents_are_slopes() -> None:
    assert exponent([(2.0, 3.0), (4.0, 12.0), (8.0, 48.0)]) == pytest.approx(2.0)


def test_unknown_rows_are_refused() -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "nonsense"])


def test_the_accelerators_script_runs_its_whole_logic_on_a_small_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    gpu.main(["--tiny", "--device", "cpu", "--seconds", "0", "--members", "2", "3", "--json", str(path)])
    rows = json.loads(path.read_text())
    assert [(row["name"], row["members"]) for row in rows[1:]] == [(name, k) for k in (2, 3) for name in ("ours", "ours, compiled")]
    assert all(row["seconds"] > 0 and row["share"] > 0 for row in rows)
    assert "members together and alone" in capsys.readouterr().out
