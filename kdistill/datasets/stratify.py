"""Rows divided at random, with the same proportions of classes in both parts as far as that is possible."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from kdistill.core.task import SINGLE, of_labels


def stratified(
    rows: NDArray[np.int64], labels: NDArray[np.int32], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows in two, with the same proportions of strata to within one row.

    Args:
        rows: indices (n,) into `labels`.
        labels: labels (all rows,), or (all rows, classes) of multi-label data.
        fraction: fraction of the rows, rounded up, that goes to the second part.
        seed: seed of the split.

    Returns:
        The two parts, each in ascending order, in which arrays on disk are read faster.
    """
    # Imported here because the import takes half a second.
    from sklearn.model_selection import train_test_split

    of_rows = strata(rows, labels, fraction)
    first, second = train_test_split(rows, test_size=fraction, stratify=of_rows, random_state=seed)
    return np.sort(first), np.sort(second)


def strata(rows: NDArray[np.int64], labels: NDArray[np.int32], fraction: float) -> NDArray[np.int32] | None:
    """Return the stratum (n,) of each of n rows, of which a fraction is held out; None if there is but one.

    A stratum is a class; of multi-label data a combination of classes. Combinations that are too rare for one example
    of each to be held out and one to be kept, and the rarest if there are more than examples to hold out, are one
    stratum together.
    """
    if of_labels(labels) is SINGLE:
        return labels[rows]
    _, of_row, counts = np.unique(labels[rows], axis=0, return_inverse=True, return_counts=True)
    smaller = min(held := ceil(fraction * len(rows)), len(rows) - held)
    kept = np.argsort(-counts, kind="stable")[: max(smaller - 1, 0)]
    kept = kept[counts[kept] >= max(2, ceil(1 / min(fraction, 1 - fraction)))]
    if not len(kept):
        return None
    number = np.full(len(counts), -1, np.int32)
    number[kept] = np.arange(len(kept))
    found = number[of_row.reshape(-1)]
    if (found == -1).sum() == 1:  # a stratum of one row cannot be divided
        found[found == -1] = 0
    return found
