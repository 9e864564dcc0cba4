"""The command line on images at smoke scale: quickstart killed and taken up again, every verb on its run, refusals in one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from commands import command, files
from twinsplit.data.images.folder import store_images
from twinsplit.errors import InputError
from twinsplit.measures.frechet import frechet_distance
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld


def called(*words: str | Path, status: int = 0) -> None:
    """The command line, in this process."""
    assert command(*words) == status


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line of a refusal."""
    capsys.readouterr()
    called(*words, status=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("train:", "measure:", "fid:"))]
    assert len(lines) == 1, lines
    assert lines[0].startswith("twinsplit: ")
    assert ";" in lines[0]
    return lines[0]


def quickstart(out: Path) -> "subprocess.Popen[bytes]":
    words = ["quickstart", "--world", "digits", "--scale", "smoke", "--workers", "2", "--out", str(out)]
    line = [sys.executable, "-m", "twinsplit.cli", *words]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quickstart of two worker processes, killed when its first checkpoint stood, and finished by the same command."""
    out = tmp_path_factory.mktemp("digits") / "run"
    process = quickstart(out)
    while process.poll() is None and not list(out.glob("checkpoints/*.optimizer.safetensors")):
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "measurements").exists()
    called("quickstart", "--world", "digits", "--scale", "smoke", "--workers", "1", "--out", out)
    return out


def test_two_workers_a_kill_and_another_command_change_no_bit(killed: Path, image_run: Run[Any]) -> None:
    """The same recipe trained for the figures by one process without a stop."""
    ours, theirs = files(killed), files(image_run.path)
    kinds = ("checkpoints/", "measurements/", "config.json", "data.json")
    shared = [name for name in ours if name.startswith(kinds) and name in theirs]
    assert len([name for name in shared if name.startswith("checkpoints/step_")]) >= 7
    assert {name.split("/")[1] for name in shared if name.startswith("measurements/")} >= {
        "bayes.json", "fixed_time_loss.parquet", "memorization.parquet", "noise_similarity.parquet", "sample_similarity.parquet",
        "sample_split_divergence.parquet", "samples", "test_loss.parquet", "train_loss.parquet", "two_sample.parquet",
    }  # fmt: skip
    assert [name for name in shared if ours[name] != theirs[name]] == []


def test_the_page_shows_what_was_drawn_and_fetches_nothing(killed: Path) -> None:
    page = (killed / "report.html").read_text()
    assert len(page) < 2_500_000
    pictures = re.findall(r"<img[^>]*>", page)
    run = Run.open(killed)
    assert 1 <= len(pictures) == len(run.measured("sample_similarity")) <= 3
    for picture in pictures:
        assert 'src="data:image/png;base64,' in picture
        assert 'alt="Rows from above: the nearest training image of split 0; the sample of its network;' in picture
    tags = re.findall(r"<(?:img|script|link|iframe|source)\b[^>]*>", page)
    assert all(value.startswith(("data:", "#")) for tag in tags for value in re.findall(r"(?:src|href)=[\"']?([^\"' >]*)", tag))
    for text in (
        "Cosine similarity of samples",
        "Memorized fraction",
        "nats per image",
        "3 disjoint splits of 16 images",
        "on 24 held-out ones",
    ):
        assert text in page
    assert "Oracle divergence" not in page
    assert "--world digits" in page


def test_the_same_command_recomputes_nothing(killed: Path) -> None:
    made = [p for p in killed.rglob("*") if p.is_file() and p.parent.name not in ("figures", "run") and p.name not in ("onset.json",)]
    before = {path: path.stat().st_mtime_ns for path in made}
    called("quickstart", "--world", "digits", "--scale", "smoke", "--out", killed, "--workers", "1")
    assert {path for path in made if path.stat().st_mtime_ns != before[path]} == set()


def test_every_verb_on_a_run_of_images(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    shutil.rmtree(run / "measurements")
    called("measure", run, "--workers", "1")
    called("onset", run)
    assert (run / "measurements" / "onset.json").read_bytes() == (killed / "measurements" / "onset.json").read_bytes()
    capsys.readouterr()
    called("onset", run, "--json")
    assert json.loads(capsys.readouterr().out)["verdict"] in (
        "bias_precedes_test_minimum",
        "no_bias_before_test_minimum",
        "not_enough_power",
    )
    called("report", run)  # without samples: no galleries
    assert "<img" not in (run / "report.html").read_text()
    called("measure", run, "sample_similarity", "noise_difference", "--workers", "1")
    steps = Run.open(run).steps()
    assert Run.open(run).measured("sample_similarity") == Run.open(run).measured("memorization") == steps
    assert Run.open(run).measured("noise_difference") == Run.open(run).measured("two_sample") == steps
    assert "choose among sample_split_divergence" in refused(capsys, "measure", run, "nearest_neighbours")
    assert "is a run on images" in refused(capsys, "claims", run)
    assert "one is of images, the other of sequences" in refused(capsys, "quickstart", "--scale", "smoke", "--out", run)


def test_training_by_preset_and_by_recipe_is_one(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The written configuration is a recipe; a dry run of it writes nothing."""
    (tmp_path / "mine.json").write_bytes((killed / "config.json").read_bytes())
    capsys.readouterr()
    called("train", tmp_path / "mine.json", "--dry-run", "--workers", "1", "--out", tmp_path / "run")
    said = capsys.readouterr().out
    assert "3 (3 splits of 16)" in said
    assert "24 steps of 8 samples = 12 epochs; 7 checkpoints" in said
    assert not (tmp_path / "run").exists()
    called("train", tmp_path / "mine.json", "--workers", "1", "--out", killed)
    assert "seed 0 there, 4 asked" in refused(capsys, "train", "--world", "digits", "--scale", "smoke", "--seed", "4", "--out", killed)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["figure", "fig2", "--scale", "paper"], "this scale needs CelebA; prepare it"),
        (["figure", "fig4a", "--data", "X"], "fig4a has no --data; leave it out: it is for fig1a, fig2, fig7, fig8"),
        (["figure", "gtv1", "--data", "X"], "gtv1 has no --data"),
        (["figure", "fig2", "--scale", "smoke", "--seeds", "2"], "use --seeds 3 or more"),
        (["figure", "fig2", "--scale", "smoke", "--data", "nowhere"], "does not exist"),
        (["quickstart", "--world", "digits", "--scale", "paper"], "--world digits has no paper scale"),
        (["train", "--world", "digits", "--scale", "paper"], "use smaller or fewer splits, or more data"),
        (["train", "--world", "digits", "--scale", "smoke", "--data", "nowhere"], "does not exist"),
    ],
)
def test_bad_input_writes_nothing(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, *words, "--out", "out")
    assert list(tmp_path.iterdir()) == []


def test_the_two_sample_test_of_samples_that_stand_draws_nothing(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    for step in Run.open(run).steps():  # a run whose samples are of before there was the test
        (run / "measurements" / "two_sample.parquet" / f"step_{step:08d}.parquet").unlink(missing_ok=True)
    called("measure", run, "two_sample", "--workers", "1")
    assert Run.open(run).measured("two_sample") == Run.open(run).steps()
    for part in (killed / "measurements").glob("*/step_*"):
        assert (run / part.relative_to(killed)).read_bytes() == part.read_bytes()
    assert "sample_similarity, two_sample" in refused(capsys, "measure", run, "nonsense")


def saved(path: Path, network: torch.nn.Module) -> Path:
    torch.jit.script(network).save(str(path))
    return path


def test_frechet_distances_of_features_from_a_local_file(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchmetrics")
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    torch.manual_seed(0)
    first = saved(tmp_path / "first.pt", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    other = saved(tmp_path / "other.pt", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    before = files(run)
    assert "fid with 0 feature networks; give one: --features FILE" in refused(capsys, "measure", run, "fid")
    assert "fid with 2 feature networks" in refused(capsys, "measure", run, "fid", "--features", first, "--inception", first)
    assert "name `fid` too" in refused(capsys, "measure", run, "test_loss", "--features", first)
    assert "none is downloaded" in refused(capsys, "measure", run, "fid", "--inception", tmp_path / "absent.pt")
    assert files(run) == before
    called("measure", run, "fid", "--features", first, "--workers", "1")
    opened, world = Run.open(run), ImageWorld.of(Run.open(run).recipe)
    assert opened.measured("fid") == opened.measured("sample_similarity")
    step, network = opened.measured("fid")[-1], torch.jit.load(str(first))
    rows = [r for r in opened.table("fid").to_pylist() if r["step"] == step]
    held_out = network((world.pictures[1] * 255).round() / 255).double()
    for k in range(3):
        made = network(opened.tensors("samples", step)["images"][k].float() / 255).double()
        (found,) = [r for r in rows if (r["source"], r["member"]) == ("generated", k)]
        assert found["values"][0] == pytest.approx(frechet_distance(made.detach(), held_out.detach()), rel=1e-4)
        real = network((world.pictures[0][k][:6] * 255).round() / 255).double()
        (found,) = [r for r in rows if (r["source"], r["split"]) == ("training", k)]
        assert found["values"][0] == pytest.approx(frechet_distance(real.detach(), held_out.detach()), rel=1e-4)
    assert "distances of other features" in refused(capsys, "measure", run, "fid", "--features", other, "--workers", "1")
    called("report", run)
    assert "Fréchet distance to the 24 held-out images" in (run / "report.html").read_text()


def test_features_that_do_not_take_these_images_are_refused(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchmetrics")
    wrong = saved(tmp_path / "wrong.pt", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)))
    for option, channels in (("--features", 1), ("--inception", 3)):
        run = tmp_path / option
        shutil.copytree(killed, run)
        assert f"fails on images of shape (1, {channels}, 8, 8)" in refused(capsys, "measure", run, "fid", option, wrong)


def test_distances_of_a_run_without_samples_are_refused(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(killed, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "measurements" / "sample_similarity.parquet")
    features = saved(tmp_path / "fit.pt", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
    assert "has no samples yet; draw them first" in refused(capsys, "measure", tmp_path / "run", "fid", "--features", features)


def test_the_figure_of_drawn_faces_by_the_documented_commands(tmp_path: Path) -> None:
    """docs/image-world.md at smoke scale: faces drawn, prepared at 16 x 16, learned from."""
    pytest.importorskip("matplotlib")
    called("data", "faces", "--make", "80", "--out", tmp_path / "faces", "--workers", "1")
    called("data", "celeba", tmp_path / "faces", "--size", "16", "--out", tmp_path / "faces16", "--workers", "1")
    options = ["figure", "fig1a", "--scale", "smoke", "--data", tmp_path / "faces16", "--out", tmp_path / "figures", "--workers", "1"]
    called(*options)
    assert (tmp_path / "figures" / "fig1a.png").read_bytes().startswith(b"\x89PNG")
    (run,) = (tmp_path / "figures" / "runs").iterdir()
    assert Run.open(run).tensors("samples", Run.open(run).steps()[-1])["images"].shape == (3, 6, 1, 16, 16)


@pytest.mark.parametrize(("count", "fits"), [(1_780, True), (1_779, False)])
def test_the_laptop_setting_fits_a_folder_of_faces(tmp_path: Path, count: int, fits: bool) -> None:
    """Five splits of 256 and 500 held-out images of 16 x 16 pixels."""
    from twinsplit.papers.bg.images.settings import SETTINGS

    recipe = SETTINGS["laptop"].recipe(0, None, data_folder(tmp_path / "data", 0, side=16, width=16, count=count))
    if not fits:
        with pytest.raises(InputError, match="use smaller or fewer splits, or more data"):
            ImageWorld.of(recipe)
        return
    world = ImageWorld.of(recipe)
    assert (world.splits.rows.shape, len(world.splits.held_out), world.network.size) == ((5, 256), 500, 16)


RECIPE = """world = "images"
base = "paper"
[data]
splits = 3
split_size = 4
held_out = 3
[network]
channels = [8, 8]
layers_per_block = 1
attention = []
[diffusion]
T = 50
[training]
steps = 2
batch = 4
first_checkpoint = 1
checkpoints = 2
[measuring]
times = [3]
train_images = 2
"""


def data_folder(path: Path, seed: int, side: int = 8, width: int = 8, count: int = 20) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 1, side, width)).astype(np.uint8)
    table = pd.DataFrame({"name": [f"{i}.png" for i in range(count)], "bytes": 1, "sha256": "0"})
    store_images(path, [pixels], pixels.shape, (table, None), {"source": {"kind": "test"}, "white": 255})
    return path


def test_data_that_changed_since_the_run_began_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Altered bytes by the folder's own fingerprint; another folder in its place by the run's."""
    data, run = data_folder(tmp_path / "data", 0), tmp_path / "run"
    (tmp_path / "recipe.toml").write_text(RECIPE)
    train = ["train", tmp_path / "recipe.toml", "--data", data, "--workers", "1", "--out", run]
    called(*train)
    before = files(run)
    content = bytearray((data / "images.npy").read_bytes())
    content[-1] ^= 1
    (data / "images.npy").write_bytes(bytes(content))
    assert "changed since it was made" in refused(capsys, *train)
    shutil.rmtree(data)
    data_folder(data, 1)
    assert "changed since the run began" in refused(capsys, *train)
    assert "changed since the run began" in refused(capsys, "measure", run, "--workers", "1")
    assert files(run) == before


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (RECIPE.replace("[8, 8]", "[8, 12]"), "no multiples of network.norm_groups 8"),
        (RECIPE.replace("split_size = 4", "split_size = 7"), "use smaller or fewer splits"),
        (RECIPE.replace("held_out = 3", "held_out = 9"), "data.held_out = 9, 8 of 20 images are left"),
        (RECIPE.replace("held_out = 3", 'held_out = 3\nfilter = "pca"\ncomponents = 65'), "choose from 1 to"),
        (RECIPE.replace("times = [3]", "times = [300]"), "time 300 lies after T = 50"),
        (RECIPE.replace("T = 50", "T = 20"), "at least T = 21"),
        (RECIPE.replace("steps = 2", 'steps = 2\ntimes = "fixed"'), "give a time from 1"),
    ],
)
def test_recipes_that_do_not_fit_write_nothing(tmp_path: Path, recipe: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    data = data_folder(tmp_path / "data", 0)
    assert says in refused(capsys, "train", tmp_path / "recipe.toml", "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_that_are_not_square_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    data = data_folder(tmp_path / "data", 0, side=6)
    assert "prepare square ones" in refused(capsys, "train", tmp_path / "recipe.toml", "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_figure_from_a_folder_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--data replaces the digits; the figure's runs say so. Only what comes before training is run here."""
    from twinsplit.papers.bg.images.settings import SETTINGS

    data = data_folder(tmp_path / "data", 0)
    recipe = SETTINGS["smoke"].recipe(1, 4, data)
    assert (recipe.data.path, recipe.data.splits, recipe.seed) == (str(data.resolve()), 4, 1)
    assert "a split needs 16 samples" in refused(capsys, "figure", "fig2", "--scale", "smoke", "--data", data, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
