"""Which examples are trained on, selected on and scored on.

Nothing here knows where the examples came from: every data set is checked, divided and fingerprinted the same way.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kdistill.errors import ConfigError, DataError

CHECKED_AT_ONCE = 1024  # images, so that data larger than memory can be checked


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a pair of arrays; nothing is copied until rows are taken.

    Attributes:
        images: (all rows, *shape) uint8, raw values.
        labels: (all rows,) int32.
        rows: (n,) int64, the rows of `images` and `labels` that belong to this split.
    """

    images: NDArray
    labels: NDArray[np.int32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int32]]:
        """Return copies of the images (k, *shape) and labels (k,) at `positions` (k,), each in [0, n)."""
        rows = self.rows[positions]
        return self.images[rows], self.labels[rows]

    @cached_property
    def all_labels(self) -> NDArray[np.int32]:
        """The labels (n,) of all rows in order."""
        return self.labels[self.rows]

    def chunks(self, size: int) -> Iterator[tuple[NDArray, NDArray[np.int32]]]:
        """Yield images and labels of all n rows in order, `size` at a time; the last chunk may be shorter."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it was read: before any of its training part is held back.

    Attributes:
        train: what may be trained on.
        test: what is scored.
        classes: names, the index being the label.
        scale: what a raw value is multiplied by to lie in [0, 1].
        image_files: where the images of train and of test were read, for messages.
        label_files: likewise, their labels.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    scale: float
    image_files: tuple[str, str]
    label_files: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, divided.

    Attributes:
        train: what is trained on.
        validation: what early stopping and tuning see.
        test: what is scored once, at the end.
        classes: names, the index being the label.
        shape: of one example, such as (28, 28).
        scale: what a raw value is multiplied by to lie in [0, 1].
        fingerprint: SHA-256 of the images, labels and class names, whatever their division.
        split_fingerprint: SHA-256 of the three row sets: which example is used for what.
        validation_is_test: they are the same examples, so that test scores flatter.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float
    fingerprint: str
    split_fingerprint: str
    validation_is_test: bool


def whole(images: NDArray, labels: NDArray) -> Split:
    """Return the split of all rows. `images` and `labels` have the same number of them."""
    return Split(images, labels.astype(np.int32), np.arange(len(labels), dtype=np.int64))


def divide(source: Source, validation: float | Literal["test"], split_seed: int) -> Splits:
    """Check a data set and hold back part of its training examples.

    Args:
        validation: the fraction of train, in (0, 1), that becomes validation, stratified by class; or `test`.
        split_seed: decides which examples those are. No other seed has a say in it.

    Raises:
        DataError: no examples, labels outside the classes, one class alone, or images that do not go with them.
        ConfigError: the classes cannot be divided that way.
    """
    for split, images, labels in zip((source.train, source.test), source.image_files, source.label_files, strict=True):
        check_images(split, images, labels)
        check_labels(split, source.classes, labels)
    train, held_back = source.train, source.test
    if validation != "test":
        _check_fraction(source, validation)
        rows, held_rows = stratified(train.rows, train.labels, validation, split_seed)
        held_back = Split(train.images, train.labels, held_rows)
        train = Split(train.images, train.labels, rows)
        _check_classes_are_in_both(source, train, held_back, validation)
    return Splits(
        train=train,
        validation=held_back,
        test=source.test,
        classes=source.classes,
        shape=train.images.shape[1:],
        scale=source.scale,
        fingerprint=_fingerprint(source),
        split_fingerprint=_split_fingerprint(train, held_back, source.test),
        validation_is_test=validation == "test",
    )


def stratified(
    rows: NDArray[np.int64], labels: NDArray[np.int32], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows in two, each class in the same proportion to within one row.

    Args:
        rows: (n,) row numbers into `labels`.
        fraction: of the rows, that goes to the second part, rounded up.

    Returns:
        The two parts, each in ascending order, which is kind to arrays on disk.
    """
    # Takes half a second to import, which commands that load no data should not wait for.
    from sklearn.model_selection import train_test_split

    first, second = train_test_split(rows, test_size=fraction, stratify=labels[rows], random_state=seed)
    return np.sort(first), np.sort(second)


def check_images(split: Split, images: str, labels: str) -> None:
    """Check that the images of a split go with its labels, and are numbers.

    Args:
        images: the file that they are from, for messages.
        labels: the file that the labels are from.

    Raises:
        DataError: there are more of one than of the other, or a value is NaN or infinite.
    """
    if len(split.images) != len(split.labels):
        raise DataError(
            f"{images}: {len(split.images)} images; expected as many as there are labels in {labels}, "
            f"which is {len(split.labels)}"
        )
    if split.images.dtype.kind != "f":
        return
    for start in range(0, len(split), CHECKED_AT_ONCE):
        rows = split.rows[start : start + CHECKED_AT_ONCE]
        bad = ~np.isfinite(split.images[rows]).reshape(len(rows), -1).all(axis=1)
        if bad.any():
            raise DataError(
                f"{images}: the image at position {rows[bad.argmax()]} (counted from 0) has a value that is NaN or "
                "infinite: expected finite numbers"
            )


def check_labels(split: Split, classes: tuple[str, ...], name: str) -> None:
    """Check the labels of the rows of a split.

    Args:
        name: the file they are from, for messages.

    Raises:
        DataError: there are none, one is outside the classes, or all are the same.
    """
    labels = split.all_labels
    if len(labels) == 0:
        raise DataError(f"{name}: expected labels; received none")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong) > 0:
        raise DataError(
            f"{name}: label {labels[wrong[0]]} at position {split.rows[wrong[0]]} (counted from 0): "
            f"expected 0 to {len(classes) - 1}, for {len(classes)} classes"
        )
    if (labels == labels[0]).all():
        raise DataError(
            f"{name}: expected at least two classes; all {len(labels)} labels, from position "
            f"{split.rows[0]} on, are {labels[0]} ({classes[labels[0]]})"
        )


def _check_fraction(source: Source, fraction: float) -> None:
    """Check what scikit-learn would refuse, in words that name the config key."""
    counts = np.bincount(source.train.labels[source.train.rows], minlength=len(source.classes))
    present = np.flatnonzero(counts)
    rarest = present[counts[present].argmin()]
    if counts[rarest] < 2:
        raise DataError(
            f"{source.label_files[0]}: class {source.classes[rarest]} has 1 example: expected at least 2, "
            "one to train on and one to hold back",
            hint="Add examples or leave the class out; or set data.validation to `test`.",
        )
    total = len(source.train)
    held_back = ceil(fraction * total)
    for part, size in (("validation", held_back), ("train", total - held_back)):
        if size < len(present):
            raise ConfigError(
                f"data.validation: {fraction} of {total} examples leaves {size} for {part}: expected at least "
                f"one for each of the {len(present)} classes",
                hint="Choose another fraction.",
            )


def _check_classes_are_in_both(source: Source, train: Split, validation: Split, fraction: float) -> None:
    count = len(source.classes)
    in_train = np.bincount(train.labels[train.rows], minlength=count)
    in_validation = np.bincount(validation.labels[validation.rows], minlength=count)
    lost = np.flatnonzero((in_train == 0) != (in_validation == 0))
    if len(lost) > 0:
        part = "train" if in_train[lost[0]] == 0 else "validation"
        examples = in_train[lost[0]] + in_validation[lost[0]]
        raise ConfigError(
            f"data.validation: {fraction} leaves {part} no example of class {source.classes[lost[0]]}, which has "
            f"{examples}: expected at least one in train and one in validation",
            hint="Choose another fraction, or add examples of that class.",
        )


def _fingerprint(source: Source) -> str:
    digest = hashlib.sha256()
    splits = [source.train]
    if source.test.images is not source.train.images:
        splits.append(source.test)
    for split in splits:
        for array in (split.images, split.labels):
            # Type and shape too: the same bytes may be other images.
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    digest.update(repr(source.classes).encode())
    return digest.hexdigest()


def _split_fingerprint(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"{len(split)} rows:".encode())
        digest.update(split.rows.astype("<i8").data)
    return digest.hexdigest()
