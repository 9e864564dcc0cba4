"""Arrays and Hugging Face data sets become the same pixels as the pictures they hold; what is ambiguous is refused."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import file_of, smooth
from twinsplit.data.images import sources
from twinsplit.data.images.folder import ImageData
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import leave_out, prepare
from twinsplit.data.images.sources import ArraySource, HubSource
from twinsplit.errors import InputError
from twinsplit.execution.local import Inline

COLOURS = np.stack([np.asarray(smooth(12, 10, seed)) for seed in range(5)])  # (5, 10, 12, 3)
GREYS = COLOURS[..., 0]


@pytest.fixture(autouse=True)
def _forget() -> None:
    sources._load_array.cache_clear()
    sources._load_hub.cache_clear()


def stored(path: Path, array: np.ndarray) -> ArraySource:
    np.save(path, array)
    return ArraySource(path)


def as_is(source: ArraySource, out: Path) -> ImageData:
    colour = "rgb" if source.array().shape[-1] == 3 else "grey"
    return prepare(source, Frame(None, colour, exact=source.size), out, Inline())  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["hwc", "chw", "grey", "grey1", "1grey", "floats"])
def test_every_layout_keeps_its_pixels(layout: str, tmp_path: Path) -> None:
    first = np.moveaxis(COLOURS, -1, 1)
    given, expected = {
        "hwc": (COLOURS, first),
        "chw": (first, first),
        "grey": (GREYS, GREYS[:, None]),
        "grey1": (GREYS[..., None], GREYS[:, None]),
        "1grey": (GREYS[:, None], GREYS[:, None]),
        "floats": ((GREYS / 255).astype(np.float32), GREYS[:, None]),
    }[layout]
    data = as_is(stored(tmp_path / "x.npy", given), tmp_path / "out")
    assert np.array_equal(data.pixels, expected)
    assert list(data.files()["name"]) == [f"row {i}" for i in range(5)]


def test_arrays_can_be_scaled(tmp_path: Path) -> None:
    data = prepare(stored(tmp_path / "x.npy", COLOURS), Frame(8), tmp_path / "out", Inline())
    assert np.array_equal(data.pixels[3], Frame(8).pixels(Image.fromarray(COLOURS[3])))


def test_npz_members_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=GREYS)
    assert len(as_is(ArraySource(tmp_path / "one.npz"), tmp_path / "out")) == 5
    np.savez(tmp_path / "two.npz", images=GREYS, labels=np.arange(5))
    with pytest.raises(InputError, match=r"images, labels.*--key"):
        ArraySource(tmp_path / "two.npz").array()
    with pytest.raises(InputError, match=r"holds one array, without a name; leave out --key images"):
        ArraySource(stored(tmp_path / "x.npy", GREYS).file, "images").array()
    assert ArraySource(tmp_path / "two.npz", "images").array().shape == (5, 10, 12, 1)


def test_floats_outside_the_range_are_reported(tmp_path: Path) -> None:
    floats = GREYS / 255
    floats[1, 0, 0], floats[3, 0, 0], floats[4, 0, 0] = np.nan, 1.01, -0.01
    source = stored(tmp_path / "x.npy", floats)
    with pytest.raises(InputError, match="3 files"):
        as_is(source, tmp_path / "out")
    data = prepare(source, Frame(None, exact=source.size), tmp_path / "out", Inline(), leave_out)
    assert list(data.files()["name"]) == ["row 0", "row 2"]


def test_arrays_that_are_no_images_are_refused(tmp_path: Path) -> None:
    for k, array in enumerate(
        [GREYS.astype(np.int64), np.zeros((3, 4)), np.zeros((2, 3, 8, 3)), np.zeros((0, 4, 4)), np.zeros((2, 5, 8, 4)), np.array(["a"])]
    ):
        with pytest.raises(InputError, match=r"x\d.npy holds"):
            stored(tmp_path / f"x{k}.npy", array).array()


def test_pickles_and_broken_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "zero.npy").write_bytes(b"")
    np.save(tmp_path / "cut.npy", GREYS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-20])
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 and then nothing")
    for name in ("objects.npy", "pickle.npy", "zero.npy", "cut.npy", "zip.npz"):
        with pytest.raises(InputError, match="not a readable array"):
            ArraySource(tmp_path / name).array()
    with pytest.raises(InputError, match="not a file"):
        ArraySource(tmp_path / "nowhere.npy").array()


def test_a_hub_data_set_gives_the_pixels_of_its_pictures(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    contents = [file_of(smooth(40, 30, seed), "PNG") for seed in range(3)]
    rows = {"picture": [*({"bytes": content, "path": None} for content in contents), {"bytes": b"?", "path": None}], "label": [0, 1, 2, 3]}
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    source = HubSource(str(tmp_path / "set"), column="picture")
    data = prepare(source, Frame(16, "rgb"), tmp_path / "out", Inline(), leave_out)
    for row in range(3):
        assert np.array_equal(data.pixels[row], Frame(16, "rgb").pixels(smooth(40, 30, row)))
    assert [problem.path for problem in data.left_out()] == ["row 3"]
    with pytest.raises(InputError, match="no image column label"):
        HubSource(str(tmp_path / "set"), column="label").listing()
    with pytest.raises(InputError, match="cannot be read"):
        HubSource(str(tmp_path / "out")).listing()


def test_without_the_package_a_hub_data_set_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'twinsplit\[hub\]'"):
        HubSource(str(tmp_path)).listing()
