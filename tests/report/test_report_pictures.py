"""Sheets of pictures: every pixel where it belongs, in grey and in colour; plates on paper and in the browser."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from twinsplit.papers.figure_store import image
from twinsplit.report.figure import Figure, ImageGrid
from twinsplit.report.page import interactive
from twinsplit.report.pictures import GAP, Samples, encoded, pairs_sheet, sheet
from twinsplit.report.render_matplotlib import printed


def levels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)  # never 255, which is the gap


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 3]), st.sampled_from([5, 8, 32, 64, 80]))
def test_pictures_stand_in_rows_enlarged_by_whole_pixels(rows: int, columns: int, channels: int, side: int) -> None:
    pictures = levels(rows, columns, channels, side, side)
    page = sheet([list(row) for row in pictures])
    scale = max(1, -(-64 // side))
    pitch = side * scale + GAP
    assert page.shape == (rows * pitch - GAP, columns * pitch - GAP, channels)
    white = np.ones(page.shape[:2], bool)
    for i in range(rows):
        for j in range(columns):
            block = page[i * pitch : i * pitch + side * scale, j * pitch : j * pitch + side * scale]
            assert np.array_equal(block, np.kron(pictures[i, j].transpose(1, 2, 0), np.ones((scale, scale, 1), np.uint8)))
            white[i * pitch : i * pitch + side * scale, j * pitch : j * pitch + side * scale] = False
    assert (page[white] == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_very_levels(channels: int) -> None:
    page = levels(12, 20, channels)
    opened = np.asarray(Image.open(io.BytesIO(encoded(page))))
    assert np.array_equal(opened.reshape(page.shape), page)


def test_a_pair_stands_between_its_nearest_images() -> None:
    samples = Samples(levels(3, 5, 1, 64, 64), levels(3, 5, 1, 64, 64, seed=1))
    page = pairs_sheet(samples, 2, 0, [4, 1])[..., 0]
    rows = (samples.nearest[2], samples.images[2], samples.images[0], samples.nearest[0])
    for i, row in enumerate(rows):
        for j, sample in enumerate((4, 1)):
            assert np.array_equal(page[68 * i : 68 * i + 64, 68 * j : 68 * j + 64], row[sample, 0])


def plates(channels: int = 1, text: str = "sample of\ntwin A") -> Figure:
    page = sheet([[levels(channels, 8, 8, seed=i) for i in range(3)]] * 2)
    return Figure("p", "pictures", (), "what they are", 1, (ImageGrid(f"epoch {text}", page, (text, "nearest image")),) * 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_may_hold_plates_alone(channels: int) -> None:
    figure = printed(plates(channels))
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 2
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["sample of\ntwin A", "nearest image"]
    assert image(figure, "png") == image(printed(plates(channels)), "png")
    tables = plates(channels).tables()
    assert tables["curves"].num_rows == tables["marks"].num_rows == 0


def test_a_page_of_plates_says_its_rows_and_keeps_hostile_text_text() -> None:
    page = interactive(plates(text="</script><img src=x onerror='window.broken=1'>\nrow"), {})
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "onerror='" not in page
    assert 'alt="Rows from above: &lt;/script&gt;' in page
    assert "row; nearest image." in page
