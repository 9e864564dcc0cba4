"""The command line: every verb at smoke scale, and every refusal in one line with exit status 2."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import twinsplit as ts
from commands import files, refusal, refusing_line, twinsplit


def elsewhere(*words: str | Path, expect: int = 0, **options: object) -> str:
    """Standard error of a command in a process of its own."""
    command = [sys.executable, "-m", "twinsplit.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == expect, done.stdout + done.stderr
    return str(done.stderr)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke run."""
    path = tmp_path_factory.mktemp("cli") / "run"
    elsewhere("quickstart", "--scale", "smoke", "--out", path)
    return path


def test_quickstart_leaves_a_whole_run_folder(run: Path) -> None:
    names = set(files(run))
    expected = {"config.json", "environment.json", "data.json", "status.json", "report.html", "measurements/onset.json"}
    assert expected <= names
    assert not [name for name in names if name.endswith((".part", ".pkl", ".pt"))]
    page = (run / "report.html").read_text()
    assert len(page) < 2_000_000
    assert "quickstart --scale smoke" in page


def test_quickstart_again_recomputes_nothing(run: Path) -> None:
    before = {name: (run / name).stat().st_mtime_ns for name in files(run) if name.startswith(("checkpoints", "measurements/test_loss"))}
    twinsplit("quickstart", "--scale", "smoke", "--out", run)
    assert before == {name: (run / name).stat().st_mtime_ns for name in before}


def test_onset_prints_one_json_object(run: Path) -> None:
    decision = json.loads(twinsplit("onset", run, "--json").stdout)
    wanted = {"verdict", "onset_step", "onset_interval", "test_loss_minimum_step", "test_loss_minimum_interval", "reason"}
    assert wanted <= set(decision)
    assert decision["verdict"] in {"bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power"}
    words = twinsplit("onset", run).stdout
    assert words.startswith(decision["verdict"])


def test_stage_by_stage_equals_quickstart(run: Path, tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    twinsplit("train", "--scale", "smoke", "--out", staged, "--workers", "2")
    twinsplit("measure", staged, "--workers", "1")
    twinsplit("onset", staged)
    twinsplit("report", staged)
    whole = files(run)
    for name, content in files(staged).items():
        if name.endswith((".parquet", ".safetensors")) or name == "measurements/onset.json":
            assert content == whole[name], name
    twinsplit("measure", staged, "nearest_neighbours")
    assert len(list((staged / "measurements" / "nearest_neighbours.parquet").iterdir())) > 2


def test_data_of_a_folder_trains(tmp_path: Path) -> None:
    grammar = ["data", "grammar", "--samples", "500", "--vocab-size", "4", "--depth", "2", "--rules-per-symbol", "2"]
    twinsplit(*grammar, "--out", tmp_path / "data")
    assert "intact" in twinsplit("data", "check", tmp_path / "data").stdout
    twinsplit(*grammar, "--out", tmp_path / "data")
    assert "holds something else" in refusal(*grammar, "--seed", "1", "--out", tmp_path / "data")
    train = ["train", "--scale", "smoke", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    twinsplit(*train)
    content = bytearray((tmp_path / "data" / "sequences.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "data" / "sequences.npy").write_bytes(bytes(content))
    assert "changed since it was made" in refusal("data", "check", tmp_path / "data")
    assert "changed since it was made" in refusal(*train)


RECIPE = 'base = "paper"\n[data]\ndepth = 2\nvocab_size = 4\nrules_per_symbol = 2\nsamples = 600\nsplit_size = 6\nheld_out = 20\n'


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (RECIPE.replace("split_size = 6", "split_size = 5000"), "smaller or fewer splits, or more data"),
        (RECIPE.replace("rules_per_symbol = 2", "rules_per_symbol = 9"), "rules per symbol"),
        (RECIPE.replace("depth = 2", "depth = 0"), "depth"),
        (RECIPE.replace("vocab_size = 4", "vocab_size = 1"), "vocab"),
        (RECIPE + "size = 3\n", "unknown key 'size'"),
        (RECIPE + "[network]\nwidth = 30\nheads = 4\n", "not a multiple"),
        (RECIPE + "[diffusion]\nT = 5\n", "at least T = 21"),
    ],
)
def test_recipes_that_do_not_fit_write_nothing(tmp_path: Path, recipe: str, says: str) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    assert says in refusal("train", tmp_path / "recipe.toml", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_configuration_is_refused(run: Path) -> None:
    before = files(run)
    assert "another configuration (seed 0 there, 3 asked)" in refusal("quickstart", "--scale", "smoke", "--seed", "3", "--out", run)
    assert files(run) == before


def test_stages_out_of_order_name_the_missing_one(tmp_path: Path) -> None:
    assert "not a run folder" in refusal("measure", tmp_path)
    (tmp_path / "recipe.toml").write_text(
        RECIPE + "[training]\nsteps = 2\nfirst_checkpoint = 1\nbatch = 3\n[network]\nwidth = 8\nlayers = 1\n"
    )
    twinsplit("train", tmp_path / "recipe.toml", "--out", tmp_path / "run")
    assert "run: twinsplit measure" in refusal("onset", tmp_path / "run")
    assert "no measure named 'accuracy'" in refusal("measure", tmp_path / "run", "accuracy")
    assert not (tmp_path / "run" / "measurements").exists()


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    """Files may not grow past 8 kB: the configuration fits, the first checkpoint does not (nor numba's list of what it has compiled, where
    this is the first to need it).
    """

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))

    words = ("train", "--scale", "smoke", "--out", tmp_path / "run", "--workers", "1")
    line = refusing_line(elsewhere(*words, expect=2, preexec_fn=no_large_files))
    assert "cannot write" in line
    assert "intact" in line
    left = {name for name in files(tmp_path / "run") if "checkpoints" in name}
    assert not left
    twinsplit(*words)


def test_training_that_diverges_is_said(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        RECIPE + "[training]\nlearning_rate = 1e30\nschedule = 'constant'\nsteps = 9\nfirst_checkpoint = 1\nbatch = 3\n"
        "precision = 'float32'\n[network]\nwidth = 8\nlayers = 1\nheads = 2\n"
    )
    assert "lower training.learning_rate" in refusal("train", tmp_path / "recipe.toml", "--out", tmp_path / "run")


def test_unknown_words_are_refused() -> None:
    for words in (["quickstart", "--sede", "1"], ["quickstart", "--workers", "two"], ["train", "--scale", "huge"], ["data"], []):
        twinsplit(*words, expect=2)
    assert "0 for one per core" in refusal("quickstart", "--workers", "-1")


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["messure", "RUN"], "twinsplit measure"),
        (["quikstart", "--scale", "smoke"], "twinsplit quickstart"),
        (["data", "foldr", "DIR"], "twinsplit data folder"),
        (["import", "checkpoint"], "twinsplit import checkpoints"),
    ],
)
def test_a_wrong_verb_is_answered_with_the_nearest(words: list[str], nearest: str) -> None:
    assert refusal(*words).endswith(f"; did you mean `{nearest}`?")


def test_the_version_is_named() -> None:
    assert twinsplit("--version").stdout == f"twinsplit {ts.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [("quickstart",), ("train",), ("train", "--dry-run"), ("quickstart", "--dry-run"), ("figure", "fig4a"), ("claims",)],
    ids=" ".join,
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(words: tuple[str, ...], tmp_path: Path) -> None:
    assert "cuda:77 does not work here" in refusal(*words, "--scale", "smoke", "--device", "cuda:77", "--out", "out", cwd=tmp_path)
    assert not files(tmp_path)


def test_a_finished_run_is_not_measured_on_a_device_that_is_not_there(run: Path) -> None:
    before = files(run)
    assert "cuda:77 does not work here" in refusal("measure", run, "nearest_neighbours", "--device", "cuda:77")
    assert files(run) == before


@pytest.mark.parametrize(
    "verb",
    [
        "",
        "quickstart",
        "data",
        "data grammar",
        "data check",
        "import",
        "import data",
        "import checkpoints",
        "train",
        "measure",
        "onset",
        "report",
        "figure",
        "claims",
        "export",
        "doctor",
    ],
)
def test_every_verb_explains_itself(verb: str) -> None:
    assert "usage: twinsplit" in twinsplit(*verb.split(), "--help").stdout


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    said = twinsplit("train", "--scale", "smoke", "--dry-run", "--out", tmp_path / "run", "--workers", "1", cwd=tmp_path).stdout
    assert not list(tmp_path.iterdir())
    assert "60 steps of 6 samples = 60 epochs" in said
    assert "networks at once: 1, one thread each" in said
    assert "choose 0 to the depth" in refusal("train", recipe_file(tmp_path, "[data]\nfactorised = 9\n"), "--dry-run")


def test_a_dry_run_of_quickstart_says_what_that_of_train_says(tmp_path: Path) -> None:
    """But for what is timed."""
    words = ("--scale", "smoke", "--dry-run", "--workers", "1", "--out", tmp_path / "run")
    train, quickstart = (twinsplit(verb, *words, cwd=tmp_path).stdout.splitlines() for verb in ("train", "quickstart"))
    assert [line.split()[0] for line in train] == [line.split()[0] for line in quickstart]
    assert train[0] == quickstart[0]
    assert not list(tmp_path.iterdir())
    assert "has no paper scale" in refusal("quickstart", "--world", "digits", "--scale", "paper", "--dry-run")


def test_a_dry_run_of_a_figure_sums_its_runs_and_writes_nothing(tmp_path: Path) -> None:
    words = ("--scale", "smoke", "--dry-run", "--workers", "1", "--out", tmp_path / "out")
    said = twinsplit("figure", "fig4a", *words, cwd=tmp_path).stdout
    assert "60 steps of 6 samples = 60 epochs" in said
    assert said.splitlines()[-1].startswith("fig4a: 1 run")
    assert twinsplit("figure", "gtv1", *words, cwd=tmp_path).stdout == "gtv1: it trains no networks\n"
    assert "there is no figure" in refusal("figure", "fig99", *words)
    assert not list(tmp_path.iterdir())


def recipe_file(folder: Path, text: str) -> Path:
    (folder / "given.toml").write_text(text)
    return folder / "given.toml"


def test_a_figure_from_the_command_line(tmp_path: Path) -> None:
    files = twinsplit("figure", "gtv1", "--scale", "smoke", "--out", tmp_path).stdout.split()
    assert all(Path(file).is_file() for file in files)
    assert {Path(file).suffix for file in files} == {".png", ".pdf", ".parquet", ".json"}
    assert "choose one of fig1a, fig2" in refusal("figure", "fig99", "--out", tmp_path)


def test_doctor_names_what_there_is() -> None:
    lines = twinsplit("doctor").stdout
    for name in ("torch", "numba", "accelerator", "disk"):
        assert name in lines
