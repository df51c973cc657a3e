"""Single image files: upright, one size, grey or colour, or refused with the reason."""

import os

import numpy as np
import pytest
from PIL import Image

from kdistill.datasets.user import image_decoding
from kdistill.datasets.user.image_decoding import UnreadableError, bombs_refused, decode, inspect


def gradient(height=4, width=6, channels=3):
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return values if channels == 3 else values[..., 0]


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp"])
def test_colour_and_grey(tmp_path, ending):
    lossless = {"lossless": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(gradient()), **lossless)
    assert inspect(path) == ((4, 6), False)
    np.testing.assert_array_equal(decode(path, (4, 6), 3), gradient())
    red, green, blue = np.moveaxis(gradient().astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601-2
    np.testing.assert_allclose(decode(path, (4, 6), 1), luma, atol=1)


def test_grey_in_grey_and_in_colour(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient(channels=1)))
    assert inspect(path) == ((4, 6), True)
    np.testing.assert_array_equal(decode(path, (4, 6), 1), gradient(channels=1))
    np.testing.assert_array_equal(decode(path, (4, 6), 3), np.repeat(gradient(channels=1)[..., None], 3, -1))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_images_are_turned_as_their_exif_data_say(tmp_path, name):
    image = Image.new("L", (32, 16))
    image.paste(255, (0, 0, 16, 16))  # the left half is light
    exif = Image.Exif()
    exif[image_decoding.ORIENTATION] = 6  # a quarter turn clockwise: what was left is on top
    path = saved(tmp_path / name, image, exif=exif)
    assert inspect(path)[0] == (32, 16)
    turned = decode(path, (32, 16), 1)
    assert turned[:14].min() > 240
    assert turned[18:].max() < 15


def test_tiff_files_that_would_have_to_be_turned_are_refused(tmp_path):
    exif = Image.Exif()
    exif[image_decoding.ORIENTATION] = 6
    path = saved(tmp_path / "a.tif", Image.new("L", (8, 4), 255), exif=exif)
    with pytest.raises(UnreadableError, match="a rotated TIFF file"):
        inspect(path)


def test_palettes_and_transparency(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient()).quantize(200))
    assert decode(path, (4, 6), 3).shape == (4, 6, 3)
    alpha = np.dstack([gradient(), np.zeros((4, 6), np.uint8)])
    path = saved(tmp_path / "b.png", Image.fromarray(alpha))
    np.testing.assert_array_equal(decode(path, (4, 6), 3), gradient())


def test_of_16_bits_the_upper_8_are_kept(tmp_path):
    values = np.array([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]], np.uint16)
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path / name, Image.fromarray(values))
        assert inspect(path) == ((2, 4), True)
        assert decode(path, (2, 4), 1).tolist() == [[0, 0, 1, 0x12], [0x7F, 0x80, 0xFF, 0xFF]]


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("L", (5, 4), value) for value in (10, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (decode(path, (4, 5), 1) == 10).all()


def test_images_are_resized_smoothly(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(board))
    small = decode(path, (8, 4), 1)
    assert small.shape == (8, 4)
    assert abs(small.astype(int) - 127).max() <= 3  # a picked pixel would be black or white


def broken(tmp_path):
    png = saved(tmp_path / "whole.png", Image.fromarray(gradient(200, 200))).read_bytes()
    jpg = saved(tmp_path / "whole.jpg", Image.fromarray(gradient(200, 200))).read_bytes()
    return {
        "empty.png": b"",
        "text.png": b"not an image",
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpg[: len(jpg) // 2],
        "flipped.png": png[:500] + bytes([png[500] ^ 255]) + png[501:],
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    }


def test_damage_is_an_error_with_a_reason(tmp_path):
    for name, content in broken(tmp_path).items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError, match=r"\w"):
            decode(tmp_path / name, (4, 4), 3)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path, reason in (("a.png", "expected a regular file"), ("none.png", "No such file")):
        with pytest.raises(UnreadableError, match=reason):
            inspect(tmp_path / path)


@pytest.mark.parametrize("limit", [20, 10])  # Pillow warns of the first, and refuses the second itself
def test_bombs_are_refused(tmp_path, monkeypatch, limit):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with bombs_refused(), pytest.raises(UnreadableError, match=f"more than {limit} pixels"):
        inspect(path)


def test_values_that_are_no_pixels_are_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.zeros((3, 3), np.float32)))
    with pytest.raises(UnreadableError, match="floating-point"):
        decode(path, (3, 3), 1)
    path = saved(tmp_path / "b.tif", Image.fromarray(np.full((3, 3), 70_000, np.int32)))
    with pytest.raises(UnreadableError, match="at most 16 bits"):
        decode(path, (3, 3), 1)
