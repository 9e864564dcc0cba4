"""Runs are written whole or not at all, and damaged ones are refused."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.recipes import SMOKE
from twinsplit.runs.files import encode_table
from twinsplit.runs.store import Run

TENSORS = {"weights.a": torch.arange(6.0).view(2, 3), "weights.b": torch.ones(2)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", SMOKE)


def test_a_run_opens_as_it_was_created(run: Run) -> None:
    assert Run.open(run.path).recipe == SMOKE
    assert Run.create(run.path, SMOKE).recipe == SMOKE


def test_another_configuration_is_refused_and_named(run: Run) -> None:
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(InputError, match=r"seed 0 there, 1 asked.*another --out"):
        Run.create(run.path, replace(SMOKE, seed=1))
    assert (run.path / "config.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="not a run folder"):
        Run.create(tmp_path, SMOKE)
    with pytest.raises(InputError, match="not a run folder"):
        Run.open(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_checkpoints_come_back_to_the_bit(run: Run) -> None:
    step = SMOKE.checkpoint_steps()[0]
    run.save(step, TENSORS)
    loaded = run.load(step)
    assert all(torch.equal(loaded[name], value) for name, value in TENSORS.items())
    assert run.steps() == (step,)


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_a_damaged_checkpoint_is_refused(run: Run, damage: Any) -> None:
    first, second = SMOKE.checkpoint_steps()[:2]
    run.save(first, TENSORS)
    run.save(second, TENSORS)
    path = run.checkpoint(second)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="truncated or altered"):
        run.load(second)
    assert torch.equal(run.load(first)["weights.b"], TENSORS["weights.b"])


def test_pruning_keeps_two_resume_points_and_every_kept_checkpoint(run: Run) -> None:
    kept = SMOKE.checkpoint_steps()
    extra = [s for s in range(1, kept[-1]) if s not in kept][:3]
    for step in sorted({*kept[:4], *extra}):
        run.save(step, TENSORS)
        run.save(step, TENSORS, ".optimizer")
        run.prune()
    points = sorted(p.name for p in (run.path / "checkpoints").glob("*.optimizer.safetensors"))
    assert len(points) == 2
    assert run.steps() == kept[:4]
    assert run.resume_step() == max(*kept[:4], *extra)


def test_a_deleted_checkpoint_is_made_again(run: Run) -> None:
    kept = SMOKE.checkpoint_steps()
    for step in kept[:3]:
        run.save(step, TENSORS)
        run.save(step, TENSORS, ".optimizer")
    assert run.resume_step() == kept[2]
    run.checkpoint(kept[2]).unlink()
    assert run.resume_step() == kept[1]
    run.checkpoint(kept[0]).unlink()
    assert run.resume_step() == 0


def test_tables_are_one_parquet_data_set(run: Run) -> None:
    import pandas as pd

    for step in (3, 1):
        run.write_table("loss", step, pa.table({"step": [step], "values": pa.array([[1.0, 2.0]], pa.list_(pa.float32()))}))
    assert run.measured("loss") == (1, 3)
    assert run.table("loss").column("step").to_pylist() == [1, 3]
    assert list(pd.read_parquet(run.path / "measurements" / "loss.parquet")["step"]) == [1, 3]


def written(run: Run, name: str, steps: tuple[int, ...], **columns: list[Any]) -> Path:
    """A measurement of two rows at each step; the folder it lies in."""
    for step in steps:
        rows = {"step": [step] * 2, "member": [0, 1], **columns, "values": [[1.0, 2.0]] * 2}
        run.write_table(name, step, pa.table(rows))
    return run.path / "measurements" / f"{name}.parquet"


def in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "a flipped byte": lambda path: path.write_bytes(path.read_bytes()[:40] + bytes([path.read_bytes()[40] ^ 1]) + path.read_bytes()[41:]),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": in_place,
    "another measure": lambda path: path.write_bytes((path.parent.parent / "pairs.parquet" / path.name).read_bytes()),
    "another step": lambda path: path.write_bytes((path.parent / "step_00000001.parquet").read_bytes()),
    "no measure": lambda path: path.write_bytes(encode_table(pa.table({"a": [1]}))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_measurement_is_refused_by_name(run: Run, damage: Callable[[Path], object]) -> None:
    folder = written(run, "loss", (1, 2, 30))
    written(run, "pairs", (1, 2, 30), member_b=[1, 0])
    path = folder / "step_00000002.parquet"
    damage(path)
    with pytest.raises(InputError, match=rf"{path} is damaged; delete it and run: twinsplit measure {run.path} loss"):
        run.table("loss")
    assert run.table("pairs").num_rows == 6


def test_two_files_that_do_not_fit_together_accuse_neither(run: Run) -> None:
    folder = written(run, "loss", (1,))
    written(run, "loss", (2,), times=["all", "all"])
    with pytest.raises(InputError, match=rf"{folder} is damaged"):
        run.table("loss")


def test_stray_files_are_no_measurements(run: Run) -> None:
    folder = written(run, "loss", (3,))
    for name in ("step_foo.parquet", "step_.parquet", ".step_00000009.parquet.x.part", "step_00000009.parquet.bak"):
        (folder / name).write_bytes(b"")
    assert run.measured("loss") == (3,)
    assert run.table("loss").num_rows == 2


def test_a_run_may_lie_where_names_are_no_text(tmp_path: Path) -> None:
    run = Run.create(tmp_path / os.fsdecode(b"caf\xe9"), SMOKE)
    written(run, "loss", (1, 2))
    assert run.table("loss").num_rows == 4
    assert Run.open(run.path).recipe == SMOKE


@pytest.mark.parametrize(
    "manifest", ["[]", "5", "null", '{"foo.bar": "a"}', '{"step_x.safetensors": "a"}', '{"step_00000001.safetensors": 5}']
)
def test_a_damaged_manifest_never_means_that_nothing_is_trained(run: Run, manifest: str) -> None:
    run.save(SMOKE.checkpoint_steps()[0], TENSORS)
    (run.path / "checkpoints" / "manifest.json").write_text(manifest)
    for options in (run.steps, run.resume_step, run.prune):
        with pytest.raises(InputError, match="manifest"):
            options()


@pytest.mark.parametrize("text", ["null", "[]", "[" * 100_000, "{"])
def test_a_run_without_its_configuration_is_no_run(run: Run, text: str) -> None:
    (run.path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config.json.*without it the folder is no run"):
        Run.open(run.path)


def test_what_is_not_measured_is_said(run: Run) -> None:
    with pytest.raises(InputError, match="twinsplit measure"):
        run.table("nothing")


def test_one_process_at_a_time(run: Run) -> None:
    with run.hold(), pytest.raises(InputError, match="another process works on"):
        Run.open(run.path).hold()
    run.hold().close()


def test_too_little_space_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="MiB free"):
        run.check_space(1 << 60)


def test_no_pickle_is_written(run: Run) -> None:
    run.save(SMOKE.checkpoint_steps()[0], TENSORS)
    assert {p.suffix for p in run.path.rglob("*") if p.is_file()} == {".json", ".safetensors"}
    assert json.loads((run.path / "config.json").read_text())["name"] == "smoke"
