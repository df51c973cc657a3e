"""The user's labels, whole numbers, one-hot rows or names: checked, and encoded in the same way for all parts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets.cells import is_missing

ROWS_AT_ONCE = 4096
MULTI_HINT = "If an example may have several classes or none, set data.labels: multi."
NO_NAMES = ("", "nan", "#n/a")  # of classes; `none` and `NA` may be some
MANY_CLASSES = 10  # of which most have one example
CLASSES_HINT = "Numbers that are measured have to be divided into classes first: kdistill trains classifiers."
NUMBER = re.compile(r"[-+]?\d{1,18}(\.\d{1,18})?")


@dataclass(frozen=True)
class Labels:
    """The labels of one part of a data set.

    Attributes:
        values: whole numbers or names (n,).
        name: name of the file or array of the labels, for messages.
        width: length of one-hot rows, which is the number of classes; None for other labels.
    """

    values: NDArray
    name: str
    width: int | None = None


def from_array(array: NDArray, name: str) -> Labels:
    """Return the labels in an array of numbers or names (n,) or (n, 1), or of one-hot rows (n, classes).

    Raises:
        DataError: the array has another shape, or values that are no labels; names the row.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind not in "US" and array.shape[1] > 0:
        return _from_one_hot(array, name)
    if array.ndim != 1:
        raise DataError(f"{name}: expected labels of shape (n,) or one-hot rows (n, classes); received {array.shape}")
    array = decoded(array, name)
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array) | (array != np.floor(array)))
        if len(bad) > 0:
            place = f"label {array[bad[0]]} at position {bad[0]} (counted from 0)"
            raise DataError(f"{name}: {place}: expected whole numbers", hint=CLASSES_HINT)
    if array.dtype.kind == "U":
        return Labels(np.array(array), name)
    if array.dtype.kind == "u" and len(array) > 0 and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{name}: label {array.max()}: expected whole numbers from 0, one for each class")
    return Labels(array.astype(np.int64), name)


def check_missing(counts: Mapping[str, int], first: Mapping[str, str], name: str) -> list[str]:
    """Return a warning on names of classes that may stand for missing labels.

    Args:
        counts: number of examples by name.
        first: the place of the first of them, such as `in line 4`.
        name: name of the file or array of the labels.

    Raises:
        DataError: a name surely stands for a missing label.
    """
    total = sum(counts.values())
    if gone := [label for label in counts if label.strip().lower() in NO_NAMES]:
        count = sum(counts[label] for label in gone)
        of = "" if gone == [""] else f" ({', '.join(map(repr, gone))})"
        raise DataError(
            f"{name}: {count:,} of {total:,} labels {'is' if count == 1 else 'are'} missing{of}; the first is "
            f"{first[gone[0]]}",
            hint="Write the name of a class there, or remove these rows.",
        )
    return [
        f"{name}: {counts[label]:,} of {total:,} labels {'is' if counts[label] == 1 else 'are'} {label!r}, which is "
        "taken for the name of a class. If it stands for a missing label, remove these rows."
        for label in counts
        if is_missing(label)
    ]


def check_are_classes(counts: Mapping[str, int], name: str) -> None:
    """Raise DataError for labels of which most are there once: they are measurements, names or ids, and no classes."""
    once = sum(count == 1 for count in counts.values())
    if len(counts) >= MANY_CLASSES and once > len(counts) / 2:
        raise DataError(
            f"{name}: {len(counts):,} different labels in {sum(counts.values()):,} rows, {once:,} of them in one row: "
            f"expected classes; received {first_few(list(counts))}",
            hint=CLASSES_HINT,
        )


def check_names(labels: Labels) -> list[str]:
    """Return what `check_missing` returns for labels that are names; nothing for numbers."""
    if labels.values.dtype.kind != "U":
        return []
    names, first, counts = np.unique(labels.values, return_index=True, return_counts=True)
    places = [f"at position {position} (counted from 0)" for position in first.tolist()]
    found = names.tolist()
    return check_missing(
        dict(zip(found, counts.tolist(), strict=True)), dict(zip(found, places, strict=True)), labels.name
    )


def decoded(array: NDArray, name: str) -> NDArray:
    """Return an array of bytes decoded to text, and any other array as it is.

    Raises:
        DataError: the bytes are not UTF-8.
    """
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise DataError(f"{name}: expected names in UTF-8") from None


def _from_one_hot(array: NDArray, name: str) -> Labels:
    values = np.empty(len(array), np.int64)
    for start in range(0, len(array), ROWS_AT_ONCE):
        rows = np.asarray(array[start : start + ROWS_AT_ONCE])
        bad = np.flatnonzero(((rows == 1).sum(axis=1) != 1) | ((rows != 0).sum(axis=1) != 1))
        if len(bad) > 0:
            shown = ", ".join(f"{value:g}" for value in rows[bad[0]][:10].astype(float))
            raise DataError(
                f"{name}: row {start + bad[0]} (counted from 0) is not one-hot: expected one 1 and otherwise 0; "
                f"received {shown}{', ...' if rows.shape[1] > 10 else ''}",
                hint=MULTI_HINT if np.isin(rows, (0, 1)).all() else None,
            )
        values[start : start + len(rows)] = rows.argmax(axis=1)
    return Labels(values, name, array.shape[1])


def encoded(
    parts: Mapping[str, Labels],
    classes: tuple[str, ...] | None = None,
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int32]]]:
    """Return the class names, and the labels (n,) of each part as indices of them.

    Args:
        parts: labels by part; one of them is `train`, which has every class.
        classes: class names, if the data set has them; otherwise the labels of train are the names, in order.

    Raises:
        DataError: a label is outside the classes, a class has no example in train, or parts have labels of other kinds.
    """
    train = parts["train"]
    kinds = {labels.values.dtype.kind == "U" for labels in parts.values()}
    if len(kinds) > 1:
        names = " and ".join(labels.name for labels in parts.values())
        raise DataError(f"{names}: expected labels of one kind; received numbers and names")
    if kinds == {True}:
        classes = classes or tuple(in_order(set(train.values.tolist())))
        found = {part: _indices(labels, classes, train) for part, labels in parts.items()}
    else:
        width = _width(parts)
        if classes and width not in (None, len(classes)):
            raise DataError(
                f"{train.name}: expected one-hot rows of {len(classes)} values, one for each name in `classes`; "
                f"received {width}"
            )
        values = range(len(classes)) if classes else range(width) if width else np.unique(train.values).tolist()
        found = {part: _positions(labels, values, train) for part, labels in parts.items()}
        classes = classes or tuple(map(str, values))
    _check_are_in_train(parts, found, classes)
    return classes, found


def _indices(labels: Labels, classes: tuple[str, ...], train: Labels) -> NDArray[np.int32]:
    position = {name: index for index, name in enumerate(classes)}
    unique, inverse = np.unique(labels.values, return_inverse=True)
    if strange := [name for name in unique.tolist() if name not in position]:
        expected = f"those of {train.name}" if labels is not train else "those of `classes`"
        raise DataError(f"{labels.name}: expected no classes but {expected}: received {first_few(strange)}")
    return np.array([position[name] for name in unique.tolist()], np.int32)[inverse]


def _width(parts: Mapping[str, Labels]) -> int | None:
    """Return the length of one-hot rows; None if no part has any."""
    widths = {labels.width for labels in parts.values() if labels.width}
    if len(widths) > 1:
        received = ", ".join(f"{labels.name} {labels.width}" for labels in parts.values() if labels.width)
        raise DataError(f"expected one-hot rows of one width; received {received}")
    return widths.pop() if widths else None


def _positions(labels: Labels, values: Sequence[int], train: Labels) -> NDArray[np.int32]:
    """Return the positions of numbers (n,) among the values of the classes, which are in order."""
    known = np.array(values, np.int64)
    found = np.searchsorted(known, labels.values).clip(max=max(len(known) - 1, 0))
    bad = np.flatnonzero(known[found] != labels.values) if len(known) else np.arange(len(labels.values))
    if len(bad) > 0:
        strange = first_few([str(value) for value in np.unique(labels.values[bad]).tolist()])
        counted = known.tolist() == list(range(len(known)))
        expected = f"0 to {len(known) - 1}" if counted else first_few(list(map(str, known.tolist())), 20)
        raise DataError(
            f"{labels.name}: label {labels.values[bad[0]]} at position {bad[0]} (counted from 0): expected {expected}, "
            f"since {train.name} has {len(known)} classes; labels outside of that: {strange}"
        )
    return found.astype(np.int32)


def in_order(names: Iterable[str]) -> list[str]:
    """Return class names in order: by value if all are numbers, such as 2 and 10, or 2.0 and 10.0; else by letters."""
    names = list(names)
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (Decimal(name), name))
    return sorted(names)


def notes(parts: Mapping[str, Labels], classes: Sequence[str], are_given: bool) -> list[str]:
    """Return a sentence if labels are numbers that are not counted from 0."""
    if are_given or parts["train"].values.dtype.kind == "U" or classes == tuple(map(str, range(len(classes)))):
        return []
    return [f"The labels are numbers, but not 0 to {len(classes) - 1}: each is a class, {first_few(list(classes), 20)}"]


def _check_are_in_train(
    parts: Mapping[str, Labels], found: Mapping[str, NDArray[np.int32]], classes: tuple[str, ...]
) -> None:
    known = np.bincount(found["train"], minlength=len(classes)) > 0
    for part, labels in parts.items():
        strange = [classes[index] for index in np.unique(found[part]) if not known[index]]
        if strange:
            raise DataError(
                f"{labels.name}: classes of which {parts['train'].name} has no example: {first_few(strange)}",
                hint="They cannot be learned: add examples to train, or leave these classes out.",
            )
