"""Plots of what models answer: how sure they are, what they take for what, what a teacher says when it is softened."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from kdistill.core.formatting import counted, percent, points
from kdistill.report.content.report import Confusion, Floats, Reliability, Softened
from kdistill.report.content.text import short
from kdistill.report.plots.figure import COLOURS, DASHES, MARKERS, Plot, drawing, drawing_several

FEW = 8  # classes of softened outputs: those that a teacher finds most likely
ENOUGH = 10
"""Answers in a bin: a mean of fewer is drawn hollow."""
CELL = 24  # pixels
STRONGEST = 0.9  # opacity of a cell, on which ink is legible in both colour schemes


def reliability(arms: Sequence[Reliability]) -> list[Plot]:
    """Draw accuracy against confidence of each arm, and how many answers each bin of confidence has."""
    return [_reliability(arm) for arm in arms]


def _reliability(arm: Reliability) -> Plot:
    filled = arm.count > 0
    with drawing_several(270, 300, nrows=2, sharex=True, height_ratios=(3, 1)) as (figure, (above, below)):
        colour = COLOURS[arm.arm]
        above.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle="dotted")
        above.plot(arm.confidence[filled], arm.accuracy[filled], color=colour, linestyle=DASHES[arm.arm], alpha=0.5)
        for some, inside in ((filled & (arm.count < ENOUGH), COLOURS["paper"]), (arm.count >= ENOUGH, colour)):
            above.plot(
                arm.confidence[some],
                arm.accuracy[some],
                linestyle="none",
                marker=MARKERS[arm.arm],
                markersize=5.5,
                markerfacecolor=inside,
                color=colour,
            )
        above.set_ylabel("accuracy")
        above.set_ylim(-0.03, 1.03)
        share = arm.count / arm.count.sum()
        below.bar(arm.edges[:-1], share, np.diff(arm.edges), align="edge", color=colour, edgecolor=COLOURS["paper"])
        below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        below.set_ylabel("answers")
        below.set_xlabel("confidence")
        below.set_xlim(0, 1)
    gap = np.nansum((arm.confidence - arm.accuracy)[filled] * arm.count[filled]) / arm.count.sum()
    lean = "surer than it is right" if gap > 0 else "less sure than it is right"
    alt = (
        f"{arm.arm}, {counted(arm.runs, 'run')}: expected calibration error {arm.ece:.4f}; on average "
        f"{100 * abs(gap):.1f} points {lean}; {percent(float(share[-1]))} of the answers are in the surest bin."
    )
    return Plot(f"reliability-{arm.arm}", f"{arm.arm.capitalize()}: ECE {arm.ece:.4f}", alt, figure)


def confusion(found: Confusion) -> list[Plot]:
    """Draw what the baseline and the distilled student take each class for, and the difference."""
    names = [short(name, 14) for name in found.classes]
    plots = []
    for arm, shares in (("baseline", found.baseline), ("distilled", found.distilled)):
        text = [[f"{100 * share:.0f}" if share >= 0.005 else "" for share in row] for row in shares]
        opacity = STRONGEST * np.sqrt(np.nan_to_num(shares))  # what is rare is what matters here
        alt = f"{arm}: {_most_confused(found.classes, shares)}"
        plots.append(
            _matrix(f"confusion-{arm}", f"{arm.capitalize()} (% of the true class)", alt, names, opacity, text)
        )
    change = found.difference
    largest = np.nanmax(np.abs(change), initial=0) or 1
    text = [[f"{100 * value:+.1f}" if abs(value) >= 0.0005 else "" for value in row] for row in change]
    good = np.where(np.eye(len(names), dtype=bool), change, -change) >= 0
    opacity = STRONGEST * np.sqrt(np.nan_to_num(np.abs(change)) / largest)
    title = "Difference: distilled minus baseline (points)"
    plots.append(_matrix("confusion-difference", title, _changes(found), names, opacity, text, good, 30))
    return plots


def _matrix(
    name: str,
    title: str,
    alt: str,
    classes: Sequence[str],
    opacity: Floats,
    text: Sequence[Sequence[str]],
    good: np.ndarray | None = None,
    cell: int = CELL,
) -> Plot:
    """Draw cells, rows from above, in the colour of `more`, or of `less` where not `good`."""
    count = len(classes)
    with drawing(120 + cell * count, 120 + CELL * count) as (figure, axes):
        for row, column in np.ndindex(count, count):
            colour = COLOURS["more" if good is None or good[row, column] else "less"]
            if opacity[row, column] > 0.02:
                alpha = round(float(opacity[row, column]), 2)
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=alpha, linewidth=0))
            if text[row][column]:
                axes.text(column, row, text[row][column], ha="center", va="center", fontsize=9.5)
        cells(axes, classes, classes)
        axes.set_xlabel("answer")
        axes.set_ylabel("true class")
    return Plot(name, title, alt, figure)


def cells(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Give axes the ticks and limits of a matrix of unit cells, rows from above."""
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    flat = max(map(len, columns), default=0) <= 3
    axes.set_xticks(range(len(columns)), columns, rotation=0 if flat else 90)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _most_confused(classes: Sequence[str], shares: Floats, most: int = 3) -> str:
    off = np.nan_to_num(np.where(np.eye(len(classes), dtype=bool), 0, shares))
    places = np.argsort(off, axis=None)[::-1][:most]
    pairs = [np.unravel_index(place, off.shape) for place in places if off.flat[place] > 0]
    if not pairs:
        return "no class is taken for another."
    told = [f"{short(classes[a])} for {short(classes[b])} {percent(float(off[a, b]))}" for a, b in pairs]
    return f"taken most often, {'; '.join(told)} of its examples."


def _changes(found: Confusion) -> str:
    own = np.nan_to_num(np.diag(found.difference))
    best, worst = int(own.argmax()), int(own.argmin())
    return (
        f"Of {len(own)} classes, right answers change most in "
        f"{short(found.classes[best])} ({points(own[best])} points) and {short(found.classes[worst])} "
        f"({points(own[worst])} points)."
    )


def softened(found: Softened, classes: Sequence[str]) -> list[Plot]:
    """Draw the teacher's probabilities of each example at T = 1 and at T, as bars; once, where T is 1."""
    plots = []
    for number, example in enumerate(found.examples, start=1):
        likely = np.argsort(example.soft)[::-1][:FEW]
        names = [short(classes[label], 14) for label in likely]
        shown = [("1", example.plain), (f"{found.temperature:g}", example.soft)]
        shown = shown[:1] if found.temperature == 1 else shown
        with drawing_several(95 + 132 * len(shown), 60 + 22 * len(names), ncols=len(shown), sharey=True) as (
            figure,
            panels,
        ):
            for panel, (heat, shares) in zip(panels, shown, strict=True):
                _bars(panel, names, shares[likely], f"T = {heat}")
            panels[0].invert_yaxis()  # all of them, since they share it
        said = []
        for likeliest in likely[:2]:
            at = [f"{percent(float(shares[likeliest]))} at T = {heat}" for heat, shares in shown]
            said.append(f"{short(classes[likeliest])} {' and '.join(at)}")
        label = short(classes[example.example.label])
        alt = f"An example of {label}. Most likely: {'; '.join(said)}."
        plots.append(Plot(f"softened-{number}", f"A test example of {label}", alt, figure))
    return plots


def _bars(axes: Axes, names: Sequence[str], shares: Floats, title: str) -> None:
    axes.barh(range(len(names)), shares, color=COLOURS["teacher"], height=0.7)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_xlabel("probability")
    axes.set_title(title)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
