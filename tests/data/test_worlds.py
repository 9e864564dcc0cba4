"""Built-in images: the digits as scikit-learn has them, and faces that show what their tables say."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from twinsplit.data import face_drawing, faces, worlds
from twinsplit.data.celeba import SIZE, CelebaSource, read_attributes, read_identities
from twinsplit.data.frame import Frame
from twinsplit.data.images import ImageData
from twinsplit.data.preparing import prepare
from twinsplit.data.worlds import DIGITS, DigitsSource, write_faces
from twinsplit.errors import InputError
from twinsplit.workers import Inline

COUNT = 60


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "raw"
    write_faces(folder, COUNT, 3, Inline())
    return folder


@pytest.fixture(scope="module")
def data(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    return prepare(CelebaSource(raw), Frame(32, exact=SIZE), tmp_path_factory.mktemp("faces") / "out", Inline())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_digits_are_scikit_learns_to_the_bit(tmp_path: Path) -> None:
    data = prepare(DigitsSource(), DIGITS, tmp_path / "out", Inline())
    given = load_digits()
    assert np.array_equal(data.tensor().numpy()[:, 0] * 16, given.images)
    assert np.array_equal(data.labels()["digit"], given.target)
    assert float(data.tensor().max()) == 1.0


def test_the_layout_is_celebas(raw: Path, data: ImageData) -> None:
    assert len(data) == COUNT
    assert data.description["left_out"] == 0
    labels = data.labels()
    assert tuple(labels.columns[:40]) == faces.ATTRIBUTES
    assert len(set(faces.ATTRIBUTES)) == 40
    assert set(labels["partition"]) == {0, 1, 2}
    assert list(read_attributes(raw / "list_attr_celeba.txt").index) == [f"{i:06d}.jpg" for i in range(1, COUNT + 1)]
    repeats = read_identities(raw / "identity_CelebA.txt")["identity"].value_counts()
    assert 1 < repeats.mean() < 20
    assert repeats.index.max() <= faces.PER_BLOCK


def test_an_image_does_not_depend_on_how_many_are_made(raw: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "few", 7, 3, Inline())
    few, many = contents(tmp_path / "few"), contents(raw)
    for name in [name for name in few if name.endswith(".jpg")]:
        assert few[name] == many[name]
    lines = (tmp_path / "few" / "identity_CelebA.txt").read_text().splitlines()
    assert lines == (raw / "identity_CelebA.txt").read_text().splitlines()[:7]


def test_interrupted_drawing_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "BATCH", 16)
    drawn: list[int] = []

    def stopping(seed: int, image: int) -> bytes:
        if len(drawn) == 40:
            raise KeyboardInterrupt
        drawn.append(image)
        return original(seed, image)

    original = face_drawing.encoded
    with monkeypatch.context() as patch:
        patch.setattr(face_drawing, "encoded", stopping)
        with pytest.raises(KeyboardInterrupt):
            write_faces(tmp_path / "out", COUNT, 3, Inline())
    assert not (tmp_path / "out" / "list_attr_celeba.txt").exists()
    assert len(list((tmp_path / "out" / "img_align_celeba").iterdir())) == 32
    write_faces(tmp_path / "out", COUNT, 3, Inline())
    assert contents(tmp_path / "out") == contents(raw)


def test_another_request_for_the_same_folder_is_refused(raw: Path) -> None:
    with pytest.raises(InputError, match="something else"):
        write_faces(raw, COUNT, 4, Inline())
    with pytest.raises(InputError, match="at least 1"):
        write_faces(raw, 0, 3, Inline())


def undressed(image: int, **changes: object) -> tuple[np.ndarray, np.ndarray]:
    """One shot of a person with and without the changes to the shot, drawn with the same numbers otherwise."""
    from dataclasses import replace

    who = faces.person(0, faces.identity(0, image))
    how = replace(faces.shot(0, image, who), blurry=False, glasses=False, hat=False)
    drawn = [face_drawing._shapes(face_drawing.Sitter(who, shot))[0] for shot in (how, replace(how, **changes))]
    return np.asarray(drawn[0], dtype=float), np.asarray(drawn[1], dtype=float)


@pytest.mark.parametrize("image", range(5))
def test_eyeglasses_are_visible_and_only_around_the_eyes(image: int) -> None:
    without, with_glasses = undressed(image, glasses=True)
    changed = np.abs(without - with_glasses).max(-1) > 30
    rows, columns = np.nonzero(changed)
    assert 200 < changed.sum() < 4000
    assert rows.min() > 85
    assert rows.max() < 140
    assert columns.max() - columns.min() > 40


def test_both_values_of_the_main_attributes_occur_and_follow_the_identity() -> None:
    people = [faces.person(0, number) for number in range(400)]
    assert 0.35 < np.mean([who.male for who in people]) < 0.49
    shots = [faces.shot(0, image, faces.person(0, faces.identity(0, image))) for image in range(400)]
    assert 0.03 < np.mean([how.glasses for how in shots]) < 0.35


def test_near_duplicates_are_near_and_others_are_not() -> None:
    pairs = [(image, faces.original(0, image)) for image in range(400)]
    repeats = [(image, first) for image, first in pairs if image != first]
    assert 4 <= len(repeats) <= 32  # 4% of 400: outside with probability below 1e-3
    small = {image: Frame(20).pixels(face_drawing.picture(0, image)).astype(float).ravel() for pair in repeats[:6] for image in pair}
    for image, first in repeats[:6]:
        assert np.corrcoef(small[image], small[first])[0, 1] > 0.95
        assert faces.identity(0, image) == faces.identity(0, first)
        assert not np.array_equal(small[image], small[first])
    others = [faces.identity(0, image) for image in range(40)]
    assert len(set(others)) > 10
