"""All plots of a report, each drawn once for both HTML and Markdown, and the images of its examples."""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdistill.report.content.report import Report
from kdistill.report.plots import curves, predictions, size, sweep, verdict
from kdistill.report.plots.figure import Plot

Plots = dict[str, list[Plot]]
ENLARGED = 112  # pixels of the longer side of a small image in a file, at least


def draw(report: Report) -> Plots:
    """Return the plots of each part of a report; an empty list for a part that has none."""
    found = report.predictions
    swept = sweep.sweep(report.sweep) if report.sweep else None
    measure = report.verdict.measure if report.verdict else next(iter(report.arms[0].shown)) if report.arms else ""
    sized = size.size(report.arms, measure)
    return {
        "size": [sized] if sized else [],
        "verdict": [verdict.differences(report.verdict)] if report.verdict else [],
        "curves": curves.on_validation(report.curves),
        "controls": curves.of_controls(report.curves),
        "losses": curves.on_train(report.curves),
        "reliability": [predictions.reliability(arm) for arm in found.reliability],
        "confusion": predictions.confusion(found.confusion) if found.confusion else [],
        "softened": predictions.softened(found.softened, report.class_names) if found.softened else [],
        "sweep": [swept] if swept else [],
        "benchmark": verdict.costs(report.benchmark["rows"]) if report.benchmark else [],
    }


class Picture(NamedTuple):
    """A PNG file, and its width and height on the page in pixels."""

    png: bytes
    width: int
    height: int


def picture(image: NDArray[np.uint8], shown: int = ENLARGED, enlarge: bool = False) -> Picture:
    """Return an image (height, width) or (height, width, 3) as a PNG file, and its size on the page.

    Args:
        image: of the data.
        shown: pixels of its longer side on the page.
        enlarge: enlarge a small image in the file itself, each pixel to a square, since Markdown viewers cannot.
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
