"""The measure of the verdict against the size of the model: what distillation is for, in one picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kdistill.core.formatting import file_size, number
from kdistill.evaluation.measures import MEASURES
from kdistill.evaluation.statistics import Summary
from kdistill.report.content.report import Arm
from kdistill.report.plots.axes import label, logarithmic
from kdistill.report.plots.figure import COLOURS, MARKERS, Plot, drawing

APART = 0.05
"""Distance between marks of models of the same size, as a share of the axis."""


def size(arms: Sequence[Arm], measure: str) -> Plot | None:
    """Draw the test scores of the arms against their parameters, or else their bytes, on a logarithmic axis.

    Args:
        arms: in order; those without a value of the measure are left out.
        measure: name of the measure.

    Returns:
        None with fewer than two arms, or where the sizes are not known.
    """
    shown = [(arm, scores) for arm in arms if (scores := arm.shown.get(measure)) and np.isfinite(scores["mean"])]
    costs, words, said = _sizes([arm for arm, _ in shown])
    if len(costs) < 2:
        return None
    places = _apart(costs)
    with drawing(400, 290) as (figure, axes):
        for (arm, scores), place in zip(shown, places, strict=True):
            _draw(axes, arm, scores, place)
        logarithmic(axes, costs)
        axes.set(xlabel=words, ylabel=label("test", MEASURES[measure]))
        low, high = min(costs), max(costs)
        room = (high / low) ** 0.4 if high > low else 2.5  # for the names beside the marks
        axes.set_xlim(low / room, high * room)
        axes.margins(y=0.2)
        axes.yaxis.set_major_locator(MaxNLocator(6))
    texts = [
        f"{arm.title} {number(scores['mean'])}{_spread(scores['sd'])} with {cost}"
        for (arm, scores), cost in zip(shown, said, strict=True)
    ]
    title = f"Test {MEASURES[measure].words} against size"
    has_spread = any(scores["sd"] is not None for _, scores in shown)
    notes = ["Mean over the seeds; the bar is one standard deviation to either side."] if has_spread else []
    if len(set(costs)) < len(costs):
        notes.append("Models of one size stand side by side.")
    return Plot("size", title, f"{'; '.join(texts)}.", figure, " ".join(notes))


def _draw(axes: Axes, arm: Arm, scores: Summary, place: float) -> None:
    """Draw the mark of an arm with its name, the distilled student's at the right of it."""
    look: Any = {"fmt": MARKERS[arm.name], "color": COLOURS[arm.name], "markersize": 9}
    axes.errorbar([place], [scores["mean"]], yerr=scores["sd"], capsize=4, linewidth=1.6, **look)
    is_right = arm.name == "distilled"
    axes.annotate(
        f"{arm.title}\n{number(scores['mean'])}",
        (place, scores["mean"]),
        (11 if is_right else -11, 0),
        textcoords="offset points",
        ha="left" if is_right else "right",
        va="center",
    )


def _sizes(arms: Sequence[Arm]) -> tuple[list[float], str, list[str]]:
    """Return the sizes of all arms, the label of their axis, and each in words; empty where one is not known."""
    counts = [arm.parameters for arm in arms if arm.parameters]
    if len(counts) == len(arms):
        return list(map(float, counts)), "parameters (logarithmic)", [f"{count:,} parameters" for count in counts]
    bytes_ = [arm.file_bytes for arm in arms if arm.file_bytes]
    if len(bytes_) == len(arms):
        return [count / 1e3 for count in bytes_], "size of the file (kB, logarithmic)", list(map(file_size, bytes_))
    return [], "", []


def _apart(costs: Sequence[float]) -> list[float]:
    """Return where the marks stand: those of the same size side by side."""
    span = 1.6 * np.log10(max(costs) / min(costs)) or 3.0
    places = []
    for position, cost in enumerate(costs):
        same = [other for other, of in enumerate(costs) if of == cost]
        step = same.index(position) - (len(same) - 1) / 2
        places.append(cost * 10 ** (span * APART * step))
    return places


def _spread(sd: float | None) -> str:
    return "" if sd is None else f" ± {number(sd)}"
