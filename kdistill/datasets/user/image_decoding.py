"""Finds image files in folders, and decodes them: upright, resized, grey or RGB."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kdistill.core import files
from kdistill.core.errors import DataError

# Pillow reads more formats, for some of which it starts other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # the values of it that swap width and height


class UnreadableError(Exception):
    """A file is not an image that can be used; the text says why."""


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, in order, without hidden files and folders.

    Raises:
        DataError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror or error}")

    found = []
    for place, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if name[0] != "."]
        found += [Path(place, name) for name in names if name[0] != "."]
    return sorted(found)


def inspect(path: Path) -> tuple[tuple[int, int], bool]:
    """Return the height and width of an image, and whether it is grey, without decoding pixels.

    Raises:
        UnreadableError: the file is not an image, damaged, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        # For a PNG file without EXIF data before the pixels, getexif would decode all pixels to look behind them.
        has_exif = image.format != "PNG" or "exif" in image.info
        turned = has_exif and image.getexif().get(ORIENTATION) in TURNED
        return (width, height) if turned else (height, width), image.mode in GREY_MODES


def decode(path: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Return an image as uint8 (height, width) or, with 3 channels, (height, width, 3), resized to `size`.

    The image is rotated as its EXIF data says; an alpha channel is dropped; of an animation, the first frame is taken;
    of 16 bits, the upper 8.

    Raises:
        UnreadableError: the file is not an image, damaged, too large, or has pixels of 32 bits or floating-point ones.
    """
    with _opened(path) as image:
        height, width = size
        mode = "L" if channels == 1 else "RGB"
        pixels = _in_8_bits(ImageOps.exif_transpose(image)).convert(mode)
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.uint8)


def _in_8_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnreadableError("expected at most 16 bits for a pixel; received 32")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise UnreadableError("expected whole numbers as pixels; received floating-point numbers")
    return image


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; raise UnreadableError for everything that Pillow raises."""
    try:
        files.stat_regular(path)
        with Image.open(path, formats=FORMATS) as image:
            # Pillow 13.0 silently decodes rotated, uncompressed TIFF files as black images.
            if image.format == "TIFF" and image.getexif().get(ORIENTATION) in TURNED:
                raise UnreadableError("a rotated TIFF file: expected one that is saved upright")
            yield image
    except UnidentifiedImageError:
        raise UnreadableError(f"not an image in the format {' or '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except (UnreadableError, MemoryError):  # MemoryError: not a problem of the image
        raise
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None
    except Exception as error:  # Pillow's decoders raise exceptions of many kinds for damaged files
        raise UnreadableError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Turn Pillow's warning of large images (decompression bombs) into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as those of damaged EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
