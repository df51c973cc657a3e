"""The paired difference of each seed, and accuracy against size and latency."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy.spatial.distance import cdist

from kdistill.core.formatting import counted, number
from kdistill.evaluation.measures import ACCURACY, MEASURES, Measure
from kdistill.evaluation.statistics import Difference
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content.predictions import Floats
from kdistill.report.content.text import short
from kdistill.report.plots.axes import label, logarithmic
from kdistill.report.plots.figure import COLOURS, MARKERS, Plot, drawing, lay_out
from kdistill.runs.benchmark import Measured

EVERY_SEED = 25
"""Seeds up to which each has its own line; more are stacked like a histogram."""
MARK, NUMBER = 11.5, 16
"""Least distance in pixels of a number's centre from a mark, and from another number."""
TURNS = np.pi * np.array([0, 1, 0.5, 1.5, 0.25, 0.75, 1.25, 1.75])
PLACES = np.concatenate([distance * np.transpose([np.sin(TURNS), np.cos(TURNS)]) for distance in (12, 19, 27)])
"""Offsets in pixels of a number from its mark, by preference: above, below, right, left, diagonal, farther."""


def differences(verdict: Verdict) -> Plot:
    """Draw the difference of each seed, the mean with its interval, and the line of no difference."""
    difference = verdict.difference
    mean, low, high = difference["mean"], difference["ci_low"], difference["ci_high"]
    measure = MEASURES[verdict.measure]
    scale = 100 if measure.unit == "points" else 1
    ends = None if low is None or high is None else [[scale * (mean - low)], [scale * (high - mean)]]
    values = scale * np.asarray(difference["values"])
    each = len(values) <= EVERY_SEED
    tall = 110 + 20 * len(values) if each else 260
    with drawing(400, tall) as (figure, axes):
        heights = _by_seed(axes, verdict, values) if each else _stacked(axes, values)
        axes.plot(values, heights, "o", color=COLOURS["distilled"], markersize=6.5)
        bar = {"linewidth": 3, "capsize": 5.5, "capthick": 2}
        axes.errorbar(scale * mean, 0, xerr=ends, fmt="D", color=COLOURS["ink"], markersize=7, **bar)
        axes.axvline(0, color=COLOURS["ink"], linewidth=1.2)
        axes.set_xlabel(f"distilled minus baseline ({measure.unit} of {measure.words})")
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
    interval = " with its 95 % interval" if ends else "; there is no interval"
    better = "Right" if measure.higher_is_better else "Left"
    note = f"A dot is a seed, the diamond is the mean{interval}. {better} of the line distilled is better."
    title = f"Difference in test {measure.words}, seed by seed"
    return Plot("differences", title, _alt(difference, measure), figure, note)


def _by_seed(axes: Axes, verdict: Verdict, values: Floats) -> Floats:
    """Draw a line for each seed; return the heights."""
    heights = np.arange(len(values), 0, -1.0)
    axes.hlines(heights, 0, values, color=COLOURS["distilled"], linewidth=1, alpha=0.5)
    axes.set_yticks([*heights, 0], [*(f"seed {seed}" for seed in verdict.seeds), "mean"])
    axes.set_ylim(-0.7, len(values) + 0.6)
    return heights


def _stacked(axes: Axes, values: Floats) -> Floats:
    """Return the heights at which dots of nearly equal values lie on each other."""
    width = (np.ptp(values) or 1) / 40
    place = np.round(values / width).astype(int)
    heights = np.array([1.0 + np.sum(place[:before] == here) for before, here in enumerate(place)])
    axes.set_yticks([0], ["mean"])
    axes.set_ylim(-0.02 * heights.max() - 1, heights.max() + 1)
    axes.set_ylabel("seeds")
    return heights


def _alt(difference: Difference, measure: Measure) -> str:
    values, low, high = difference["values"], difference["ci_low"], difference["ci_high"]
    won = sum(measure.gain(value) > 0 for value in values)
    text = f"Distilled is better in {won} of {counted(len(values), 'seed')}; "
    of_seeds = f"from {measure.signed(min(values))} to {measure.signed(max(values))} {measure.unit}"
    text += f"differences {of_seeds}, mean {measure.signed(difference['mean'])}"
    if low is None or high is None:
        return f"{text}. There is no interval."
    return f"{text}, 95 % interval {measure.signed(low)} to {measure.signed(high)}."


def costs(rows: Sequence[Measured]) -> list[Plot]:
    """Draw accuracy against size and against latency, a mark for each model, numbered as in the table."""
    sizes = [row["file_bytes"] / 1e3 for row in rows]
    plots = [_costs(rows, sizes, "size", "size of the file (kB, logarithmic)", "kB")]
    if all("1" in row["latency"] for row in rows):
        times = [row["latency"]["1"]["p50_ms"] for row in rows]
        plots.append(_costs(rows, times, "latency", "latency of one example (ms, logarithmic)", "ms"))
    return plots


def _costs(rows: Sequence[Measured], cost: list[float], name: str, words: str, unit: str) -> Plot:
    marks = [(x, row["accuracy"]) for row, x in zip(rows, cost, strict=True)]
    with drawing(400, 300) as (figure, axes):
        for row, (x, y) in zip(rows, marks, strict=True):
            arm = next((arm for arm in MARKERS if row["name"].startswith(arm)), None)
            marker, colour = (MARKERS[arm], COLOURS[arm]) if arm else ("D", COLOURS["muted"])
            axes.plot([x], [y], marker, color=colour, markersize=8)
        logarithmic(axes, cost)
        axes.set(xlabel=words, ylabel=label("test", ACCURACY))
        axes.margins(0.15, 0.2)
        lay_out(figure)  # distances in pixels are final from here on
        _number(axes, marks)
    named = zip((short(row["name"], 40) for row in rows), marks, strict=True)
    texts = [f"{model} {number(y)} at {x:.3g} {unit}" for model, (x, y) in named]
    return Plot(f"cost-{name}", f"Accuracy against {name}", "; ".join(texts) + ".", figure, "Numbers as in the table.")


def _number(axes: Axes, marks: list[tuple[float, float]]) -> None:
    """Number marks from 1, each number where it is clear of all marks and of the numbers before it."""
    centres = axes.transData.transform(marks)
    taken: list[Floats] = []
    for row_number, (mark, centre) in enumerate(zip(marks, centres, strict=True), start=1):
        around = centre + PLACES
        least = [MARK] * len(centres) + [NUMBER] * len(taken)
        clearance = np.min(cdist(around, [*centres, *taken]) / least, axis=1)
        best = int(np.argmax(np.minimum(clearance, 1)))  # the first that is clear, or else the clearest
        taken.append(around[best])
        right, up = PLACES[best]
        axes.annotate(str(row_number), mark, (right, up), textcoords="offset points", ha="center", va="center")
