"""`twinsplit import` from the command line: the commands of docs/import.md, and every refusal in one line that writes nothing."""

import json
import shlex
from pathlib import Path

import pytest

from authors import GRAMMAR_WORDS, write_data, write_member
from commands import run_in
from twinsplit.data.grammar import TreeGrammar
from twinsplit.runs.files import fingerprint

PAGE = Path(__file__).parents[3] / "docs" / "import.md"


def hashes(folder: Path) -> dict[Path, str]:
    """SHA-256 of every file."""
    return {path: fingerprint(path.read_bytes()) for path in folder.iterdir()}


def refusal(folder: Path, *words: str) -> str:
    """The one line of a refused command, after which the folder is as it was."""
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    done = run_in(folder, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("twinsplit: ")
    assert ";" in lines[0]
    return lines[0]


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    write_data(tmp_path / "dataset.npy", 500, 1, TreeGrammar.published())
    for split in range(4):
        write_member(tmp_path / "results" / f"seed_{split}", split, (1, 2, 4, 8, 16, 32), "_orig_mod.", q=6, l=4)
    commands = [shlex.split(line) for line in PAGE.read_text().splitlines() if line.startswith("twinsplit ")]
    assert len(commands) == 7
    said = []
    for command in commands:
        here = ["--workers", "1"] if command[1] in ("measure", "claims", "figure") else []
        done = run_in(tmp_path, *command[1:], *here)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
        if command[:3] == ["twinsplit", "import", "checkpoints"]:
            imported = hashes(tmp_path / "imported" / "run" / "checkpoints")
    assert "500 sequences of 16 tokens, 0.000% impossible" in said[0]
    assert "4 networks on splits 0, 1, 2, 3 at 6 epochs" in said[1]
    onset = json.loads((tmp_path / "imported" / "run" / "measurements" / "onset.json").read_text())
    assert said[3].startswith(onset["verdict"])
    assert (tmp_path / "imported" / "run" / "report.html").is_file()
    steps = sorted(path.name for path in (tmp_path / "imported" / "run" / "measurements" / "test_loss.parquet").iterdir())
    assert steps == [f"step_{2 * epoch:08d}.parquet" for epoch in (1, 2, 4, 8, 16, 32)]
    assert hashes(tmp_path / "imported" / "run" / "checkpoints") == imported
    assert said[5].startswith("imported/run: 64 steps\n  C1 ")
    assert (tmp_path / "imported" / "figures" / "fig4b.png").is_file()
    # an imported run cannot be trained on, not even from its own recipe, and not made anew
    line = refusal(tmp_path, "train", "imported/run/config.json", "--out", "imported/run")
    assert "imported networks, which cannot be trained on" in line
    assert "imported/run exists" in refusal(tmp_path, *commands[1][1:])
    # the imported data are data like any other
    recipe = (
        "base = 'laptop'\n[data]\nsplit_size = 6\nheld_out = 20\n"
        "[training]\nsteps = 2\nfirst_checkpoint = 1\nbatch = 3\n[network]\nwidth = 8\nlayers = 1\n"
    )
    (tmp_path / "recipe.toml").write_text(recipe)
    done = run_in(tmp_path, "train", "recipe.toml", "--data", "imported/data", "--out", "twins", "--workers", "1")
    assert done.returncode == 0, done.stderr


def test_nothing_is_opened_without_trust(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npy")
    write_member(tmp_path / "theirs" / "seed_0", 0, (2,))
    write_member(tmp_path / "theirs" / "seed_1", 1, (2,))
    line = refusal(tmp_path, "import", "data", "data.npy", "--out", "data", *GRAMMAR_WORDS)
    assert "data.npy (.npy, object of shape (60,)) was not opened" in line
    line = refusal(tmp_path, "import", "checkpoints", "theirs", "--data", "data", "--out", "run")
    assert "model_epoch_2.pt (a zip archive of PyTorch) was not opened" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data.npy", "--grammar-seed", "1", *GRAMMAR_WORDS], "are impossible under this grammar"),
        (["data.npy"], "a tree of this depth has 16 leaves"),
        (["data.npy", *GRAMMAR_WORDS, "--impossible", "2"], "give a fraction"),
        (["data.npy", *GRAMMAR_WORDS, "--rules-per-symbol", "9"], "rules per symbol"),
        (["none.npy", *GRAMMAR_WORDS], "is no file"),
        (["text.npy", *GRAMMAR_WORDS], "is no .npy file"),
    ],
)
def test_data_that_are_refused(tmp_path: Path, words: list[str], says: str) -> None:
    write_data(tmp_path / "data.npy")
    (tmp_path / "text.npy").write_text("dear reader")
    assert says in refusal(tmp_path, "import", "data", *words, "--out", "data", "--trusted")


def test_checkpoints_without_their_data(tmp_path: Path) -> None:
    for split in (0, 1):
        write_member(tmp_path / "theirs" / f"seed_{split}", split, (2,))
    assert "data.json does not exist" in refusal(tmp_path, "import", "checkpoints", "theirs", "--data", "data", "--out", "run", "--trusted")
    assert "none.json does not exist" in refusal(
        tmp_path, "import", "checkpoints", "theirs", "--data", "data", "--out", "run", "--trusted", "--names", "none.json"
    )
