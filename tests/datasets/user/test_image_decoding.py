"""Single image files: upright, one size, grey or colour, or refused with the reason."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kdistill.datasets.user import image_decoding
from kdistill.datasets.user.image_decoding import Header, UnreadableError, bombs_refused, decode, inspect


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
    assert inspect(path) == Header((4, 6), False, False, False)
    np.testing.assert_array_equal(decode(path, (4, 6), 3), gradient())
    red, green, blue = np.moveaxis(gradient().astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601-2
    np.testing.assert_allclose(decode(path, (4, 6), 1), luma, atol=1)


def test_grey_in_grey_and_in_colour(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient(channels=1)))
    assert inspect(path) == Header((4, 6), True, False, False)
    np.testing.assert_array_equal(decode(path, (4, 6), 1), gradient(channels=1))
    np.testing.assert_array_equal(decode(path, (4, 6), 3), np.repeat(gradient(channels=1)[..., None], 3, -1))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_images_are_turned_as_their_exif_data_say(tmp_path, name):
    image = Image.new("L", (32, 16))
    image.paste(255, (0, 0, 16, 16))  # the left half is light
    exif = Image.Exif()
    exif[image_decoding.ORIENTATION] = 6  # a quarter turn clockwise: what was left is on top
    path = saved(tmp_path / name, image, exif=exif)
    assert inspect(path).size == (32, 16)
    turned = decode(path, (32, 16), 1)
    assert turned[:14].min() > 240
    assert turned[18:].max() < 15


def test_tiff_files_that_would_have_to_be_turned_are_refused(tmp_path):
    exif = Image.Exif()
    exif[image_decoding.ORIENTATION] = 6
    path = saved(tmp_path / "a.tif", Image.new("L", (8, 4), 255), exif=exif)
    with pytest.raises(UnreadableError, match="a rotated TIFF file"):
        inspect(path)


def test_palettes(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient()).quantize(200))
    assert decode(path, (4, 6), 3).shape == (4, 6, 3)


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_transparency_is_laid_over_white(tmp_path, ending):
    colours, alpha = gradient(), gradient(channels=1)
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(np.dstack([colours, alpha])), **options)
    assert inspect(path) == Header((4, 6), False, False, True)
    share = alpha[..., None] / 255
    np.testing.assert_allclose(decode(path, (4, 6), 3), colours * share + 255 * (1 - share), atol=1)


def test_a_drawing_in_the_alpha_channel_alone_is_seen(tmp_path):
    """As drawing programs save lines on nothing: black everywhere, opaque where a line is."""
    image = Image.new("RGBA", (6, 4))
    image.putpixel((2, 1), (0, 0, 0, 255))
    drawn = decode(saved(tmp_path / "a.png", image), (4, 6), 1)
    assert drawn[1, 2] == 0
    assert (drawn == 255).sum() == 23


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_of_grey_and_of_palettes(tmp_path, mode):
    image = Image.new("LA", (2, 1), (0, 0)) if mode == "LA" else Image.new("P", (2, 1), 1)
    image.putpalette([9, 9, 9, 0, 0, 0]) if mode == "P" else image.putpixel((1, 0), (9, 255))
    if mode == "P":
        image.putpixel((1, 0), 0)
    path = saved(tmp_path / "a.png", image, **({"transparency": 1} if mode == "P" else {}))
    assert inspect(path).has_alpha
    assert decode(path, (1, 2), 1).tolist() == [[255, 9]]


DEEP = np.array([[0, 255, 256, 0x1234], [0x0FFF, 0x8000, 0xFF00, 0xFFFF]], np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_images_of_16_bits_keep_their_values(tmp_path, name):
    path = saved(tmp_path / name, Image.fromarray(DEEP))
    assert inspect(path) == Header((2, 4), True, True, False)
    grey = decode(path, (2, 4), 1)
    assert grey.dtype == np.float32
    np.testing.assert_array_equal(grey, DEEP)
    np.testing.assert_array_equal(decode(path, (2, 4), 3), np.repeat(DEEP[..., None], 3, -1))


def test_images_of_16_bits_are_resized_smoothly(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 4095).astype(np.uint16)
    small = decode(saved(tmp_path / "a.png", Image.fromarray(board)), (8, 4), 1)
    np.testing.assert_allclose(small, 2047.5, atol=50)


def coloured_png(path, values):
    """Write values (height, width, channels) of 16 bits as a PNG file, which Pillow cannot (W3C PNG, 11.2)."""
    height, width, channels = values.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def coloured_tiff(path, values, order):
    """Write values (height, width, 3) of 16 bits as an uncompressed TIFF file in a byte order, < or >."""
    height, width, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    tags = {256: width, 257: height, 258: 0, 259: 1, 262: 2, 273: 0, 277: channels, 278: height, 279: len(data)}
    start = 8 + 2 + 12 * len(tags) + 4
    tags |= {258: start, 273: start + 2 * channels}
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 4, 1, value)
        if tag != 258
        else struct.pack(f"{order}HHII", tag, 3, channels, value)
        for tag, value in tags.items()
    )
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4)
    path.write_bytes(head + struct.pack(f"{order}3H", 16, 16, 16) + data)
    return path


def test_colours_of_16_bits_keep_their_values(tmp_path):
    values = np.random.default_rng(0).integers(0, 2**16, (4, 6, 4), np.uint16)
    paths = [
        coloured_png(tmp_path / "a.png", values[..., :3]),
        coloured_tiff(tmp_path / "a.tif", values[..., :3], "<"),
        coloured_tiff(tmp_path / "b.tif", values[..., :3], ">"),
    ]
    for path in paths:
        assert inspect(path) == Header((4, 6), False, True, False)
        np.testing.assert_array_equal(decode(path, (4, 6), 3), values[..., :3])
    np.testing.assert_allclose(decode(paths[0], (4, 6), 1), values[..., :3] @ [0.299, 0.587, 0.114], rtol=1e-6)
    share = values[..., 3:] / 0xFFFF
    found = decode(coloured_png(tmp_path / "b.png", values), (4, 6), 3)
    np.testing.assert_allclose(found, values[..., :3] * share + 0xFFFF * (1 - share), rtol=1e-5)
    with pytest.raises(UnreadableError, match="with 16 bits: expected 8 bits"):
        decode(coloured_png(tmp_path / "c.png", values[..., :2]), (4, 6), 1)


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
