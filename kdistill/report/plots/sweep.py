"""The heat map of a sweep over two keys, and the line of one over a single key."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from kdistill.core.formatting import number, setting
from kdistill.report.content.report import Cell, Sweep
from kdistill.report.content.text import short
from kdistill.report.plots.figure import COLOURS, Plot, drawing
from kdistill.report.plots.predictions import STRONGEST, cells

MOST_VALUES = 14  # of an axis of a heat map


def settings(sweep: Sweep, cell: Cell) -> str:
    """Return what a cell sets, in one line."""
    keys = [key for key, _ in sweep.axes]
    return ", ".join(f"{key} = {setting(value)}" for key, value in zip(keys, cell.settings, strict=True))


def sweep(found: Sweep) -> Plot | None:
    """Draw the validation accuracy of every cell; None where neither a map nor a line can hold them."""
    scored = [cell for cell in found.cells if cell.accuracy]
    if not scored:
        return None
    if len(found.axes) == 1:
        return _line(found, scored)
    if len(found.axes) == 2 and all(len(values) <= MOST_VALUES for _, values in found.axes):
        return _map(found)
    return None


def _in_words(found: Sweep, scored: Sequence[Cell]) -> str:
    ranked = sorted(scored, key=lambda cell: cell.accuracy["mean"] if cell.accuracy else 0.0)
    told = [
        f"{word} {settings(found, cell)} with {number(cell.accuracy['mean'])}"
        for word, cell in (("best", ranked[-1]), ("worst", ranked[0]))
        if cell.accuracy
    ]
    beside = "" if found.baseline is None else f"; the student alone has {number(found.baseline)}"
    return f"Validation accuracy of {len(scored)} cells: {', '.join(told)}{beside}."


def _line(found: Sweep, scored: Sequence[Cell]) -> Plot:
    key, values = found.axes[0]
    places = {setting(value): place for place, value in enumerate(values)}
    with drawing(440, 280) as (figure, axes):
        for cell in scored:
            x, marker = places[setting(cell.settings[0])], "*" if cell.is_winner else "o"
            if cell.accuracy is None:
                continue
            axes.plot([x] * len(cell.accuracy["values"]), cell.accuracy["values"], ".", color=COLOURS["muted"])
            axes.plot(
                [x], [cell.accuracy["mean"]], marker, color=COLOURS["distilled"], markersize=13 if marker == "*" else 8
            )
        if found.baseline is not None:
            axes.axhline(found.baseline, color=COLOURS["baseline"], linestyle=(0, (4, 2)), label="baseline alone")
            axes.legend()
        labels = [short(setting(value), 12) for value in values]
        axes.set_xticks(range(len(values)), labels, rotation=0 if sum(map(len, labels)) < 45 else 90)
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_xlabel(short(key, 50))
        axes.set_ylabel("validation accuracy")
    note = "A large mark is the mean of a cell, a small one a seed; the star is the winner."
    return Plot("sweep", f"Validation accuracy against {key}", _in_words(found, scored), figure, note)


def _map(found: Sweep) -> Plot:
    (row_key, rows), (column_key, columns) = found.axes
    scored = [cell for cell in found.cells if cell.accuracy]
    means = [cell.accuracy["mean"] for cell in scored if cell.accuracy]
    low, reach = min(means), (max(means) - min(means)) or 1
    places = {(setting(row), setting(column)): (y, x) for y, row in enumerate(rows) for x, column in enumerate(columns)}
    with drawing(160 + 58 * len(columns), 100 + 34 * len(rows)) as (figure, axes):
        for cell in found.cells:
            y, x = places[setting(cell.settings[0]), setting(cell.settings[1])]
            text = "failed" if cell.failed else "-"
            if cell.accuracy:
                alpha = round(float(STRONGEST * (cell.accuracy["mean"] - low) / reach), 2)
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=COLOURS["more"], alpha=alpha, linewidth=0))
                text = number(cell.accuracy["mean"]).removeprefix("0")
            weight = "bold" if cell.is_winner else "normal"
            axes.text(
                x, y, f"{text} ★" if cell.is_winner else text, ha="center", va="center", fontsize=10, weight=weight
            )
        cells(axes, [short(setting(row), 12) for row in rows], [short(setting(column), 12) for column in columns])
        axes.set_xlabel(short(column_key, 50))
        axes.set_ylabel(short(row_key, 30))
        axes.tick_params(axis="x", rotation=0 if np.max([len(setting(c)) for c in columns]) <= 7 else 90)
    note = "The darker, the better; the star is the winner."
    return Plot("sweep", "Validation accuracy of every cell", _in_words(found, scored), figure, note)
