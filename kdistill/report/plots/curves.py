"""Plots of how runs went, epoch by epoch, all arms together."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kdistill.core.formatting import counted, number
from kdistill.report.content.report import Curves, Floats
from kdistill.report.plots.figure import COLOURS, DASHES, MARKERS, Plot, drawing
from kdistill.runs import ARMS

EVERY_RUN = 10
"""Up to so many runs of an arm have a line each; of more the median and a band are drawn."""
MOST_POINTS = 200  # of a line

MEASURES = (
    ("val_accuracy", "Accuracy on validation", "accuracy", ARMS),
    ("loss", "What each arm minimises, on train", "loss", ARMS),
    ("soft", "Soft term: distance to the teacher, on train", "soft term, unweighted", ("distilled",)),
    ("hard", "Hard term: distance to the labels, on train", "cross-entropy (nats)", ARMS),
    ("val_nll", "Negative log-likelihood on validation", "NLL (nats)", ARMS),
)


def curves(arms: Sequence[Curves]) -> list[Plot]:
    """Draw each measure over the epochs, for all arms that have it."""
    plots = []
    for measure, title, label, names in MEASURES:
        shown = [arm for arm in arms if arm.arm in names]
        if shown:
            plots.append(_curves(shown, measure, title, label))
    return plots


def _curves(arms: Sequence[Curves], measure: str, title: str, label: str) -> Plot:
    with drawing(330, 260) as (figure, axes):
        drawn, highest = list[Floats](), list[float]()
        for arm in arms:
            runs = [getattr(run, measure) for run in arm.runs]
            (_each if len(runs) <= EVERY_RUN else _band)(axes, arm, runs)
            _chosen(axes, arm, runs)
            drawn += runs
            # The first epochs are often so bad that nothing could be told of the others.
            later = [run[len(run) // 10 :] if measure != "val_accuracy" else run for run in runs]
            highest.append(max(float(np.nanmax(run)) for run in later))
        low, high = _worth_seeing(arms, measure, min(float(np.nanmin(run)) for run in drawn), max(highest))
        is_cut = any(float(np.nanmin(run)) < low or float(np.nanmax(run)) > high for run in drawn)
        axes.set_ylim(low, high)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.legend(loc="lower right" if measure == "val_accuracy" else "upper right")
    note = "The first epochs of some runs lie beyond the axes." if is_cut else ""
    return Plot(f"curves-{measure.replace('_', '-')}", title, _in_words(arms, measure), figure, note)


def _worth_seeing(arms: Sequence[Curves], measure: str, low: float, high: float) -> tuple[float, float]:
    if measure == "val_accuracy":
        # From where all arms are after a tenth of their epochs.
        low = min(float(np.nanmin(run.val_accuracy[len(run.epochs) // 10 :])) for arm in arms for run in arm.runs)
    room = 0.06 * ((high - low) or abs(high) or 1)
    return low - room, high + room


def _each(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    for place, (run, values) in enumerate(zip(arm.runs, runs, strict=True)):
        step = -(-len(values) // MOST_POINTS)
        axes.plot(
            run.epochs[::step],
            values[::step],
            color=COLOURS[arm.arm],
            linestyle=DASHES[arm.arm],
            linewidth=1.6 if len(runs) == 1 else 1.0,
            alpha=1 if len(runs) <= 3 else 0.75,
            marker=MARKERS[arm.arm] if len(values) == 1 else None,
            label=arm.arm if place == 0 else None,
        )


def _band(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    """Draw the median, and the middle four fifths of the runs that came so far, while half of them are still there."""
    longest = int(np.median([len(values) for values in runs]))
    table = np.full((len(runs), longest), np.nan)
    for row, values in zip(table, runs, strict=True):
        row[: len(values)] = values[:longest]
    step = -(-longest // MOST_POINTS)
    epochs = np.arange(1, longest + 1)[::step]
    low, middle, high = np.nanquantile(table[:, ::step], [0.1, 0.5, 0.9], axis=0)
    axes.fill_between(epochs, low, high, color=COLOURS[arm.arm], alpha=0.2, linewidth=0)
    axes.plot(epochs, middle, color=COLOURS[arm.arm], linestyle=DASHES[arm.arm], linewidth=1.8, label=arm.arm)


def _chosen(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    """Mark the epochs whose weights were kept; of many runs the median one."""
    places = [(run.best, values[run.best - 1]) for run, values in zip(arm.runs, runs, strict=True)]
    if len(places) > EVERY_RUN:
        places = [np.median(places, axis=0)]
    x, y = np.transpose(places)
    axes.plot(
        x,
        y,
        marker=MARKERS[arm.arm],
        linestyle="none",
        color=COLOURS[arm.arm],
        markeredgecolor=COLOURS["paper"],
        markersize=7.5,
    )


def _in_words(arms: Sequence[Curves], measure: str) -> str:
    told = []
    for arm in arms:
        kept = [getattr(run, measure)[run.best - 1] for run in arm.runs]
        epochs = [run.best for run in arm.runs]
        told.append(
            f"{arm.arm}, {counted(len(kept), 'run')}: {number(float(np.mean(kept)))} on average in the epoch that was "
            f"kept, {_between(epochs)} of {_between([len(run.epochs) for run in arm.runs])}"
        )
    return f"{'; '.join(told)}."


def _between(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
