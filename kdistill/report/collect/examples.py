"""Test examples worth seeing: those that distillation changed, and those that show a teacher's soft targets."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kdistill.datasets import Splits
from kdistill.report.collect.confusion import Pairs, Tally
from kdistill.report.content.predictions import Change, Example, Floats, SoftExample

MOST_VALUES = 12
SURE = (0.95, 0.5, 0.2, 0.05)
"""Quantiles of the teacher's confidence, at each of which an example shows its soft targets."""


def changes(splits: Splits, pairs: Pairs, tallies: Mapping[str, Tally], most: int) -> tuple[list[Change], list[Change]]:
    """Return the examples that distillation fixed, and those that it broke, in most seeds first.

    An example is fixed if, by their mean probabilities over the seeds, the baseline is wrong and the distilled student
    right, and if that is so in more seeds than the reverse: no card contradicts its heading.

    Args:
        splits: the data.
        pairs: the totals over both students.
        tallies: the totals over each arm that is known.
        most: the longest that each list may be.
    """
    net = pairs.fixed - pairs.broken
    labels = splits.test.all_labels
    before, after = pairs.baseline.probabilities, pairs.distilled.probabilities
    gain = (after - before)[np.arange(len(labels)), labels]
    change = (after.argmax(axis=-1) == labels).astype(int) - (before.argmax(axis=-1) == labels)
    found = []
    for sign in (1, -1):
        order = np.lexsort((-sign * gain, -sign * net))
        chosen = [number for number in order.tolist() if sign * net[number] > 0 and sign * change[number] > 0]
        found.append([_change(splits, pairs, tallies, number) for number in chosen[:most]])
    return found[0], found[1]


def _change(splits: Splits, pairs: Pairs, tallies: Mapping[str, Tally], number: int) -> Change:
    means = {arm: tally.probabilities[number] / tally.models for arm, tally in tallies.items() if tally.models}
    return Change(example(splits, number), int(pairs.fixed[number]), int(pairs.broken[number]), pairs.seeds, means)


def softened(splits: Splits, logits: Floats, temperature: float, shares: Sequence[float] = ()) -> list[SoftExample]:
    """Return a teacher's soft targets for a few examples of different classes, the most confident first.

    Args:
        splits: the data.
        logits: of the teacher on the test split, (n, classes), or of several teachers (n, teachers, classes).
        temperature: divides the logits.
        shares: the weights of several teachers in their mean; without any, all weigh the same.
    """
    plain, soft = (probabilities(logits, t, shares) for t in (1.0, temperature))
    order = np.argsort(plain.max(axis=-1), kind="stable")
    labels, chosen = splits.test.all_labels, dict[int, int]()
    for share in SURE:
        start = round(share * (len(order) - 1))
        for number in order[start::-1].tolist():
            if int(labels[number]) not in chosen:
                chosen[int(labels[number])] = number
                break
    return [SoftExample(example(splits, number), plain[number], soft[number]) for number in chosen.values()]


def probabilities(logits: Floats, temperature: float, shares: Sequence[float] = ()) -> Floats:
    """Return the soft targets (n, classes) of a teacher, or the mean over several (n, teachers, classes)."""
    soft = softmax(logits.astype(np.float64) / temperature, axis=-1)
    return soft if soft.ndim == 2 else np.average(soft, axis=1, weights=shares or None)


def example(splits: Splits, number: int) -> Example:
    """Return an example of the test split for display."""
    values, labels = splits.test.take(np.array([number]))
    label = int(labels[0])
    if splits.kind == "image" and is_image(splits.shape):
        return Example(number, label, _displayed(values[0], splits.scale))
    flat = values[0].reshape(-1)
    names = splits.features or [f"value {position}" for position in range(flat.size)]
    shown = [(str(name), float(value)) for name, value in zip(names, flat[:MOST_VALUES], strict=False)]
    return Example(number, label, None, shown, flat.size - len(shown))


def is_image(shape: Sequence[int]) -> bool:
    """Whether examples of this shape can be displayed as images."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4 and math.prod(shape[:2]) > 1)


def _displayed(image: NDArray, scale: object) -> NDArray[np.uint8]:
    """Return an image as (height, width) or (height, width, 3) bytes."""
    values = image.astype(np.float64)
    if isinstance(scale, float | int):
        values = values * scale
    else:  # values of any range: from the darkest to the lightest
        low, high = values.min(), values.max()
        values = (values - low) / (high - low or 1.0)
    if values.ndim == 3 and values.shape[2] != 3:
        values = values[..., :3] if values.shape[2] == 4 else values.mean(axis=-1)
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
