"""Learning curves: each measure over the epochs, all arms together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from kdistill.core.formatting import counted, number
from kdistill.evaluation.measures import ACCURACY, NLL, monitored
from kdistill.report.content.predictions import Floats
from kdistill.report.content.report import Curves
from kdistill.report.plots.axes import label
from kdistill.report.plots.figure import COLOURS, LOOKS, Plot, drawing
from kdistill.runs import ARMS

AVERAGED = 3
"""Runs of an arm from which they are drawn as their mean and a band; fewer have a line each."""
RISING = ("val_accuracy", "monitored")  # the measures that have no plot of their own are all better if higher
MOST_POINTS = 200  # of a line
WIDE, NARROW = 400, 310  # pixels: of two plots in a row, and of three

ON_VALIDATION = (
    ("val_accuracy", "Validation accuracy", label("validation", ACCURACY), ARMS),
    ("val_nll", "Validation NLL", label("validation", NLL), ARMS),
)
ON_TRAIN = (
    ("loss", "Objective of each arm", "loss that is minimised", ARMS),
    ("soft", "Soft loss, against the teacher", "soft loss (T² included)", ("distilled",)),
    ("hints", "Hints, against the teacher's layers", "weighted sum of the hints", ("distilled",)),
    ("hard", "Hard loss, against the labels", "cross-entropy (nats)", ARMS),
)


_Row = tuple[Sequence[Curves], str, str, str, str]  # arms, and of the measure: field, title, label, name of the plot


def on_validation(arms: Sequence[Curves]) -> list[Plot]:
    """Draw each measure on validation over the epochs, for all arms that have it."""
    return _row([*_shown(ON_VALIDATION, arms), *_monitored(arms)])


def on_train(arms: Sequence[Curves]) -> list[Plot]:
    """Draw each loss on train over the epochs, for all arms that have it."""
    return _row(_shown(ON_TRAIN, arms))


def of_controls(arms: Sequence[Curves]) -> list[Plot]:
    """Draw the measures on validation of the control arms, beside those of both students; empty without controls."""
    shown = [arm for arm in arms if arm.arm != "teacher"]
    if all(arm.arm in ARMS for arm in shown):
        return []
    return _row([(shown, field, title, words, f"controls-{field}") for field, title, words, _ in ON_VALIDATION])


def _shown(measures: Sequence[tuple[str, str, str, Sequence[str]]], arms: Sequence[Curves]) -> list[_Row]:
    found = [
        ([arm for arm in arms if arm.arm in of and arm.has(field)], field, title, words)
        for field, title, words, of in measures
    ]
    return [(shown, field, title, words, field) for shown, field, title, words in found if shown]


def _row(plots: Sequence[_Row]) -> list[Plot]:
    width = NARROW if len(plots) == 3 else WIDE
    return [_curves(*plot, width) for plot in plots]


def _monitored(arms: Sequence[Curves]) -> list[_Row]:
    """Return what is drawn of the measures that select the epochs, where these are others."""
    found = list[_Row]()
    own = [arm for arm in arms if arm.arm in ARMS]
    for monitor in dict.fromkeys(arm.monitor for arm in own):
        measure = monitored(monitor)
        shown = [arm for arm in own if arm.monitor == monitor and arm.has("monitored")]
        if shown and measure:
            found.append((shown, "monitored", f"Validation {measure.words}", label("validation", measure), monitor))
    return found


def _curves(arms: Sequence[Curves], measure: str, title: str, words: str, name: str, width: int) -> Plot:
    lines = [line for arm in arms for line in _lines(arm, measure)]
    low, high = _limits(measure, [edge for line in lines for edge in line.edges])
    with drawing(width, 265) as (figure, axes):
        for arm in arms:
            _draw(axes, arm, _lines(arm, measure))
        axes.set(xlabel="epoch", ylabel=words, ylim=(low, high))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8 if width == WIDE else 6, integer=True))
        columns = 1 if all(arm.arm in ARMS for arm in arms) else 2
        axes.legend(loc="lower right" if measure in RISING else "upper right", ncols=columns)
    is_cut = any(np.nanmin(line.values) < low or np.nanmax(line.values) > high for line in lines)
    note = "The first epochs lie beyond the axes." if is_cut else ""
    return Plot(f"curves-{name.replace('_', '-')}", title, _alt(arms, measure), figure, note)


class _Line(NamedTuple):
    """One line: of a run, or the mean of several.

    Attributes:
        epochs: (e,) 1, 2, ...
        values: (e,) of the measure.
        sd: (e,) standard deviation over the runs; None for a single run.
        kept: the epoch whose weights were kept; of several runs the median.
    """

    epochs: Floats | NDArray[np.int64]
    values: Floats
    sd: Floats | None
    kept: float

    @property
    def edges(self) -> list[Floats]:
        """The lowest and the highest values that are drawn."""
        return [self.values] if self.sd is None else [self.values - self.sd, self.values + self.sd]


def _lines(arm: Curves, measure: str) -> list[_Line]:
    runs = [getattr(run, measure) for run in arm.runs]
    if len(runs) < AVERAGED:
        return [_Line(run.epochs, values, None, run.best) for run, values in zip(arm.runs, runs, strict=True)]
    return [_mean(runs, float(np.median([run.best for run in arm.runs])))]


def _mean(runs: Sequence[Floats], kept: float) -> _Line:
    """Return the mean over the runs that have reached an epoch, up to the epoch that half of them have reached."""
    longest = int(np.median([len(values) for values in runs]))
    table = np.full((len(runs), longest), np.nan)
    for row, values in zip(table, runs, strict=True):
        row[: len(values)] = values[:longest]
    return _Line(np.arange(1, longest + 1), np.nanmean(table, axis=0), np.nanstd(table, axis=0, ddof=1), kept)


def _limits(measure: str, drawn: Sequence[Floats]) -> tuple[float, float]:
    """Return the limits of the y axis: the first tenth of the epochs is often too bad to be shown with the others."""
    later = [run[len(run) // 10 :] for run in drawn]
    is_accuracy = measure in RISING
    low = min(float(np.nanmin(run)) for run in (later if is_accuracy else drawn))
    high = max(float(np.nanmax(run)) for run in (drawn if is_accuracy else later))
    room = 0.06 * ((high - low) or abs(high) or 1)
    return low - room, high + room


def _draw(axes: Axes, arm: Curves, lines: Sequence[_Line]) -> None:
    """Draw the lines of an arm, their bands, and a mark at each epoch whose weights were kept.

    Controls have no bands: those of all arms would hide each other.
    """
    colour, marker, dashes = LOOKS[arm.arm]
    for place, line in enumerate(lines):
        step = -(-len(line.values) // MOST_POINTS)
        shown = line.epochs[::step]
        if line.sd is not None and arm.arm in ARMS:
            low, high = (edge[::step] for edge in line.edges)
            axes.fill_between(shown, low, high, color=colour, alpha=0.2, linewidth=0)
        (drawn,) = axes.plot(shown, line.values[::step], color=colour, linestyle=dashes)
        drawn.set(linewidth=1.7 if len(lines) == 1 else 1.2, marker=marker if len(line.values) == 1 else "none")
        if place == 0:
            drawn.set_label(arm.arm)
    x = [line.kept for line in lines]
    y = [np.interp(line.kept, line.epochs, line.values) for line in lines]
    axes.plot(x, y, marker, color=colour, markeredgecolor=COLOURS["paper"], markersize=8)


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
