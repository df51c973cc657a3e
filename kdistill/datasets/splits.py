"""Which examples are trained on, selected on and scored on.

Nothing here knows where the examples came from: every data set is checked, divided and fingerprinted the same way.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError, DataError
from kdistill.core.scaling import Scale
from kdistill.datasets import memory_map
from kdistill.datasets.standardize import standardization

CHECKED_AT_ONCE = 1024  # images, so that data larger than memory can be checked


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a pair of arrays; nothing is copied until rows are taken.

    Attributes:
        images: (all rows, *shape) uint8 or float32, raw values, which may be mapped from a file. Rows of a table are
            "images" of one dimension here.
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
        return memory_map.gather(self.images, rows), self.labels[rows]

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
        scale: what a raw value is multiplied by to lie in [0, 1]; None where train's mean and variance scale it.
        image_files: where the images of train and of test were read, for messages.
        label_files: likewise, their labels.
        validation: what the data set brings for that, if anything.
        fingerprint: of the arrays, if it is known already; then they were checked when it was computed.
        warnings: what the reader of a result must know of the data.
        skipped: files that could not be read and were left out.
        features: names of the columns of a table, in order; none of what is no table.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    scale: float | None
    image_files: tuple[str, str]
    label_files: tuple[str, str]
    validation: Split | None = None
    fingerprint: str | None = None
    warnings: tuple[str, ...] = ()
    skipped: int = 0
    features: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, divided.

    Attributes:
        train: what is trained on.
        validation: what early stopping and tuning see.
        test: what is scored once, at the end.
        classes: names, the index being the label.
        shape: of one example, such as (28, 28).
        scale: what a raw value is multiplied by to lie in [0, 1], or the mean and variance of the rows of train.
        fingerprint: SHA-256 of the images, labels and class names, whatever their division.
        split_fingerprint: SHA-256 of the three row sets: which example is used for what.
        validation_is_test: they are the same examples, so that test scores flatter.
        warnings: what the reader of a result must know of the data.
        skipped: files that could not be read and were left out.
        features: names of the columns of a table, in order; none of what is no table.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    scale: Scale
    fingerprint: str
    split_fingerprint: str
    validation_is_test: bool
    warnings: tuple[str, ...] = ()
    skipped: int = 0
    features: tuple[str, ...] = ()

    @property
    def all_warnings(self) -> list[str]:
        """What the reader of a result must know of the data and of how it is divided."""
        if not self.validation_is_test:
            return list(self.warnings)
        return [
            *self.warnings,
            "Early stopping chose the epoch on the test split (data.validation: test), so test scores flatter.",
        ]

    def no_better_than_chance(self, accuracy: float) -> str | None:
        """Return a warning if a teacher of that accuracy on the validation split knows nothing about it."""
        labels = self.validation.all_labels
        if accuracy > np.bincount(labels).max() / len(labels):
            return None
        return f"The teacher is no better than always naming the commonest class ({accuracy:.4f} on validation)."

    @property
    def has_own_validation(self) -> bool:
        """Whether validation came with the data, rather than being held back from train or being test."""
        return not self.validation_is_test and self.validation.images is not self.train.images

    def training_part(self) -> Split:
        """Return what may be trained on in the data set's own order, with the rows held back for validation."""
        rows = self.train.rows
        if not self.validation_is_test and not self.has_own_validation:
            rows = np.sort(np.concatenate([rows, self.validation.rows]))
        return Split(self.train.images, self.train.labels, rows)


def whole(images: NDArray, labels: NDArray) -> Split:
    """Return the split of all rows. `images` and `labels` have the same number of them."""
    return Split(images, labels.astype(np.int32), np.arange(len(labels), dtype=np.int64))


def divide(source: Source, validation: float | Literal["test", "given"], split_seed: int) -> Splits:
    """Check a data set and hold back part of its training examples.

    Args:
        validation: the fraction of train, in (0, 1), that becomes validation, stratified by class; or `test`; or
            `given`, for what the data set brings.
        split_seed: decides which examples those are. No other seed has a say in it.

    Raises:
        DataError: no examples, labels outside the classes, one class alone, or images that do not go with them.
        ConfigError: the classes cannot be divided that way, or the data set brings no validation part.
    """
    for split, images, labels in zip((source.train, source.test), source.image_files, source.label_files, strict=True):
        if source.fingerprint is None:
            check_images(split, images, labels)
        check_labels(split, source.classes, labels)
    train, held_back = source.train, source.test
    if validation == "given":
        if source.validation is None:
            raise ConfigError(
                f"data.validation: expected a share of train, or test; received given, and {source.image_files[0]} "
                "brings no validation part"
            )
        held_back = source.validation
    elif validation != "test":
        train, held_back = hold_back(source, validation, split_seed, "validation")
    return Splits(
        train=train,
        validation=held_back,
        test=source.test,
        classes=source.classes,
        shape=train.images.shape[1:],
        scale=standardization(train.chunks, train.images.shape[1:]) if source.scale is None else source.scale,
        fingerprint=source.fingerprint or fingerprint([source.train, source.test], source.classes),
        split_fingerprint=_split_fingerprint(train, held_back, source.test),
        validation_is_test=validation == "test",
        warnings=source.warnings,
        skipped=source.skipped,
        features=source.features,
    )


def hold_back(source: Source, fraction: float, seed: int, part: Literal["validation", "test"]) -> tuple[Split, Split]:
    """Return what is left of train, and the fraction of it that becomes another part, stratified by class.

    Raises:
        DataError: a class has one example.
        ConfigError: one of the two would have no example of some class.
    """
    train = source.train
    _check_fraction(source, fraction, part)
    rows, held_rows = stratified(train.rows, train.labels, fraction, seed)
    held_back = Split(train.images, train.labels, held_rows)
    left = Split(train.images, train.labels, rows)
    _check_classes_are_in_both(source, left, held_back, fraction, part)
    return left, held_back


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


def _check_fraction(source: Source, fraction: float, held: str) -> None:
    """Check what scikit-learn would refuse, in words that name the config key."""
    counts = np.bincount(source.train.labels[source.train.rows], minlength=len(source.classes))
    present = np.flatnonzero(counts)
    rarest = present[counts[present].argmin()]
    if counts[rarest] < 2:
        raise DataError(
            f"{source.label_files[0]}: class {source.classes[rarest]} has 1 example: expected at least 2, "
            "one to train on and one to hold back",
            hint="Add examples or leave the class out"
            + ("; or set data.validation to `test`." if held == "validation" else "."),
        )
    total = len(source.train)
    held_back = ceil(fraction * total)
    for part, size in ((held, held_back), ("train", total - held_back)):
        if size < len(present):
            raise ConfigError(
                f"data.{held}: {fraction} of {total} examples leaves {size} for {part}: expected at least "
                f"one for each of the {len(present)} classes",
                hint="Choose another fraction.",
            )


def _check_classes_are_in_both(source: Source, train: Split, held_back: Split, fraction: float, held: str) -> None:
    count = len(source.classes)
    in_train = np.bincount(train.labels[train.rows], minlength=count)
    in_held_back = np.bincount(held_back.labels[held_back.rows], minlength=count)
    lost = np.flatnonzero((in_train == 0) != (in_held_back == 0))
    if len(lost) > 0:
        part = "train" if in_train[lost[0]] == 0 else held
        examples = in_train[lost[0]] + in_held_back[lost[0]]
        raise ConfigError(
            f"data.{held}: {fraction} leaves {part} no example of class {source.classes[lost[0]]}, which has "
            f"{examples}: expected at least one in train and one in {held}",
            hint="Choose another fraction, or add examples of that class.",
        )


def fingerprint(splits: Sequence[Split], classes: tuple[str, ...]) -> str:
    """Return the SHA-256 of the arrays of some splits, each array once, and of the class names."""
    digest = hashlib.sha256()
    seen: list[NDArray] = []
    for split in splits:
        if any(split.images is images for images in seen):
            continue
        seen.append(split.images)
        for array in (split.images, split.labels):
            # Type and shape too: the same bytes may be other images.
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            for piece in memory_map.pieces(array):
                digest.update(np.ascontiguousarray(piece).data)
    digest.update(repr(classes).encode())
    return digest.hexdigest()


def _split_fingerprint(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"{len(split)} rows:".encode())
        digest.update(split.rows.astype("<i8").data)
    return digest.hexdigest()


def about_data(splits: Splits) -> dict[str, Any]:
    """Return what a manifest records of the data."""
    about = {
        "fingerprint": splits.fingerprint,
        "split_fingerprint": splits.split_fingerprint,
        "examples": {name: len(getattr(splits, name)) for name in ("train", "validation", "test")},
        "classes": list(splits.classes),
    }
    return {**about, "skipped": splits.skipped} if splits.skipped else about
