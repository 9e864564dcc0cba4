"""The comparison of two commits: what counts as the same content, what is told of a difference, and the list of commands."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from twinsplit.papers.catalogue import FIGURES
from twinsplit.worlds.images.world import MEASURES as IMAGE_MEASURES
from twinsplit.worlds.sequences.world import MEASURES as SEQUENCE_MEASURES

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import same_bits
from golden import jobs
from golden.content import Content, content, contents, from_json, to_json
from golden.difference import Renamed, differences
from golden.running import Keep, Made, job_key, missing

ROWS = {"step": [1, 1, 2, 3], "values": [[0.5, 1.0], [], None, [float("nan")]], "name": ["a", None, "b", "c"]}


def table(path: Path, rows: pa.Table, **options: object) -> Content:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, **options)
    return content(path)


def test_tables_are_equal_however_they_are_packed(tmp_path: Path) -> None:
    rows = pa.table(ROWS)
    whole = table(tmp_path / "whole.parquet", rows)
    assert table(tmp_path / "packed.parquet", rows.select(["name", "values", "step"]), row_group_size=1, compression="zstd") == whole
    for i in range(4):
        table(tmp_path / "parts.parquet" / f"step_{i}.parquet", rows.slice(i, 1))
    assert content(tmp_path / "parts.parquet") == whole
    assert list(contents(tmp_path)) == ["packed.parquet", "parts.parquet", "whole.parquet"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("step", [1, 1, 2, 4]),
        ("values", [[0.5], [1.0], None, [float("nan")]]),
        ("values", [[0.5, 1.0], None, None, [float("nan")]]),
        ("values", [[0.5, float(np.nextafter(1.0, 2.0))], [], None, [float("nan")]]),
        ("name", ["a", "", "b", "c"]),
    ],
)
def test_any_other_value_is_a_difference_of_its_column(tmp_path: Path, column: str, values: list[object]) -> None:
    before = table(tmp_path / "a.parquet", pa.table(ROWS))
    after = table(tmp_path / "b.parquet", pa.table(ROWS | {column: values}))
    assert [name for name in ROWS if before.parts[name] != after.parts[name]] == [column]


def test_signs_of_zero_and_types_are_told_apart(tmp_path: Path) -> None:
    columns = [pa.array([0.0]), pa.array([-0.0]), pa.array([0.0], pa.float32()), pa.array([0]), pa.array([None], pa.float64())]
    digests = [table(tmp_path / f"{i}.parquet", pa.table({"x": column})).parts["x"] for i, column in enumerate(columns)]
    assert len(set(digests)) == len(columns)


def test_tensors_are_compared_without_their_notes(tmp_path: Path) -> None:
    weights = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    for name, note, tensors in (("a", "1", weights), ("b", "2", weights), ("c", "1", weights | {"b": torch.zeros(2)})):
        save_file(tensors, tmp_path / f"{name}.safetensors", {"note": note})
    a, b, c = (content(tmp_path / f"{name}.safetensors") for name in "abc")
    assert a == b
    (found,) = differences({"f": a}, {"f": c})
    assert found.what[0].startswith("b: BF16[2] ")
    assert " -> F32[2] " in found.what[0]


def test_what_says_when_and_where_is_left_out(tmp_path: Path) -> None:
    for name in ("environment.json", "status.json", "checkpoints/manifest.json", "theirs/data.json", "config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"b": {"c": 1.0}, "a": []}')
    (tmp_path / "page.html").write_text("")
    found = contents(tmp_path)
    assert list(found) == ["config.json", "page.html"]
    assert found["config.json"] == Content("JSON", {"a": "[]", "b.c": "1.0"})
    assert found["page.html"].kind == "drawing"
    assert from_json(json.loads(json.dumps(to_json(found)))) == found


def test_files_of_one_side_are_differences_unless_they_are_renamed() -> None:
    a = {"job/old.json": Content("JSON", {"x": "1", "y": "2"})}
    b = {"job/new.json": Content("JSON", {"z": "1", "y": "2"})}
    assert [(one.path, one.what) for one in differences(a, b)] == [("job/new.json", ("only in B",)), ("job/old.json", ("only in A",))]
    paths = {r"(.*)/old\.json": r"\1/new.json"}
    (found,) = differences(Renamed(paths).applied(a), b)
    assert found.what == ("x: 1 -> (absent)", "z: (absent) -> 1")
    assert not differences(Renamed(paths, {r".*/new\.json": {"x": "z"}}).applied(a), b)


def test_drawings_fail_only_where_that_is_asked() -> None:
    a, b = (Made({"f.png": Content("drawing", {"": digest})}, ()) for digest in "ab")
    found = same_bits.verdict(jobs.DATA, a, b, Renamed())
    assert (found.fails(False), found.fails(True), str(found)) == (False, True, "equal (1 drawings differ)")
    found = same_bits.verdict(jobs.DATA, a, Made({}, (), "out of memory"), Renamed())
    assert (found.fails(False), found.failed) == (True, "B: out of memory")


def test_kept_digests_are_used_until_the_commands_change(tmp_path: Path) -> None:
    first, second = jobs.BY_NAME["data"], jobs.BY_NAME["sequences"]
    keep = Keep(tmp_path / "kept", "commit", "machine")
    made = Made({"f": Content("bytes", {"": "1"})}, ({"words": ["x"], "status": 0, "wall_s": 1.0, "cpu_s": 2.0},))
    keep.add(first, made)
    keep.add(second, Made({}, (), "failed"))
    assert keep.read() == {job_key(first): made}
    assert missing((first,), keep.read()) == ()
    assert missing((first, second), keep.read()) == (first, second)  # it reads the other's folder
    assert not Keep(tmp_path / "kept", "commit", "another").read()


def test_every_measure_and_every_figure_is_among_the_commands() -> None:
    words = [step.words for job in jobs.JOBS for step in job.steps]
    drawn = {line[2] for line in words if line[1] == "figure"}
    assert drawn == set(FIGURES)
    assert set(SEQUENCE_MEASURES) < set(jobs.SEQUENCE_MEASURES.split())
    assert set(IMAGE_MEASURES) < set(jobs.IMAGE_MEASURES.split())
    assert all(step.words[0] == "props" or "--workers" not in step.words or "1" in step.words for job in jobs.JOBS for step in job.steps)


def test_commands_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["a", "b", "c"], ["HEAD", "--jobs", "nonsense"]):
        with pytest.raises(SystemExit):
            same_bits.main(words)
    assert same_bits.main(["--list"]) == 0
    assert "twinsplit quickstart --scale smoke" in capsys.readouterr().out
