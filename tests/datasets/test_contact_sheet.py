"""The picture of a few images of each class."""

import numpy as np
import own_data
import pytest
from command_line import run
from PIL import Image

from kdistill import datasets
from kdistill.core.errors import DataError
from kdistill.datasets import contact_sheet


def drawn(tmp_path, **changed):
    splits = datasets.load(own_data.data("npz", own_data.write_npz(tmp_path / "a.npz", **changed)))
    text = contact_sheet.draw(splits, tmp_path / "a.png")
    return np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int), text


def tiles(picture):
    """The mean of each image, by row: they are framed in #bbbbbb."""
    frame = (picture == 0xBB).all(axis=-1)
    rows = [row for row in np.flatnonzero(frame.mean(axis=1) > 0.5) if row]
    found = []
    for top, bottom in zip(rows[::2], rows[1::2], strict=True):
        edges = np.flatnonzero(frame[top + 1 : bottom].all(axis=0))
        found.append(
            [picture[top + 1 : bottom, a + 1 : b].mean() for a, b in zip(edges[::2], edges[1::2], strict=True)]
        )
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (300, 200)])
def test_each_class_has_a_row_of_its_own_images(tmp_path, dtype, shape):
    picture, text = drawn(tmp_path, **own_data.arrays(shape=shape, dtype=dtype))
    dark, light = tiles(picture)
    assert len(dark) == len(light) == contact_sheet.IN_A_ROW
    assert max(dark) < 120 < min(light)
    assert "training images of 2 classes, black at 0 and white at 2" in text


def test_a_small_image_is_enlarged_pixel_by_pixel(tmp_path):
    found = own_data.arrays(shape=(2, 2))
    image = np.uint8([[0, 90], [180, 255]])
    picture, _ = drawn(
        tmp_path,
        **{
            name: np.broadcast_to(image, (len(values), 2, 2)) if name[0] == "x" else values
            for name, values in found.items()
        },
    )
    assert {0, 90, 180} <= set(np.unique(picture))
    assert ((picture == 90).all(axis=-1).sum()) == 16 * 48 * 48


@pytest.mark.parametrize("shape", [(4,), (6, 5, 2)])
def test_what_is_no_image_is_not_drawn(tmp_path, shape):
    with pytest.raises(DataError, match="to draw; received examples of shape"):
        drawn(tmp_path, **own_data.arrays(shape=shape))


def test_the_command_draws_named_and_own_data(tmp_path):
    shown = run("data", "info", "-c", "quickstart", "--images", tmp_path / "digits.png")
    assert "training images of 10 classes, black at 0 and white at 16" in shown.stderr
    assert Image.open(tmp_path / "digits.png").format == "PNG"
    own_data.write_npz(tmp_path / "a.npz")
    (tmp_path / "a.yaml").write_text(
        "data: {dataset: npz, path: a.npz}\nteacher: {hidden: [8]}\nstudent: {hidden: [4]}\n"
    )
    run("data", "info", "-c", tmp_path / "a.yaml", "--images", tmp_path / "own.png")
    assert (tmp_path / "own.png").exists()
    run("data", "info", "-c", "quickstart", "--images", tmp_path / "own.jpg", code=2)
    run("data", "info", "-c", "quickstart", "--images", tmp_path / "none" / "own.png", code=7)
    run("data", "info", "digits", "--images", tmp_path / "own.png", code=2)
