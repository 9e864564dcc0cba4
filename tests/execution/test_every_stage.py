"""Every stage hands its executor pure functions: with one that copies whatever it is given, all that is stored has the same bits."""

from pathlib import Path

import pytest
from copying import Copying

from every_stage import WORK, cases, trained
from twinsplit.data.images.builtin import IMAGES, write_faces
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import prepare
from twinsplit.data.images.sources import FolderSource
from twinsplit.execution.local import Executor, Inline


def stored(folder: Path) -> dict[str, bytes]:
    kinds = ("*.safetensors", "*.parquet", "*.json", "*.npy", "*.png", "*.jpg")
    files = [path for kind in kinds for path in folder.rglob(kind) if path.is_file()]
    told = ("environment.json", "status.json")  # when and where, which differs
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in told}


@pytest.mark.parametrize("case", WORK)
def test_training_and_every_measure_store_the_same_bits(case: str, tmp_path: Path) -> None:
    if case == "images":
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    recipe = cases(steps=14, checkpoints=7)[case]
    for name, executor in {"inline": Inline(), "copying": Copying()}.items():
        WORK[case](trained(tmp_path / name, recipe, executor))
    here, copied = stored(tmp_path / "inline"), stored(tmp_path / "copying")
    assert len([name for name in here if name.endswith(".parquet")]) > 8
    assert here.keys() == copied.keys()
    assert [name for name in here if here[name] != copied[name]] == []


def test_faces_are_drawn_and_prepared_alike(tmp_path: Path) -> None:
    def made(out: Path, executor: Executor) -> dict[str, bytes]:
        write_faces(out / "raw", 24, FaceSet(seed=0, people=8), executor)
        prepare(FolderSource(out / "raw" / IMAGES), Frame(8), out / "data", executor)
        return {name: content for name, content in stored(out).items() if not name.endswith(".json")}

    assert made(tmp_path / "inline", Inline()) == made(tmp_path / "copying", Copying())
