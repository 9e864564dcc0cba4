"""Built-in images: the digits as scikit-learn has them, and faces that show what their tables say."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from twinsplit.data.images import builtin as worlds
from twinsplit.data.images import face_drawing, faces
from twinsplit.data.images.builtin import DIGITS, DigitsSource, write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource, read_attributes, read_identities
from twinsplit.data.images.folder import ImageData
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import prepare
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

COUNT = 60
ALBUM = faces.Album(3, people=20)
MANY = faces.Album()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "raw"
    write_faces(folder, COUNT, ALBUM, Inline())
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
    assert repeats.index.max() <= ALBUM.people


def test_an_image_does_not_depend_on_how_many_are_made(raw: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "few", 7, ALBUM, Inline())
    few, many = contents(tmp_path / "few"), contents(raw)
    for name in [name for name in few if name.endswith(".jpg")]:
        assert few[name] == many[name]
    lines = (tmp_path / "few" / "identity_CelebA.txt").read_text().splitlines()
    assert lines == (raw / "identity_CelebA.txt").read_text().splitlines()[:7]


def test_interrupted_drawing_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "BATCH", 16)
    drawn: list[int] = []

    def stopping(album: faces.Album, image: int) -> bytes:
        if len(drawn) == 40:
            raise KeyboardInterrupt
        drawn.append(image)
        return original(album, image)

    original = face_drawing.encoded
    with monkeypatch.context() as patch:
        patch.setattr(face_drawing, "encoded", stopping)
        with pytest.raises(KeyboardInterrupt):
            write_faces(tmp_path / "out", COUNT, ALBUM, Inline())
    assert not (tmp_path / "out" / "list_attr_celeba.txt").exists()
    assert len(list((tmp_path / "out" / "img_align_celeba").iterdir())) == 32
    write_faces(tmp_path / "out", COUNT, ALBUM, Inline())
    assert contents(tmp_path / "out") == contents(raw)


def test_another_request_for_the_same_folder_is_refused(raw: Path) -> None:
    with pytest.raises(InputError, match="something else"):
        write_faces(raw, COUNT, faces.Album(4, 20), Inline())
    with pytest.raises(InputError, match="at least 1"):
        write_faces(raw, 0, ALBUM, Inline())


def undressed(image: int, **changes: object) -> tuple[np.ndarray, np.ndarray]:
    """One shot of a person with and without the changes to the shot, drawn with the same numbers otherwise."""
    from dataclasses import replace

    who = MANY.person(image)
    how = replace(MANY.shot(image), blurry=False, glasses=False, hat=False)
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


def test_attributes_have_the_rates_they_are_drawn_with() -> None:
    """Intervals of five standard deviations."""
    shots = [(MANY.person(image), MANY.shot(image)) for image in range(1500)]
    assert abs(np.mean([who.male for who, _ in shots]) - 0.42) < 0.09  # 1,000 people, 1.5 images each
    assert abs(np.mean([how.glasses for _, how in shots]) - (0.14 * 0.85 + 0.86 * 0.03)) < 0.06
    found = [faces.attributes(who, how) for who, how in shots]
    for name in faces.ATTRIBUTES:
        assert {row[name] for row in found} == {-1, 1}, name


def test_any_range_of_images_shows_the_same_people() -> None:
    """Splits must differ by chance alone: no person belongs to a part of the album."""
    shown = np.array([faces.Album(1, 10).identity(image) for image in range(1200)])
    early, late = (np.bincount(part, minlength=10) for part in (shown[:600], shown[600:]))
    assert (np.abs(early - late) < 5 * np.sqrt(early + late)).all()


def test_near_duplicates_are_near_and_others_are_not() -> None:
    repeats = [(image, MANY.original(image)) for image in range(1000) if MANY.original(image) != image]
    assert 15 <= len(repeats) <= 70  # 4% of 1,000, four standard deviations
    images = sorted({image for pair in repeats[:8] for image in pair})
    small = {image: Frame(20).pixels(face_drawing.picture(MANY, image)).astype(float).ravel() for image in images}
    for image, first in repeats[:8]:
        assert np.corrcoef(small[image], small[first])[0, 1] > 0.95
        assert MANY.identity(image) == MANY.identity(first)
        assert not np.array_equal(small[image], small[first])
    firsts = sorted({first for _, first in repeats[:8]})
    others = np.corrcoef([small[image] for image in firsts])
    assert np.median(others[np.triu_indices(len(firsts), 1)]) < 0.8
