"""A matrix of coloured cells: a confusion matrix, or a sweep over two keys."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kdistill.report.content.predictions import Floats
from kdistill.report.plots.figure import COLOURS, drawing

LETTER, LINE, EDGE = 6.5, 14, 46  # pixels: of a letter, of a line, and of all around the cells but the names
STRONGEST = 0.9  # opacity of a cell, on which ink is legible in both colour schemes


class Axis(NamedTuple):
    """The rows or the columns of a heat map.

    Attributes:
        label: what they are.
        names: one for each row or column.
        size: height of a row, or width of a column, in pixels.
    """

    label: str
    names: Sequence[str]
    size: int = 24


def heat_map(rows: Axis, columns: Axis, opacity: Floats, text: Sequence[Sequence[str]], less: object = False) -> Figure:
    """Draw a heat map, the first row on top. Text with a star is bold.

    Args:
        rows: from the top.
        columns: from the left.
        opacity: (rows, columns) 0 to `STRONGEST` for each cell; NaN for an empty one.
        text: (rows, columns) in each cell.
        less: (rows, columns) whether a cell has the colour of `less` instead of that of `more`.
    """
    count = len(rows.names), len(columns.names)
    is_less = np.broadcast_to(np.asarray(less, bool), count)
    left, below = (LETTER * max(map(len, axis.names), default=0) for axis in (rows, columns))
    is_narrow = below > columns.size
    height = EDGE + (below if is_narrow else LINE) + rows.size * count[0]
    with drawing(EDGE + left + columns.size * count[1], height) as (figure, axes):
        for row, column in np.ndindex(count):
            if opacity[row, column] > 0.02:
                colour = COLOURS["less" if is_less[row, column] else "more"]
                alpha = round(float(opacity[row, column]), 2)
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=alpha, linewidth=0))
            if shown := text[row][column]:
                weight = "bold" if "★" in shown else "normal"
                axes.text(column, row, shown, ha="center", va="center", fontsize=10, weight=weight)
        axes.set(xlim=(-0.5, count[1] - 0.5), ylim=(count[0] - 0.5, -0.5), xlabel=columns.label, ylabel=rows.label)
        axes.set_xticks(range(count[1]), columns.names, rotation=90 if is_narrow else 0)
        axes.set_yticks(range(count[0]), rows.names)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)
    return figure
