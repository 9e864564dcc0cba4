"""Built-in images: the digits as scikit-learn has them, and faces that show what their tables say."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from twinsplit.data.images import builtin, drawn_faces
from twinsplit.data.images.builtin import DIGITS, DigitsSource, write_faces
from twinsplit.data.images.celeba import SIZE, CelebaSource, read_attributes, read_identities
from twinsplit.data.images.decoding import decode
from twinsplit.data.images.drawn_faces import FaceSet, attributes, drawn, encoded
from twinsplit.data.images.folder import ImageData
from twinsplit.data.images.frame import Frame, gahb
from twinsplit.data.images.preparing import prepare
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

COUNT = 60
FACES = FaceSet(3, people=20)
MANY = FaceSet()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "raw"
    write_faces(folder, COUNT, FACES, Inline())
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
    assert list(labels.columns[:40]) == sorted(labels.columns[:40])
    assert len(FACES.labels(0)) == 40
    assert labels.iloc[5, :40].to_dict() == FACES.labels(5)
    assert set(labels["partition"]) == {0, 1, 2}
    assert list(read_attributes(raw / "list_attr_celeba.txt").index) == [f"{i:06d}.jpg" for i in range(1, COUNT + 1)]
    repeats = read_identities(raw / "identity_CelebA.txt")["identity"].value_counts()
    assert 1 < repeats.mean() < 20
    assert repeats.index.max() <= FACES.people


def test_an_image_does_not_depend_on_how_many_are_made(raw: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "few", 7, FACES, Inline())
    few, many = contents(tmp_path / "few"), contents(raw)
    for name in [name for name in few if name.endswith(".jpg")]:
        assert few[name] == many[name]
    lines = (tmp_path / "few" / "identity_CelebA.txt").read_text().splitlines()
    assert lines == (raw / "identity_CelebA.txt").read_text().splitlines()[:7]


def test_interrupted_drawing_goes_on_to_the_same_bytes(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "BATCH", 16)
    done: list[int] = []

    def stopping(faces: FaceSet, image: int) -> bytes:
        if len(done) == 40:
            raise KeyboardInterrupt
        done.append(image)
        return original(faces, image)

    original = drawn_faces.encoded
    with monkeypatch.context() as patch:
        patch.setattr(drawn_faces, "encoded", stopping)
        with pytest.raises(KeyboardInterrupt):
            write_faces(tmp_path / "out", COUNT, FACES, Inline())
    assert not (tmp_path / "out" / "list_attr_celeba.txt").exists()
    assert len(list((tmp_path / "out" / "img_align_celeba").iterdir())) == 32
    write_faces(tmp_path / "out", COUNT, FACES, Inline())
    assert contents(tmp_path / "out") == contents(raw)


def test_another_request_for_the_same_folder_is_refused(raw: Path) -> None:
    with pytest.raises(InputError, match="something else"):
        write_faces(raw, COUNT, FaceSet(4, 20), Inline())
    with pytest.raises(InputError, match="at least 1"):
        write_faces(raw, 0, FACES, Inline())


def undressed(image: int, **changes: float) -> tuple[np.ndarray, np.ndarray]:
    """A face without glasses and hat, and the same with changed traits."""
    face = MANY.face(image) | {"glasses": 1.0, "hat": 1.0}
    return drawn(face), drawn(face | changes)


@pytest.mark.parametrize("image", range(5))
def test_eyeglasses_are_visible_and_only_around_the_eyes(image: int) -> None:
    without, with_glasses = undressed(image, glasses=0.0)
    changed = np.abs(without - with_glasses).max(-1) > 30
    rows, columns = np.nonzero(changed)
    assert 200 < changed.sum() < 4000
    assert rows.min() > 85
    assert rows.max() < 140
    assert columns.max() - columns.min() > 40


def test_attributes_have_the_rates_they_are_drawn_with() -> None:
    """Intervals of five standard deviations."""
    found = [attributes(MANY.face(image)) for image in range(1500)]
    assert abs(np.mean([has["Male"] for has in found]) - 0.42) < 0.09  # 1,000 people, 1.5 images each
    assert abs(np.mean([has["Eyeglasses"] for has in found]) - (0.14 * 0.85 + 0.86 * 0.03)) < 0.06
    for name in found[0]:
        assert {has[name] for has in found} == {False, True}, name


def test_glasses_are_seen_in_small_grey_pictures() -> None:
    """A change of 40 of 255 levels in at least one pixel, in every other picture or more."""
    for size in (32, 40):
        changes = []
        for image in range(20):
            pair = [np.clip(levels, 0, 255).astype(np.uint8) for levels in undressed(image, glasses=0.0)]
            without, with_glasses = (gahb(size).pixels(Image.fromarray(levels)).astype(float) for levels in pair)
            changes.append(np.abs(without - with_glasses).max())
        assert np.median(changes) > 40


def test_any_range_of_images_shows_the_same_people() -> None:
    """Splits must differ by chance alone: no person belongs to a part of the images."""
    shown = np.array([FaceSet(1, 10).identity(image) for image in range(1200)])
    early, late = (np.bincount(part, minlength=10) for part in (shown[:600], shown[600:]))
    assert (np.abs(early - late) < 5 * np.sqrt(early + late)).all()


def test_near_duplicates_are_near_and_others_are_not() -> None:
    repeats = [(image, MANY.original(image)) for image in range(1000) if MANY.original(image) != image]
    assert 15 <= len(repeats) <= 70  # 4% of 1,000, four standard deviations
    images = sorted({image for pair in repeats[:8] for image in pair})
    small = {image: decode(encoded(MANY, image), Frame(20)).pixels.astype(float).ravel() for image in images}
    for image, first in repeats[:8]:
        assert np.corrcoef(small[image], small[first])[0, 1] > 0.95
        assert MANY.identity(image) == MANY.identity(first)
        assert not np.array_equal(small[image], small[first])
    firsts = sorted({first for _, first in repeats[:8]})
    others = np.corrcoef([small[image] for image in firsts])
    assert np.median(others[np.triu_indices(len(firsts), 1)]) < 0.8
