"""A picture of a few images of each class, to be looked at: whether they are what their labels say."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kdistill.core import files
from kdistill.core.errors import DataError
from kdistill.core.task import of_labels
from kdistill.datasets.splits import Splits

IN_A_ROW = 8  # images of a class
ROWS = 100  # classes at most
SIDE = 96  # pixels of the longer side of an image in the picture
GAP, MARGIN = 6, 12
NAME_SIZE = 16  # of letters, in pixels
LONGEST = 24  # letters of a name


def draw(splits: Splits, path: Path) -> str:
    """Write a picture with a row of training images for each class, as PNG, and return a sentence on it.

    The images of a class are taken at even distances over the data set, and one grey scale holds for all of them.

    Raises:
        DataError: the examples are not images of 1, 3 or 4 channels.
        OutputError: the file cannot be written.
    """
    shape = splits.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise DataError(
            f"expected images (height, width), with 1, 3 or 4 channels, to draw; received examples of shape {shape}",
            hint="Leave --images out: a table, for example, has none.",
        )
    classes = splits.classes[:ROWS]
    rows = [_chosen(splits, number) for number in range(len(classes))]
    drawn = [row for row in rows if len(row)]
    lowest, highest = min(float(row.min()) for row in drawn), max(float(row.max()) for row in drawn)
    if isinstance(splits.scale, float):  # models divide by the largest value that there may be
        lowest, highest = 0.0, 1 / splits.scale
    sheet = _sheet([[_tile(image, lowest, highest) for image in row] for row in rows], classes)
    with files.writing(path), files.replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    more = len(splits.classes) - len(classes)
    rest = f"; {more} more are not drawn" if more else ""
    return f"{path}: training images of {len(classes)} classes, black at {lowest:g} and white at {highest:g}{rest}"


def _chosen(splits: Splits, number: int) -> NDArray:
    """Return some images (n, *shape) of a class, at even distances."""
    part = splits.training_part()
    there = np.flatnonzero(of_labels(part.labels).has(part.all_labels, number))
    taken = np.unique(np.linspace(0, len(there) - 1, IN_A_ROW).round().astype(int)) if len(there) else there
    return part.take(there[taken])[0]


def _tile(image: NDArray, lowest: float, highest: float) -> Image.Image:
    """Return an image in 8 bits, whole pixels of a small one enlarged and a large one reduced."""
    values = (image.astype(np.float64) - lowest) / max(highest - lowest, 1e-12) * 255
    pixels = values.round().clip(0, 255).astype(np.uint8)
    found = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).convert("RGB")
    longer = max(found.size)
    if longer <= SIDE:
        times = SIDE // longer
        return found.resize((found.width * times, found.height * times), Image.Resampling.NEAREST)
    found.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return found


def _sheet(rows: list[list[Image.Image]], names: tuple[str, ...]) -> Image.Image:
    font = _font()
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    tile = next(row[0] for row in rows if row)
    width, height = tile.width + GAP, max(tile.height, NAME_SIZE) + GAP
    left = MARGIN + int(max(font.getlength(name) for name in shown)) + MARGIN
    sheet = Image.new("RGB", (left + IN_A_ROW * width + MARGIN, 2 * MARGIN + len(rows) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, row) in enumerate(zip(shown, rows, strict=True)):
        top = MARGIN + number * height
        pen.text((MARGIN, top + (height - GAP) / 2), name, "black", font, anchor="lm")
        for place, image in enumerate(row):
            sheet.paste(image, (left + place * width, top))
            frame = (left + place * width - 1, top - 1, left + place * width + image.width, top + image.height)
            pen.rectangle(frame, outline="#bbbbbb")
    return sheet


def _font() -> ImageFont.FreeTypeFont:
    """Return Matplotlib's own font, which has more letters than that of Pillow."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), NAME_SIZE)
