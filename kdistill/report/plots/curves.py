"""Learning curves: each measure over the epochs, all arms together."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kdistill.core.formatting import counted, number
from kdistill.evaluation.measures import monitored
from kdistill.report.content.predictions import Floats
from kdistill.report.content.report import Curves
from kdistill.report.plots.figure import COLOURS, DASHES, MARKERS, Plot, drawing
from kdistill.runs import ARMS

EVERY_RUN = 10
"""Runs of an arm up to which each has its own line; more are drawn as their median and a band."""
RISING = ("val_accuracy", "monitored")  # the measures that have no plot of their own are all better if higher
MOST_POINTS = 200  # of a line

MEASURES = (
    ("val_accuracy", "Validation accuracy", "accuracy", ARMS),
    ("loss", "Training loss (objective of each arm)", "loss", ARMS),
    ("soft", "Soft loss on train", "soft loss (unweighted)", ("distilled",)),
    ("hard", "Hard loss on train", "cross-entropy (nats)", ARMS),
    ("val_nll", "Validation NLL", "NLL (nats)", ARMS),
)


def curves(arms: Sequence[Curves]) -> list[Plot]:
    """Draw each measure over the epochs, for all arms that have it."""
    plots = []
    for measure, title, label, names in MEASURES:
        shown = [arm for arm in arms if arm.arm in names]
        if shown:
            plots.append(_curves(shown, measure, title, label))
    return [*plots, *_monitored(arms)]


def _monitored(arms: Sequence[Curves]) -> list[Plot]:
    """Draw the measures that select the epochs, where these are others."""
    plots = []
    for monitor in dict.fromkeys(arm.monitor for arm in arms):
        measure = monitored(monitor)
        shown = [arm for arm in arms if arm.monitor == monitor and all(len(run.monitored) for run in arm.runs)]
        if shown and measure:
            plots.append(_curves(shown, "monitored", f"Validation {measure.words}", measure.words, monitor))
    return plots


def _curves(arms: Sequence[Curves], measure: str, title: str, label: str, name: str = "") -> Plot:
    drawn = [getattr(run, measure) for arm in arms for run in arm.runs]
    low, high = _limits(measure, drawn)
    with drawing(330, 260) as (figure, axes):
        for arm in arms:
            runs = [getattr(run, measure) for run in arm.runs]
            (_each if len(runs) <= EVERY_RUN else _band)(axes, arm, runs)
            _mark_kept(axes, arm, runs)
        axes.set(xlabel="epoch", ylabel=label, ylim=(low, high))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.legend(loc="lower right" if measure in RISING else "upper right")
    is_cut = any(np.nanmin(run) < low or np.nanmax(run) > high for run in drawn)
    note = "The first epochs of some runs lie beyond the axes." if is_cut else ""
    return Plot(f"curves-{(name or measure).replace('_', '-')}", title, _alt(arms, measure), figure, note)


def _limits(measure: str, drawn: Sequence[Floats]) -> tuple[float, float]:
    """Return the limits of the y axis: the first tenth of the epochs is often too bad to be shown with the others."""
    later = [run[len(run) // 10 :] for run in drawn]
    is_accuracy = measure in RISING
    low = min(float(np.nanmin(run)) for run in (later if is_accuracy else drawn))
    high = max(float(np.nanmax(run)) for run in (drawn if is_accuracy else later))
    room = 0.06 * ((high - low) or abs(high) or 1)
    return low - room, high + room


def _each(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    width, alpha = 1.6 if len(runs) == 1 else 1.0, 1 if len(runs) <= 3 else 0.75
    for place, (run, values) in enumerate(zip(arm.runs, runs, strict=True)):
        step = -(-len(values) // MOST_POINTS)
        (line,) = axes.plot(run.epochs[::step], values[::step], color=COLOURS[arm.arm], linestyle=DASHES[arm.arm])
        line.set(linewidth=width, alpha=alpha, marker=MARKERS[arm.arm] if len(values) == 1 else "none")
        if place == 0:
            line.set_label(arm.arm)


def _band(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    """Draw the median and the middle 80 % of the runs, up to the epoch that half of them have reached."""
    longest = int(np.median([len(values) for values in runs]))
    table = np.full((len(runs), longest), np.nan)
    for row, values in zip(table, runs, strict=True):
        row[: len(values)] = values[:longest]
    step = -(-longest // MOST_POINTS)
    epochs = np.arange(1, longest + 1)[::step]
    low, middle, high = np.nanquantile(table[:, ::step], [0.1, 0.5, 0.9], axis=0)
    axes.fill_between(epochs, low, high, color=COLOURS[arm.arm], alpha=0.2, linewidth=0)
    axes.plot(epochs, middle, color=COLOURS[arm.arm], linestyle=DASHES[arm.arm], linewidth=1.8, label=arm.arm)


def _mark_kept(axes: Axes, arm: Curves, runs: Sequence[Floats]) -> None:
    """Mark the epochs whose weights were kept; of many runs the median one."""
    places = [(run.best, values[run.best - 1]) for run, values in zip(arm.runs, runs, strict=True)]
    if len(places) > EVERY_RUN:
        places = [np.median(places, axis=0)]
    x, y = np.transpose(places)
    edge = COLOURS["paper"]
    axes.plot(x, y, MARKERS[arm.arm], color=COLOURS[arm.arm], markeredgecolor=edge, markersize=7.5)


def _alt(arms: Sequence[Curves], measure: str) -> str:
    alts = []
    for arm in arms:
        mean = float(np.mean([getattr(run, measure)[run.best - 1] for run in arm.runs]))
        best, epochs = _range([run.best for run in arm.runs]), _range([len(run.epochs) for run in arm.runs])
        alts.append(f"{arm.arm}, {counted(len(arm.runs), 'run')}: mean {number(mean)} at kept epoch {best} of {epochs}")
    return f"{'; '.join(alts)}."


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
