"""The user's multi-label labels, rows of 0 and 1: checked in the same way for all parts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.core.task import MULTI

EXPECTED = "multi-label labels of shape (n, classes), 0 or 1 for each of at least two classes (data.labels: multi)"
SINGLE_HINT = "If each example has one class, leave data.labels out."


@dataclass(frozen=True)
class Rows:
    """The labels of one part of a data set.

    Attributes:
        values: (n, classes), 0 or 1.
        name: name of the array of the labels, for messages.
    """

    values: NDArray[np.int32]
    name: str


def from_array(array: NDArray, name: str) -> Rows:
    """Return the labels in an array (n, classes) of 0 and 1, of any type of numbers or of booleans.

    Raises:
        DataError: the array has another shape, or other values; names the row.
    """
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        received = f"received {array.dtype} of shape {array.shape}"
        raise DataError(f"{name}: expected {EXPECTED}; {received}", hint=SINGLE_HINT)
    bad = np.argwhere((array != 0) & (array != 1))
    if len(bad):
        row, column = bad[0].tolist()
        place = f"value {array[row, column]} in row {row}, column {column} (counted from 0)"
        raise DataError(f"{name}: {place}: expected 0 or 1, whether the example has the class")
    return Rows(array.astype(np.int32), name)


def checked(
    parts: Mapping[str, Rows], classes: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int32]]]:
    """Return the class names, and the labels (n, classes) of each part.

    Args:
        parts: labels by part; one of them is `train`.
        classes: class names, if the data set has them; otherwise the columns are numbered from 0.

    Raises:
        DataError: parts have other numbers of classes, or a class has no example in train.
    """
    train = parts["train"]
    width = train.values.shape[1]
    names = classes or tuple(map(str, range(width)))
    if len(names) != width:
        raise DataError(
            f"{train.name}: expected {len(names)} columns, one for each name in `classes`; received {width}"
        )
    for rows in parts.values():
        if rows.values.shape[1] != width:
            raise DataError(
                f"{rows.name}: expected {width} columns, as in {train.name}; received {rows.values.shape[1]}"
            )
    counts = MULTI.examples(train.values, width)
    for what, without in (("has the class", counts == 0), ("is without the class", counts == len(train.values))):
        if without.any():
            which = first_few([names[column] for column in np.flatnonzero(without).tolist()])
            raise DataError(
                f"{train.name}: no example {what}: {which}",
                hint="It cannot be learned: add examples to train, or leave the column out.",
            )
    return names, {part: rows.values for part, rows in parts.items()}
