"""A folder of another kind is named for what it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prepared import drawn, stored
from twinsplit.cli.data import check
from twinsplit.cli.options import Compute
from twinsplit.cli.run import train
from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.images.folder import load_images
from twinsplit.data.sequences import SequenceData, load_sequences
from twinsplit.errors import InputError
from twinsplit.recipes import SMOKE
from twinsplit.runs.store import Run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return stored(tmp_path / "images", drawn()[0]).folder


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    SequenceData.drawn(TreeGrammar.random(4, 2, 2, 1.0, 0), 20, 0, 0, {}).save(tmp_path / "sequences")
    return tmp_path / "sequences"


def test_images_where_sequences_are_wanted(images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images holds images; learn from it with --world digits, or with a recipe"):
        train(scale="smoke", data=images, out=tmp_path / "run", compute=Compute(workers=1))
    assert not (tmp_path / "run").exists()


def test_sequences_where_images_are_wanted(sequences: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sequences holds no images; give a folder of"):
        train(scale="smoke", world="digits", data=sequences, out=tmp_path / "run", compute=Compute(workers=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [load_images, load_sequences, check])
def test_a_run_is_no_data_folder(sequences: Path, tmp_path: Path, options: Callable[[Path], object]) -> None:
    run = Run.create(tmp_path / "run", SMOKE)
    (run.path / "data.json").write_bytes((sequences / "data.json").read_bytes())
    with pytest.raises(InputError, match="run is a run folder; give the folder of data"):
        options(run.path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("data.json", "[]"), ("data.json", "{}"), ("data.json", '{"origin": 5}'), ("grammar.json", "[]"), ("grammar.json", "{}")],
)
def test_damaged_descriptions_are_refused(sequences: Path, name: str, text: str) -> None:
    (sequences / name).write_text(text)
    for options in (load_sequences, check):
        with pytest.raises(InputError):
            options(sequences)
