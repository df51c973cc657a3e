"""Plots of what the verdict rests on: the differences seed by seed, and what models cost for their accuracy."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from kdistill.core.formatting import counted, number, points
from kdistill.evaluation.statistics import Difference
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content.report import Benchmark, Floats
from kdistill.report.content.text import short
from kdistill.report.plots.figure import COLOURS, MARKERS, Plot, drawing

EVERY_SEED = 25
"""Up to so many seeds have a line each; more are stacked where they fall."""
MARK, NUMBER = 10, 16
"""How far the middle of a number has to be from that of a mark, and of another number, in pixels."""
PLACES = [
    distance * np.array([np.sin(turn), np.cos(turn)])
    for distance in (11, 18, 26)
    for turn in np.pi * np.array([0, 1, 0.5, 1.5, 0.25, 0.75, 1.25, 1.75])
]
"""Of a number from its mark, in pixels: above, below, right, left, between these; then farther away."""


def differences(verdict: Verdict, name: str = "differences") -> Plot:
    """Draw a dot for the difference of each seed, their mean with its interval, and the line of no difference."""
    values = 100 * np.asarray(verdict.difference["values"])
    each = len(values) <= EVERY_SEED
    tall = 110 + 20 * len(values) if each else 260
    with drawing(360, tall) as (figure, axes):
        heights = _by_seed(axes, verdict, values) if each else _stacked(axes, values)
        axes.plot(values, heights, "o", color=COLOURS["distilled"], markersize=6.5)
        _mean(axes, verdict.difference)
        axes.axvline(0, color=COLOURS["ink"], linewidth=1.2)
        axes.set_xlabel("distilled minus baseline (points of accuracy)")
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
    alt, note = _in_words(verdict.difference), _note(verdict.difference)
    return Plot(name, "Difference in test accuracy, seed by seed", alt, figure, note)


def _by_seed(axes: Axes, verdict: Verdict, values: Floats) -> Floats:
    """Give each seed a line of its own; return the heights."""
    heights = np.arange(len(values), 0, -1.0)
    for height, value in zip(heights, values, strict=True):
        axes.plot([0, value], [height, height], color=COLOURS["distilled"], linewidth=1, alpha=0.5)
    axes.set_yticks([*heights, 0], [*(f"seed {seed}" for seed in verdict.seeds), "mean"])
    axes.set_ylim(-0.7, len(values) + 0.6)
    return heights


def _stacked(axes: Axes, values: Floats) -> Floats:
    """Put each dot on those that fall into the same place; return the heights."""
    width = (np.ptp(values) or 1) / 40
    place = np.round(values / width).astype(int)
    heights = np.array([1.0 + np.sum(place[:before] == here) for before, here in enumerate(place)])
    axes.set_yticks([0], ["mean"])
    axes.set_ylim(-0.02 * heights.max() - 1, heights.max() + 1)
    axes.set_ylabel("seeds")
    return heights


def _mean(axes: Axes, difference: Difference) -> None:
    mean, low, high = difference["mean"], difference["ci_low"], difference["ci_high"]
    if low is not None and high is not None:
        ends = [100 * low, 100 * high]
        axes.plot(ends, [0, 0], color=COLOURS["ink"], linewidth=3, solid_capstyle="butt")
        axes.plot(ends, [0, 0], color=COLOURS["ink"], marker="|", markersize=11, linestyle="none", markeredgewidth=2)
    axes.plot([100 * mean], [0], marker="D", color=COLOURS["ink"], markersize=7)


def _in_words(difference: Difference) -> str:
    values, low, high = difference["values"], difference["ci_low"], difference["ci_high"]
    won = sum(value > 0 for value in values)
    text = f"Distilled is better in {won} of {counted(len(values), 'seed')}; "
    text += f"differences from {points(min(values))} to {points(max(values))} points, mean {points(difference['mean'])}"
    if low is None or high is None:
        return f"{text}. There is no interval."
    return f"{text}, 95 % interval {points(low)} to {points(high)}."


def _note(difference: Difference) -> str:
    if difference["ci_low"] is None:
        return "A dot is a seed, the diamond their mean; right of the line distilled is better. There is no interval."
    return "A dot is a seed; the diamond is their mean with its 95 % interval. Right of the line distilled is better."


def costs(benchmark: Benchmark) -> list[Plot]:
    """Draw accuracy against size and against latency, a mark for each model, numbered as in the table."""
    size = [row["file_bytes"] / 1e3 for row in benchmark.rows]
    plots = [_costs(benchmark, size, "size", "size of the file (kB, logarithmic)", "kB")]
    if all("1" in row["latency"] for row in benchmark.rows):
        time = [row["latency"]["1"]["p50_ms"] for row in benchmark.rows]
        label = "time for one example (ms, logarithmic)"
        plots.append(_costs(benchmark, time, "latency", label, "ms"))
    return plots


def _costs(benchmark: Benchmark, cost: list[float], name: str, label: str, unit: str) -> Plot:
    with drawing(360, 300) as (figure, axes):
        for row, x in zip(benchmark.rows, cost, strict=True):
            arm = next((arm for arm in MARKERS if row["name"].startswith(arm)), None)
            marker, colour = (MARKERS[arm], COLOURS[arm]) if arm else ("D", COLOURS["muted"])
            axes.plot([x], [row["accuracy"]], marker=marker, color=colour, markersize=8, linestyle="none")
        axes.set_xscale("log")
        steps = (1, 2, 5) if max(cost) < 50 * min(cost) else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))  # evenly spaced where there are fewer than two of them
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))  # the usual one writes powers, in TeX
        axes.margins(0.15, 0.2)
        _numbers(axes, [(x, row["accuracy"]) for row, x in zip(benchmark.rows, cost, strict=True)])
        axes.set_xlabel(label)
        axes.set_ylabel("test accuracy")
    told = [
        f"{short(row['name'], 40)} {number(row['accuracy'])} at {x:.3g} {unit}"
        for row, x in zip(benchmark.rows, cost, strict=True)
    ]
    return Plot(f"cost-{name}", f"Accuracy against {name}", "; ".join(told) + ".", figure, "Numbers as in the table.")


def _numbers(axes: Axes, marks: list[tuple[float, float]]) -> None:
    """Number marks from 1, each number where it is clear of all marks and of the numbers before it."""
    centres = axes.transData.transform(marks)
    taken: list[Floats] = []
    for row_number, (mark, centre) in enumerate(zip(marks, centres, strict=True), start=1):
        around = [centre + place for place in PLACES]
        far = [min(_far(place, centres, MARK), _far(place, taken, NUMBER)) for place in around]
        best = int(np.argmax(np.minimum(far, 1)))  # the first that is clear, or else the clearest
        taken.append(around[best])
        right, up = PLACES[best]
        axes.annotate(str(row_number), mark, (right, up), textcoords="offset points", ha="center", va="center")


def _far(place: Floats, others: Sequence[Floats] | Floats, clear: float) -> float:
    """Return how far a place is from the nearest of others, in units of what is far enough."""
    return min((float(np.hypot(*(place - other))) / clear for other in others), default=np.inf)
