"""Axes in plain words, with their units."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from kdistill.evaluation.measures import Measure


def label(split: str, measure: Measure) -> str:
    """Return the label of an axis for a measure on a split: `test accuracy (0 to 1)`."""
    return f"{split} {measure.words} ({'0 to 1' if measure.unit == 'points' else measure.unit})"


def logarithmic(axes: Axes, costs: Sequence[float]) -> None:
    """Make the x axis logarithmic, with numbers as they are spoken instead of powers.

    Args:
        axes: whose marks are drawn already.
        costs: of the marks, greater than 0.
    """
    axes.set_xscale("log")
    steps = (1, 2, 5) if max(costs) < 20 * min(costs) else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))  # evenly spaced where there are fewer than two of them
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))  # the usual one writes powers, in TeX
