"""Figures and claims from runs that are given: imported networks keep their checkpoints to the byte, and everything is drawn from them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import commands
from authors import object_array, write_member

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'twinsplit[report]'")
pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")

from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.splits.disjoint import Splits
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline
from twinsplit.papers.bg.sequences.figures import NAMES
from twinsplit.papers.figure import FIGURES
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import SMOKE
from twinsplit.runs.files import fingerprint, read_json
from twinsplit.runs.store import Run
from twinsplit.training.loop import train
from twinsplit.worlds.sequences.uturns import own_starts
from twinsplit.worlds.sequences.world import HierarchicalWorld

EPOCHS = (1, 2, 4, 8, 16, 32)
SMALL = {"generated": 12, "sampling_steps": 4, "uturn_repetitions": 2, "profile_times": 8, "profile_sequences": 10}  # for speed


def command(*words: object) -> int:
    """The exit status, with one worker where there is a choice."""
    return commands.command(*words, *(["--workers", "1"] if words[0] in ("figure", "claims") else []))


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> str:
    """The one line of a refused command, after which every file is as it was."""
    before = hashes(folder)
    capsys.readouterr()
    assert command(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert hashes(folder) == before
    return line


def hashes(folder: Path) -> dict[Path, str]:
    """SHA-256 of every file but locks."""
    return {p: fingerprint(p.read_bytes()) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def imported(folder: Path, seeds: int = 1) -> Path:
    """Networks of three splits of 6 whose data repeat the first sequence in the second split, imported by the command."""
    tokens = TreeGrammar.published().sample(120, 1).numpy()
    tokens[6] = tokens[0]
    folder.mkdir(parents=True)
    np.save(folder / "dataset.npy", object_array(tokens.tolist()), allow_pickle=True)
    for seed in range(3 * seeds):
        write_member(folder / "results" / f"seed_{seed}", seed, EPOCHS, q=6, l=4, T=40, split_index=seed // seeds)
    assert command("import", "data", folder / "dataset.npy", "--out", folder / "data", "--trusted") == 0
    words = ("--data", folder / "data", "--out", folder / "run", "--held-out", 30, "--trusted")
    assert command("import", "checkpoints", folder / "results", *words) == 0
    config = read_json(folder / "run" / "config.json")
    config["measuring"] |= SMALL
    (folder / "run" / "config.json").write_text(json.dumps(config))
    return folder / "run"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("theirs") / "one")


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on every split."""
    return imported(tmp_path_factory.mktemp("theirs") / "two", seeds=2)


@pytest.fixture
def untouched(theirs: Path) -> object:
    """Whatever a test does, the checkpoints stay."""
    before = hashes(theirs / "checkpoints")
    yield before
    assert hashes(theirs / "checkpoints") == before


def caption(out: Path, name: str) -> str:
    return (out / f"{name}.html").read_text(encoding="utf-8").rsplit("</p>", maxsplit=1)[0].rsplit("<p>", maxsplit=1)[1]


@pytest.mark.usefixtures("untouched")
def test_claims_measure_imported_networks_and_train_nothing(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("claims", theirs) == 0
    caption = capsys.readouterr().out.splitlines()
    assert caption[0] == f"{theirs}: 64 steps"
    assert [line.split()[0] for line in caption if line.startswith("  C")] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    assert read_json(theirs / "status.json")["stage"] == "imported"
    assert sorted(p.name for p in (theirs / "checkpoints").iterdir() if "step" in p.name) == sorted(
        f"step_{2 * epoch:08d}.safetensors" for epoch in EPOCHS
    )


@pytest.mark.parametrize("name", ["fig1b", "fig3b", "fig4a", "fig4b", "fig5", "fig9", "fig11"])
@pytest.mark.usefixtures("untouched")
def test_a_figure_is_drawn_from_an_imported_run(
    theirs: Path, name: str, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path_factory.getbasetemp() / "drawn"
    assert command("figure", name, "--run", theirs, "--out", out) == 0
    assert capsys.readouterr().out.split()[0] == str(out / f"{name}.png")
    configuration = read_json(out / f"{name}-config.json")
    (place,) = configuration["runs"]
    assert (out / place).resolve() == theirs.resolve()
    assert configuration["runs"][place] == read_json(theirs / "config.json")
    curves = pq.read_table(out / f"{name}-curves.parquet").to_pylist()
    assert all("n = 6" in row["panel"] for row in curves)
    assert caption(out, name).startswith("3 networks with n = 6.")
    stamps = {p: p.stat().st_mtime_ns for p in out.glob(f"{name}*")}
    assert command("figure", name, "--run", theirs, "--out", out) == 0  # what stands is not made again
    assert {p: p.stat().st_mtime_ns for p in out.glob(f"{name}*")} == stamps
    assert not (out / "runs").exists()


@pytest.mark.usefixtures("untouched")
def test_claims_find_the_run_behind_a_figure_that_was_drawn_from_it(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("figure", "fig4b", "--run", theirs, "--out", tmp_path / "deep" / "figures") == 0
    capsys.readouterr()
    assert command("claims", tmp_path / "deep" / "figures" / "fig4b.png", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one == {"run": str(theirs.resolve()), "trained": "64 steps", "claims": read_json(theirs / "measurements" / "claims.json", list)}


def test_captions_say_what_a_run_lacks_and_what_was_left_out(theirs: Path, paired: Path, tmp_path: Path) -> None:
    for name, run in (("fig5", theirs), ("fig1b", theirs), ("fig11", theirs)):
        assert command("figure", name, "--run", run, "--out", tmp_path) == 0
    assert "Left out: 2 sequences that splits share." in caption(tmp_path, "fig5")
    assert "Pairs on the same data are not shown: no split has two networks." in caption(tmp_path, "fig1b")
    assert "the empirical denoiser of 6 training sequences" in caption(tmp_path, "fig11")
    assert command("figure", "fig1b", "--run", paired, "--out", tmp_path) == 0
    assert "not shown" not in caption(tmp_path, "fig1b")
    lines = {row["line"] for row in pq.read_table(tmp_path / "fig1b-curves.parquet").to_pylist()}
    assert {"twins: disjoint data", "same data, other seed"} < lines


def test_several_runs_are_told_apart(theirs: Path, paired: Path, tmp_path: Path) -> None:
    """Both have n = 6 and folders of one name: titles tell the paths."""
    for name, panels in (("fig6", 4), ("fig3b", 2)):
        assert command("figure", name, "--run", theirs, "--run", paired, "--out", tmp_path) == 0
        found = pq.read_table(tmp_path / f"{name}-curves.parquet").column("panel").to_pylist()
        assert len(set(found)) == panels
        assert found[0].startswith(f"{theirs}: n = 6")
        assert found[-1].startswith(f"{paired}: n = 6")
    assert command("figure", "fig6", "--run", paired, "--run", theirs, "--out", tmp_path) == 0  # in the order they are given
    assert pq.read_table(tmp_path / "fig6-curves.parquet").column("panel")[0].as_py().startswith(f"{paired}: n = 6")


def test_a_figure_is_drawn_anew_when_checkpoints_change(paired: Path, tmp_path: Path) -> None:
    assert command("figure", "fig4b", "--run", paired, "--out", tmp_path) == 0
    manifest = paired / "checkpoints" / "manifest.json"
    before, stamp = manifest.read_bytes(), (tmp_path / "fig4b.png").stat().st_mtime_ns
    try:
        manifest.write_text(json.dumps(dict.fromkeys(json.loads(before), "0" * 64)))
        assert command("figure", "fig4b", "--run", paired, "--out", tmp_path) == 0
        assert (tmp_path / "fig4b.png").stat().st_mtime_ns > stamp
    finally:
        manifest.write_bytes(before)


@pytest.mark.usefixtures("untouched")
def test_whoever_asks_imported_networks_are_not_trained(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = theirs.parent
    for words in (("train", theirs / "config.json", "--out", theirs), ("quickstart", "--scale", "smoke", "--out", theirs)):
        assert "cannot be trained on" in refusal(capsys, folder, *words)
    run = Run.open(theirs)
    world = HierarchicalWorld.of(run.recipe)
    before = hashes(theirs)
    with pytest.raises(InputError, match="cannot be trained on"):
        next(train(world.ensemble(), world.split_samples(), world.task(), run))
    session = pipeline.begin(theirs, run.recipe, Inline())
    with pytest.raises(InputError, match="cannot be trained on"):
        pipeline.train_stage(session)
    session.lock.close()
    assert {p: h for p, h in hashes(theirs).items() if p.name != "environment.json"} == {
        p: h for p, h in before.items() if p.name != "environment.json"
    }


def test_no_start_is_held_by_another_split(theirs: Path) -> None:
    """Rows 0 and 6 have one content: neither is a start, of its own network or of another's."""
    world = HierarchicalWorld.of(Run.open(theirs).recipe)
    found = own_starts(world)
    assert [one.starts.ids.tolist() for one in found] == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17]]
    assert [one.dropped for one in found] == [1, 1, 0]
    assert command("figure", "fig5", "--run", theirs, "--out", theirs.parent / "figures") == 0
    stored = read_json(theirs / "measurements" / "uturn_starts.json", list)
    assert stored == [{"split": i, "starts": 5 + (i == 2), "shared": i != 2} for i in range(3)]
    counts = {row["starts"]: len(row["values"]) for row in Run.open(theirs).table("uturns").to_pylist()}
    assert counts == {0: 5, 1: 5, 2: 6}


def test_too_few_starts_of_ones_own_are_refused(theirs: Path) -> None:
    world = HierarchicalWorld.of(Run.open(theirs).recipe)
    rows = world.splits.rows.copy()
    rows[2, :3] = rows[0, 1:4]
    with pytest.raises(InputError, match="only 2 of the 6 sequences of split 0 are in no other split"):
        own_starts(replace(world, splits=Splits(rows, world.splits.held_out)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fig4a", "--run", "ONE", "--run", "TWO"], "fig4a shows 1 run, 2 were given"),
        (["fig6", "--run", "ONE"], "fig6 shows 2 runs, 1 were given"),
        (["fig6", "--run", "ONE", "--run", "ONE"], "a run is given twice"),
        (["gahb-psnr", "--run", "ONE"], "gahb-psnr has no --run; leave it out: it is for fig1a, fig2"),
        (["fig2", "--run", "ONE"], "is a run on sequences; these figures show images"),
        (["fig4a", "--run", "ONE", "--data", "ONE"], "fig4a has no --data"),
        (["gtv1", "--run", "ONE"], "gtv1 has no --run"),
        (["fig4a", "--run", "ONE", "--seeds", "4"], "--seeds with --run"),
        (["fig4a", "--run", "nowhere"], "is not a run folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    theirs: Path, paired: Path, words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str({"ONE": theirs, "TWO": paired}.get(word, word)) for word in words]
    assert says in refusal(capsys, tmp_path, "figure", *named, "--out", tmp_path / "out")


def trained_to(path: Path, step: int, splits: int = 3) -> Path:
    """A run of ours whose training was stopped at a checkpoint."""
    run = Run.create(path, replace(SMOKE, data=replace(SMOKE.data, splits=splits)))
    world = HierarchicalWorld.of(run.recipe)
    events = train(world.ensemble(), world.split_samples(), world.task(), run)
    while next(events).step < step:
        pass
    events.close()
    return path


def test_a_run_that_is_still_training_is_judged_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trained_to(tmp_path / "run", 41)
    before = hashes(path / "checkpoints")
    page = tmp_path / "claims.md"
    assert command("claims", path, "--document", page) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{path}: 41 of 60 steps so far"
    assert "41 of 60 steps so far." in page.read_text()
    assert hashes(path / "checkpoints") == before
    assert command("figure", "fig4b", "--run", path, "--out", tmp_path / "figures") == 0
    assert hashes(path / "checkpoints") == before


@pytest.mark.parametrize(
    ("step", "splits", "says"), [(41, 2, "has 2 splits, which show no spread"), (9, 3, "has 3 checkpoints, too few to find a minimum")]
)
def test_what_has_no_intervals_is_refused_before_anything_is_measured(
    step: int, splits: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained_to(tmp_path / "run", step, splits)
    assert says in refusal(capsys, tmp_path, "claims", path)
    assert says in refusal(capsys, tmp_path, "figure", "fig4a", "--run", path, "--out", tmp_path / "out")


def test_every_figure_says_how_many_runs_it_takes() -> None:
    assert {name: (FIGURES[name].numbers[0], len(FIGURES[name].numbers) > 1) for name in NAMES} == {
        name: ({"fig6": 2}.get(name, 1), name == "fig3b") for name in NAMES
    }
