"""Finds image files in folders, and decodes them: upright, resized, grey or RGB, with all bits that they have."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kdistill.core import files
from kdistill.core.errors import DataError

# Pillow reads more formats, for some of which it starts other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
BROUGHT_ALONG = ("__MACOSX", "@eaDir")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # the values of it that swap width and height
WHITE = 255  # of 8 bits
DEEP_WHITE = 0xFFFF  # of 16 bits
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, by which Pillow makes 8-bit images grey
# Pillow's names for pixels of 16 bits, by the byte that it keeps of colours: the swapped name yields the other byte.
NATIVE = "L" if sys.byteorder == "little" else "B"
OTHER_BYTE = {"L": "B", "B": "L", "N": "L" if NATIVE == "B" else "B"}


class UnreadableError(Exception):
    """A file is not an image that can be used; the text says why."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded.

    Attributes:
        size: height and width, upright.
        is_grey: whether it has no colours.
        is_deep: whether its values have 16 bits.
        has_alpha: whether parts of it may be transparent.
    """

    size: tuple[int, int]
    is_grey: bool
    is_deep: bool
    has_alpha: bool


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, in order.

    Raises:
        DataError: there are none, or a folder cannot be read.
    """
    found = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{folder}: expected images that end in {', '.join(SUFFIXES)}; there are none in this folder")
    return found


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, in order, without hidden files and folders.

    Raises:
        DataError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror or error}")

    found = []
    for place, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if not is_hidden(name)]
        found += [Path(place, name) for name in names if name[0] != "."]
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a folder is hidden, or one of those that archives and file servers bring along."""
    return name[0] == "." or name in BROUGHT_ALONG


def inspect(path: Path) -> Header:
    """Return what the header of an image says, without decoding pixels.

    Raises:
        UnreadableError: the file is not an image, damaged, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        # For a PNG file without EXIF data before the pixels, getexif would decode all pixels to look behind them.
        has_exif = image.format != "PNG" or "exif" in image.info
        turned = has_exif and image.getexif().get(ORIENTATION) in TURNED
        return Header(
            size=(width, height) if turned else (height, width),
            is_grey=image.mode in GREY_MODES,
            is_deep=_is_deep(image),
            has_alpha=image.has_transparency_data,
        )


def decode(path: Path, size: tuple[int, int], channels: int) -> NDArray:
    """Return an image as (height, width) or, with 3 channels, (height, width, 3), resized to `size`.

    The image is rotated as its EXIF data says; what is transparent is laid over white; of an animation, the first frame
    is taken.

    Returns:
        uint8, or of an image of 16 bits float32 with values from 0 to 65535, which are those of the file.

    Raises:
        UnreadableError: the file is not an image, damaged, too large, or has pixels of 32 bits or floating-point ones.
    """
    with _opened(path) as image:
        if _is_deep(image):
            return _resized_planes(_over_white(_deep_values(path, image), image), size, channels)
        if image.mode == "F":
            raise UnreadableError("expected whole numbers as pixels; received floating-point numbers")
        height, width = size
        pixels = ImageOps.exif_transpose(image)
        if pixels.has_transparency_data:
            drawn = pixels.convert("RGBA")
            pixels = Image.alpha_composite(Image.new("RGBA", drawn.size, (WHITE,) * 4), drawn)
        pixels = pixels.convert("L" if channels == 1 else "RGB")
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.uint8)


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name for the pixels in an opened file, such as RGB;16B; an empty text if it has none."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or ";16" in _raw_mode(image)


def _deep_values(path: Path, image: Image.Image) -> NDArray[np.float32]:
    """Return the values of an image of 16 bits, upright: (height, width), or with 3 or 4 channels."""
    if image.mode.startswith("I"):
        values = np.asarray(ImageOps.exif_transpose(image))
        if values.min() < 0 or values.max() > DEEP_WHITE:
            raise UnreadableError("expected at most 16 bits for a pixel; received 32")
        return values.astype(np.float32)
    # Of 16 bits for a colour, Pillow keeps the upper 8; the lower ones are read by the name of the other byte order.
    swapped = OTHER_BYTE.get(_raw_mode(image)[-1])
    with _opened(path) as lower:
        if swapped is None or lower.mode not in ("RGB", "RGBA") or _raw_mode(image).startswith("LA"):
            raise UnreadableError(
                f"{image.mode} with 16 bits: expected 8 bits, or 16 in grey without transparency, RGB or RGBA"
            )
        lower.tile = [_with_raw_mode(tile, swapped) for tile in lower.tile]
        high, low = (np.asarray(ImageOps.exif_transpose(half)).astype(np.float32) for half in (image, lower))
    return 256 * high + low


def _with_raw_mode(tile: tuple, byte: str) -> tuple:
    first, *more = tile.args if isinstance(tile.args, tuple) else (tile.args,)  # type: ignore[attr-defined]
    name = first[:-1] + byte
    return tile._replace(args=(name, *more) if more else name)  # type: ignore[attr-defined]


def _over_white(values: NDArray[np.float32], image: Image.Image) -> NDArray[np.float32]:
    """Return values of 16 bits without transparency, which is laid over white."""
    if values.ndim == 3 and values.shape[-1] == 4:
        alpha = values[..., 3:] / DEEP_WHITE
        return (values[..., :3] * alpha + DEEP_WHITE * (1 - alpha)).astype(np.float32)
    clear = image.info.get("transparency")
    if clear is None:
        return values
    is_clear = (values == np.float32(clear)).reshape(*values.shape[:2], -1).all(axis=-1)
    return np.where(is_clear if values.ndim == 2 else is_clear[..., None], np.float32(DEEP_WHITE), values)


def _resized_planes(values: NDArray[np.float32], size: tuple[int, int], channels: int) -> NDArray[np.float32]:
    """Return values (height, width) or (height, width, 3), resized to `size`, grey or with 3 channels."""
    if values.ndim == 3 and channels == 1:
        values = (values @ LUMA).astype(np.float32)
    planes = [values] if values.ndim == 2 else list(np.moveaxis(values, -1, 0))
    if values.shape[:2] != size:
        height, width = size
        smooth = Image.Resampling.BILINEAR
        planes = [np.asarray(Image.fromarray(plane).resize((width, height), smooth)) for plane in planes]
    if channels == 1:
        return planes[0].astype(np.float32)
    return np.stack(planes if len(planes) == 3 else planes * 3, axis=-1).astype(np.float32)


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
