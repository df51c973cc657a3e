"""All pictures of a page, each drawn once for both of its forms."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdistill.report.content.report import Material
from kdistill.report.plots import curves, predictions, sweep, verdict
from kdistill.report.plots.figure import Plot

Plots = dict[str, list[Plot]]
ENLARGED = 112  # pixels that the longer side of a small image has in a file of its own, at least


def draw(material: Material) -> Plots:
    """Return the plots of each part of a page, by the names of `material.PARTS`; none for a part that has nothing."""
    plots: Plots = {
        "verdict": [verdict.differences(material.verdict)] if material.verdict else [],
        "curves": curves.curves(material.curves),
        "reliability": predictions.reliability(material.reliability),
        "confusion": predictions.confusion(material.confusion) if material.confusion else [],
        "softened": predictions.softened(material.softened, material.class_names) if material.softened else [],
        "sweep": [],
        "benchmark": verdict.costs(material.benchmark) if material.benchmark else [],
    }
    if material.sweep and (picture := sweep.sweep(material.sweep)):
        plots["sweep"] = [picture]
    return plots


@dataclass(frozen=True)
class Picture:
    """An image of the data.

    Attributes:
        png: the file.
        width: on the page, in pixels.
        height: likewise.
    """

    png: bytes
    width: int
    height: int


def picture(image: NDArray[np.uint8], shown: int = ENLARGED, enlarge: bool = False) -> Picture:
    """Return an image (height, width) or (height, width, 3) as a PNG file, and the size in which it is shown.

    Args:
        image: of the data.
        shown: pixels of its longer side on the page.
        enlarge: a small image in the file itself, each pixel a square: not every viewer can do that.
    """
    from PIL import Image

    drawn = Image.fromarray(np.ascontiguousarray(image))
    longer = max(drawn.size)
    if longer > 2 * shown:
        drawn.thumbnail((2 * shown, 2 * shown))
    elif enlarge and longer < shown:
        times = -(-shown // longer)
        drawn = drawn.resize((drawn.width * times, drawn.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    drawn.save(buffer, "png", optimize=True)
    height, width = image.shape[:2]
    return Picture(buffer.getvalue(), max(1, round(width * shown / longer)), max(1, round(height * shown / longer)))
