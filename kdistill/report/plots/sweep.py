"""The plot of a sweep: a heat map over two keys, or points over a single key."""

import numpy as np

from kdistill.core.formatting import number, setting, settings
from kdistill.report.content.report import Cell, Sweep
from kdistill.report.content.text import short
from kdistill.report.plots.figure import COLOURS, DASHES, Plot, drawing
from kdistill.report.plots.heat_map import STRONGEST, Axis, heat_map

MOST_VALUES = 14  # of an axis of a heat map


def sweep(found: Sweep) -> Plot | None:
    """Draw the validation score of every cell; None for more than two keys, or too many values."""
    if not any(cell.score for cell in found.cells):
        return None
    if len(found.axes) == 1:
        return _points(found)
    if len(found.axes) == 2 and all(len(values) <= MOST_VALUES for values in found.axes.values()):
        return _map(found)
    return None


def _alt(found: Sweep) -> str:
    scored = [(cell.score["mean"], settings(cell.settings)) for cell in found.cells if cell.score]
    scored.sort(key=lambda cell: found.measure.gain(cell[0]))
    (low, worst), (high, best) = scored[0], scored[-1]
    ends = f"best {best} with {number(high)}, worst {worst} with {number(low)}"
    alone = "" if found.baseline is None else f"; the student alone has {number(found.baseline)}"
    return f"Validation {found.measure.words} of {len(scored)} cells: {ends}{alone}."


def _points(found: Sweep) -> Plot:
    ((key, of_key),) = found.axes.items()
    labels = [setting(value) for value in of_key]
    with drawing(440, 280) as (figure, axes):
        for cell in found.cells:
            if cell.score:
                x, values = labels.index(setting(cell.settings[key])), cell.score["values"]
                marker, size = ("*", 13) if cell.is_winner else ("o", 8)
                axes.plot([x] * len(values), values, ".", color=COLOURS["muted"])
                axes.plot([x], [cell.score["mean"]], marker, color=COLOURS["distilled"], markersize=size)
        if found.baseline is not None:
            axes.axhline(found.baseline, color=COLOURS["baseline"], linestyle=DASHES["baseline"], label="baseline")
            axes.legend()
        shown = [short(label, 12) for label in labels]
        axes.set_xticks(range(len(labels)), shown, rotation=0 if sum(map(len, shown)) < 45 else 90)
        axes.set(xlim=(-0.5, len(labels) - 0.5), xlabel=short(key, 50), ylabel=f"validation {found.measure.words}")
    note = "A large mark is the mean of a cell, a small one a seed; the star is the winner."
    return Plot("sweep", f"Validation {found.measure.words} against {key}", _alt(found), figure, note)


def _map(found: Sweep) -> Plot:
    (row_key, rows), (column_key, columns) = found.axes.items()
    cells = {(setting(cell.settings[row_key]), setting(cell.settings[column_key])): cell for cell in found.cells}
    table = [[cells.get((setting(row), setting(column))) for column in columns] for row in rows]
    means = np.array([[cell.score["mean"] if cell and cell.score else np.nan for cell in row] for row in table])
    gains = np.vectorize(found.measure.gain)(means)
    low, high = np.nanmin(gains), np.nanmax(gains)
    figure = heat_map(
        Axis(short(row_key, 30), [short(setting(row), 12) for row in rows], 34),
        Axis(short(column_key, 50), [short(setting(column), 12) for column in columns], 58),
        STRONGEST * (gains - low) / ((high - low) or 1),
        [[_text(cell) if cell else "" for cell in row] for row in table],
    )
    note = "The darker, the better; the star is the winner."
    return Plot("sweep", f"Validation {found.measure.words} of every cell", _alt(found), figure, note)


def _text(cell: Cell) -> str:
    if not cell.score:
        return "failed" if cell.failed else "-"
    return number(cell.score["mean"]).removeprefix("0") + (" ★" if cell.is_winner else "")
