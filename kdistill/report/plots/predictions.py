"""Plots of predictions: reliability diagrams, confusion matrices, soft targets."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from kdistill.core.formatting import counted, percent, points
from kdistill.report.content.predictions import Confusion, Floats, Reliability, Softened
from kdistill.report.content.text import short
from kdistill.report.plots.figure import COLOURS, DASHES, MARKERS, Plot, drawing
from kdistill.report.plots.heat_map import STRONGEST, Axis, heat_map

FEW = 8
"""Classes in a plot of soft targets: the most probable ones."""
ENOUGH = 10
"""Predictions in a bin; the mean of fewer is drawn hollow."""


def reliability(arm: Reliability) -> Plot:
    """Draw a reliability diagram, and below it the histogram of confidence."""
    filled = arm.count > 0
    with drawing(310, 320, nrows=2, sharex=True, height_ratios=(3, 1)) as (figure, (above, below)):
        colour = COLOURS[arm.arm]
        above.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle="dotted")
        above.plot(arm.confidence[filled], arm.accuracy[filled], color=colour, linestyle=DASHES[arm.arm], alpha=0.5)
        for bins, fill in ((filled & (arm.count < ENOUGH), COLOURS["paper"]), (arm.count >= ENOUGH, colour)):
            style = {"color": colour, "markerfacecolor": fill, "markersize": 5.5}
            above.plot(arm.confidence[bins], arm.accuracy[bins], MARKERS[arm.arm], **style)
        above.set(ylabel="accuracy (0 to 1)", ylim=(-0.03, 1.03))
        share = arm.count / arm.count.sum()
        below.bar(arm.edges[:-1], share, np.diff(arm.edges), align="edge", color=colour, edgecolor=COLOURS["paper"])
        below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        below.set(ylabel="share", xlabel="confidence: probability of the prediction", xlim=(0, 1))
    gap = np.nansum((arm.confidence - arm.accuracy)[filled] * arm.count[filled]) / arm.count.sum()
    alt = (
        f"{arm.arm}, {counted(arm.runs, 'run')}: expected calibration error {arm.ece:.4f}; on average "
        f"{100 * abs(gap):.1f} points {'overconfident' if gap > 0 else 'underconfident'}; "
        f"{percent(float(share[-1]))} of the predictions are in the bin of highest confidence."
    )
    return Plot(f"reliability-{arm.arm}", f"{arm.arm.capitalize()}: ECE {arm.ece:.4f}", alt, figure)


def confusion(found: Confusion) -> list[Plot]:
    """Draw the confusion matrices of the baseline and the distilled student, and their difference."""
    names = [short(name, 14) for name in found.classes]
    rows, columns = Axis("true class", names), Axis("predicted class", names)
    plots = []
    for arm, shares in (("baseline", found.baseline), ("distilled", found.distilled)):
        text = [[f"{100 * share:.0f}" if share >= 0.005 else "" for share in row] for row in shares]
        figure = heat_map(rows, columns, STRONGEST * np.sqrt(shares), text)  # the root makes rare confusions visible
        alt = f"{arm}: {_most_confused(found.classes, shares)}"
        plots.append(Plot(f"confusion-{arm}", f"{arm.capitalize()} (% of the true class)", alt, figure))
    change = found.difference
    # Ten points and more without a decimal: a cell has room for four characters.
    text = [[f"{100 * of:+.{int(abs(of) < 0.0995)}f}" if abs(of) >= 0.0005 else "" for of in row] for row in change]
    opacity = STRONGEST * np.sqrt(np.abs(change) / (np.nanmax(np.abs(change), initial=0) or 1))
    is_worse = np.where(np.eye(len(names), dtype=bool), change, -change) < 0
    figure = heat_map(rows, columns._replace(size=28), opacity, text, less=is_worse)
    title = "Distilled minus baseline (points)"
    return [*plots, Plot("confusion-difference", title, _changes(found), figure)]


def _most_confused(classes: Sequence[str], shares: Floats, most: int = 3) -> str:
    off = np.nan_to_num(np.where(np.eye(len(classes), dtype=bool), 0, shares))
    places = np.argsort(off, axis=None)[::-1][:most]
    pairs = [np.unravel_index(place, off.shape) for place in places if off.flat[place] > 0]
    if not pairs:
        return "no class is confused with another."
    named = [f"{short(classes[a])} as {short(classes[b])} ({percent(float(off[a, b]))})" for a, b in pairs]
    return f"most frequent confusions, in % of the true class: {', '.join(named)}."


def _changes(found: Confusion) -> str:
    own = np.nan_to_num(np.diag(found.difference))
    ends = [(short(found.classes[i]), points(own[i])) for i in (int(own.argmax()), int(own.argmin()))]
    best, worst = (f"{name} ({change} points)" for name, change in ends)
    return f"Of {len(own)} classes, accuracy changes most in {best} and {worst}."


def softened(found: Softened, classes: Sequence[str]) -> list[Plot]:
    """Draw the teacher's probabilities of each example at T = 1 and at T, as bars; once where T is 1."""
    plots = []
    for number, example in enumerate(found.examples, start=1):
        likely = np.argsort(example.soft)[::-1][:FEW]
        shown = {"1": example.plain, f"{found.temperature:g}": example.soft}
        size = 95 + 132 * len(shown), 60 + 22 * len(likely)
        with drawing(*size, ncols=len(shown), sharey=True, squeeze=False) as (figure, (panels,)):
            for panel, (temperature, probabilities) in zip(panels, shown.items(), strict=True):
                panel.barh(range(len(likely)), probabilities[likely], color=COLOURS["teacher"], height=0.7)
                panel.set(xlabel="probability", title=f"T = {temperature}", xlim=(0, 1))
                panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
                panel.grid(axis="y", visible=False)
                panel.tick_params(axis="y", length=0)
            panels[0].set_yticks(range(len(likely)), [short(classes[label], 14) for label in likely])
            panels[0].invert_yaxis()  # shared by all panels
        probable = []
        for label in likely[:2]:
            at = [f"{percent(float(of[label]))} at T = {temperature}" for temperature, of in shown.items()]
            probable.append(f"{short(classes[label])} {' and '.join(at)}")
        label = short(classes[example.example.label])
        alt = f"An example of {label}. Most probable: {'; '.join(probable)}."
        plots.append(Plot(f"softened-{number}", f"A test example of {label}", alt, figure))
    return plots
