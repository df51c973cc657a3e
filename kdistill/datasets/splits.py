"""The train, validation and test splits: every data set is checked, split and fingerprinted here, in the same way."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdistill.core import kinds
from kdistill.core.errors import ConfigError, DataError
from kdistill.core.formatting import first_few
from kdistill.core.kinds import Kind
from kdistill.core.scaling import Affine, Scale, Tokens, affine, standardization
from kdistill.core.task import MULTI, Floats, Task, of_labels
from kdistill.datasets import guards, memory_map, transfer_set
from kdistill.datasets.split import AnySplit, Joined, Split
from kdistill.datasets.stratify import stratified
from kdistill.datasets.transfer_set import Which

PASSED_ON = ("warnings", "skipped", "features", "notes", "inputs")  # from a source to its splits
ROWS_AT_ONCE = 1024  # checked at a time, since the images may be larger than memory
SELECTED_ON_TEST = (
    "Early stopping chose the epoch on the test split (data.validation: test), so test scores are optimistically "
    "biased."
)


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a data set, and facts that do not depend on how train is split.

    Attributes:
        train: the training split.
        test: the test split.
        classes: class names, in the order of the labels.
        warnings: sentences on the data that the reader of a result must know.
        skipped: number of files that could not be read and were left out.
        features: names of the columns of a table, in order; empty for images.
        notes: sentences on how files were read, which are shown with the data.
        inputs: how values are made of files, as JSON, if `predict` has to know it (`modelfiles.inputs`).
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=(), kw_only=True)
    skipped: int = field(default=0, kw_only=True)
    features: tuple[str, ...] = field(default=(), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    inputs: dict[str, Any] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, eq=False)
class Source(Examples):
    """A data set as it was read, before a part of train is held out for validation.

    Attributes:
        scale: factor that brings raw values to [0, 1], or the vocabulary of tokens; None if mean and variance of train
            standardize them.
        image_files: names of the files of train's and test's images, for messages.
        label_files: names of the files of train's and test's labels, for messages.
        validation: validation part of the data set, if it has one.
        fingerprint: SHA-256 of the arrays, if it is known; then their values have been checked too.
        kind: kind of the examples; None for that of their shape (`kinds.plain`).
    """

    scale: float | Tokens | None
    image_files: tuple[str, str]
    label_files: tuple[str, str]
    validation: Split | None = None
    fingerprint: str | None = None
    kind: Kind | None = None


@dataclass(frozen=True, eq=False)
class Splits(Examples):
    """A data set, split into train, validation and test.

    Attributes:
        validation: the split that early stopping and model selection use.
        kind: kind of the examples.
        scale: factor that brings raw values to [0, 1], mean and variance of the rows of train, or the vocabulary.
        fingerprint: SHA-256 of the images, labels and class names, however they are split, and the kind if it is
            neither a table nor images.
        split_fingerprint: SHA-256 of the rows of the three splits.
        validation_is_test: whether validation is the test split, so that test scores are optimistically biased.
        known: train with the labels of all examples, where some are set aside in `train` (`labelling`); None if not.
        added: the examples of `data.unlabelled`, if there are any.
        added_fingerprint: SHA-256 of their values.
        right_validation: validation with its right labels, where `data.label_noise` made some wrong; for scores alone.
        noise: what `data.label_noise` did, as JSON; None without it.
    """

    validation: Split
    kind: Kind
    scale: Scale
    fingerprint: str
    split_fingerprint: str
    validation_is_test: bool
    known: Split | None = None
    added: Split | None = None
    added_fingerprint: str | None = None
    right_validation: Split | None = None
    noise: dict[str, Any] | None = None

    @property
    def labelled(self) -> Split:
        """The labelled examples of train."""
        return self.train if self.known is None else self.part(self.positions("labelled"))

    @property
    def per_epoch(self) -> int:
        """The number of examples in an epoch of every arm: all, labelled or not."""
        return len(self.train) + (len(self.added) if self.added else 0)

    @property
    def has_unlabelled(self) -> bool:
        """Whether some training examples have no label."""
        return self.known is not None or self.added is not None

    def examples(self, which: Which) -> AnySplit:
        """Return the training examples that a model teaches: all, some classes, those with a label, or without."""
        positions = self.positions(which)
        own = self.train if which == "all" else self.part(positions)
        if (added := self.added_to(which)) is None:
            return own
        return Joined((own, added)) if len(positions) else added

    def added_to(self, which: Which) -> Split | None:
        """Return the examples of `data.unlabelled` if they are among those that `examples` returns; else None."""
        return self.added if which in ("all", "unlabelled") else None

    def of_examples(self, which: Which, of_train: Floats, of_added: Floats | None) -> Floats:
        """Return values (k, ...) of `examples`, from those of train (n, ...) and, if there are any, of `added_to`."""
        own = of_train if which == "all" else of_train[self.positions(which)]
        return own if of_added is None else np.concatenate([own, of_added])

    def positions(self, which: Which) -> NDArray[np.int64]:
        """Return the positions (k,) in train of some examples; of a label that is set aside nothing is known."""
        return transfer_set.positions(self.train.all_labels, which)

    def part(self, positions: NDArray[np.int64]) -> Split:
        """Return the examples of train at positions (k,) in [0, n)."""
        return replace(self.train, rows=self.train.rows[positions])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example, such as (28, 28)."""
        return self.train.images.shape[1:]

    @property
    def example(self) -> kinds.Example:
        """What a model of this data is built for."""
        return kinds.Example(self.shape, len(self.classes), self.kind)

    @property
    def fitting(self) -> tuple[tuple[int, ...], int, int | None, Task]:
        """What a model file has to fit: shape of an example, number of classes, that of tokens if any, and task."""
        return self.shape, len(self.classes), self.vocabulary, self.task

    @property
    def task(self) -> Task:
        """What a label is: one class, or any number of classes."""
        return of_labels(self.train.labels)

    @property
    def vocabulary(self) -> int | None:
        """The number of tokens; None if the examples are not tokens."""
        return self.scale.vocabulary if isinstance(self.scale, Tokens) else None

    @property
    def all_warnings(self) -> list[str]:
        """Sentences on the data and its splits that the reader of a result must know."""
        selected_on_test = [SELECTED_ON_TEST] if self.validation_is_test else []
        return [*self.warnings, *selected_on_test, *guards.small_validation(len(self.validation))]

    @property
    def has_own_validation(self) -> bool:
        """Whether validation is a part of the data set, neither held out from train nor the test split."""
        return not self.validation_is_test and self.validation.images is not self.train.images

    def preprocessing(self, name: str) -> Affine | None:
        """Return how raw values are scaled for a teacher from elsewhere: see `scaling.affine`, and what that raises."""
        return affine(name, self.scale, self.shape, self.kind, self.train.chunks)

    def training_part(self) -> Split:
        """Return train with the rows held out for validation, in the data set's order, with all known labels."""
        rows = self.train.rows
        if not self.validation_is_test and not self.has_own_validation:
            rows = np.sort(np.concatenate([rows, self.validation.rows]))
        return replace(self.known or self.train, rows=rows)


def divide(source: Source, validation: float | Literal["test", "given"], split_seed: int) -> Splits:
    """Check a data set and choose its validation split.

    Args:
        source: the data set.
        validation: fraction of train, in (0, 1), to hold out for validation, stratified by class; `test` for the test
            split; or `given` for the validation part of the data set.
        split_seed: the seed of the split, on which no other seed has an influence.

    Raises:
        DataError: there are no examples, labels outside the classes, a single class, or images that do not fit them.
        ConfigError: the classes cannot be split like this, or the data set has no validation part.
    """
    for split, images, labels in zip((source.train, source.test), source.image_files, source.label_files, strict=True):
        if source.fingerprint is None:
            check_images(split, images, labels)
        check_labels(split, source.classes, labels)
    train, held_out = _with_validation(source, validation, split_seed)
    shape, scale = train.images.shape[1:], source.scale
    kind = source.kind or kinds.plain(shape)
    hashed = source.fingerprint or fingerprint([source.train, source.test], source.classes)
    return Splits(
        train=train,
        validation=held_out,
        test=source.test,
        classes=source.classes,
        kind=kind,
        scale=standardization(train.chunks, shape, kind) if scale is None else scale,
        fingerprint=kinds.marked(hashed, kind, scale.vocabulary if isinstance(scale, Tokens) else None),
        split_fingerprint=_split_fingerprint(train, held_out, source.test),
        validation_is_test=validation == "test",
        **{name: getattr(source, name) for name in PASSED_ON},
    )


def _with_validation(source: Source, validation: float | Literal["test", "given"], seed: int) -> tuple[Split, Split]:
    """Return the training and the validation split."""
    if validation == "given":
        if source.validation is None:
            raise ConfigError(
                f"data.validation: expected a share of train, or test; received given, and {source.image_files[0]} "
                "has no validation part"
            )
        return source.train, source.validation
    return (source.train, source.test) if validation == "test" else hold_out(source, validation, seed, "validation")


def hold_out(source: Source, fraction: float, seed: int, part: Literal["validation", "test"]) -> tuple[Split, Split]:
    """Return the rest of train, and the fraction of it that becomes another part, stratified by class.

    Multi-label data are stratified as far as possible by the combinations of classes: see `stratify.strata`.

    Raises:
        DataError: a class has a single example.
        ConfigError: one of the two would have no example of some class.
    """
    train = source.train
    _check_fraction(source, fraction, part)
    rows, held_rows = stratified(train.rows, train.labels, fraction, seed)
    rest, held_out = (replace(train, rows=each) for each in (rows, held_rows))
    _check_classes_are_in_both(source, rest, held_out, fraction, part)
    return rest, held_out


def check_images(split: Split, images: str, labels: str) -> None:
    """Check that a split has as many images as labels, and that its images are finite numbers.

    Raises:
        DataError: it has not; names the files `images` and `labels`.
    """
    if len(split.images) != len(split.labels):
        raise DataError(
            f"{images}: {len(split.images)} images; expected as many as labels in {labels}, {len(split.labels)}"
        )
    if split.images.dtype.kind != "f":
        return
    for start in range(0, len(split), ROWS_AT_ONCE):
        rows = split.rows[start : start + ROWS_AT_ONCE]
        bad = ~np.isfinite(split.images[rows]).reshape(len(rows), -1).all(axis=1)
        if bad.any():
            raise DataError(
                f"{images}: the image at position {rows[bad.argmax()]} (counted from 0) has a value that is NaN or "
                "infinite: expected finite numbers"
            )


def check_labels(split: Split, classes: tuple[str, ...], name: str) -> None:
    """Check the labels of a split, which are in the file `name`.

    Raises:
        DataError: there are no labels, one is outside the classes, or all are the same.
    """
    labels = split.all_labels
    if len(labels) == 0:
        raise DataError(f"{name}: expected labels; received none")
    if of_labels(labels) is MULTI:  # that they are 0 or 1 was checked when they were read
        if (labels == labels[0]).all():
            raise DataError(f"{name}: expected examples of different classes; all {len(labels)} have the same ones")
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong) > 0:
        raise DataError(
            f"{name}: label {labels[wrong[0]]} at position {split.rows[wrong[0]]} (counted from 0): "
            f"expected 0 to {len(classes) - 1}, for {len(classes)} classes"
        )
    if (labels == labels[0]).all():
        raise DataError(
            f"{name}: expected examples of at least two classes; all {len(labels)} have the label {labels[0]} "
            f"({classes[labels[0]]})",
            hint=f"The data have the classes {first_few(list(classes))}: each part needs examples of them.",
        )


def _check_fraction(source: Source, fraction: float, held: str) -> None:
    """Refuse a fraction that scikit-learn would refuse, in words that name the config key."""
    counts = _counts(source, source.train)
    present = np.flatnonzero(counts)
    rarest = present[counts[present].argmin()]
    if counts[rarest] < 2:
        raise DataError(
            f"{source.label_files[0]}: class {source.classes[rarest]} has 1 example: expected at least 2, "
            "one to train on and one to hold out",
            hint="Add examples or leave the class out"
            + ("; or set data.validation to `test`." if held == "validation" else "."),
        )
    total = len(source.train)
    held_out = ceil(fraction * total)
    for part, size in ((held, held_out), ("train", total - held_out)):
        if size < len(present):
            raise ConfigError(
                f"data.{held}: {fraction} of {total} examples leaves {size} for {part}: expected at least "
                f"one for each of the {len(present)} classes",
                hint="Choose another fraction.",
            )


def _check_classes_are_in_both(source: Source, train: Split, held_out: Split, fraction: float, held: str) -> None:
    in_train, in_held_out = (_counts(source, part) for part in (train, held_out))
    lost = np.flatnonzero((in_train == 0) != (in_held_out == 0))
    if len(lost) > 0:
        part = "train" if in_train[lost[0]] == 0 else held
        examples = in_train[lost[0]] + in_held_out[lost[0]]
        raise ConfigError(
            f"data.{held}: {fraction} leaves {part} no example of class {source.classes[lost[0]]}, which has "
            f"{examples}: expected at least one in train and one in {held}",
            hint="Choose another fraction, or add examples of that class.",
        )


def _counts(source: Source, part: Split) -> NDArray[np.int64]:
    """Return the number (classes,) of examples of each class in a part."""
    return of_labels(part.labels).examples(part.all_labels, len(source.classes))


def fingerprint(splits: Sequence[Split], classes: tuple[str, ...]) -> str:
    """Return the SHA-256 of the arrays of splits, each array once, and of the class names."""
    digest = hashlib.sha256()
    seen: list[NDArray] = []
    for split in splits:
        if any(split.images is images for images in seen):
            continue
        seen.append(split.images)
        for array in (split.images, split.labels):
            # Type and shape are included: the same bytes in another shape are other images.
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
    """Return the section on the data of a run's manifest."""
    about = {
        "fingerprint": splits.fingerprint,
        "split_fingerprint": splits.split_fingerprint,
        "examples": {name: len(getattr(splits, name)) for name in ("train", "validation", "test")},
        "classes": list(splits.classes),
    }
    labelled: dict[str, Any] = {"labelled": len(splits.labelled)} if splits.known else {}
    labelled |= {"unlabelled": len(splits.added)} if splits.added else {}
    labelled |= {"label_noise": splits.noise} if splits.noise else {}
    return {**about, **labelled, **({"skipped": splits.skipped} if splits.skipped else {})}
