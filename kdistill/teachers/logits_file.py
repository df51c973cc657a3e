"""A teacher's logits from a file that any program can write: an `.npz` archive of NumPy arrays.

    train         (rows, classes)   the training part in the data set's own order, validation rows included
    validation    (rows, classes)   only for data that have a validation part of their own
    unlabelled    (rows, classes)   only with `data.unlabelled`: images in the order of their names
    test          (rows, classes)   optional unless `data.validation` is `test`; without it there is no agreement
    labels        (rows,)           labels of `train`; `labels` or `fingerprint` is required to check the row order
    test_labels   (rows,)           labels of `test`, optional
    fingerprint   text              fingerprint of the data, as `kdistill data export` writes it
    classes       (classes,)        names, or labels from 0 on, in the order of the columns; optional

`kdistill data export` writes the examples in this order. Files are not trusted: shapes and types are checked before any
array is read, and no object is unpickled.
"""

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError
from kdistill.core.kinds import unmarked
from kdistill.core.task import MULTI, SINGLE
from kdistill.datasets import Split, Splits, npy
from kdistill.evaluation.metrics import check_logits

SUFFIX = ".npz"
LOGITS, LABELS, TEXT = "f", "iu", "U"
LONGEST_TEXT = 4000  # bytes of one name, four for each character
EXPORT = "`kdistill data export` writes the examples in the expected order, with their labels and fingerprint."
# How logits are made of probabilities, by the task.
TAKE_LOG = {
    SINGLE.name: "Give logits, or the logarithm of probabilities: np.log(np.clip(p, 1e-7, 1)), or predict_log_proba in "
    "scikit-learn.",
    MULTI.name: "Give logits; of probabilities p, clipped to 1e-7 and 1 - 1e-7, they are np.log(p / (1 - p)).",
}
LAYOUT = (
    "A file of logits (--teacher-logits) has `train` (rows, classes), `labels` or `fingerprint`, with data.unlabelled "
    "`unlabelled` too, and optionally `test` and `classes`; `kdistill data export` writes the examples in the order of "
    "the rows."
)


def model_bytes(paths: Sequence[Path]) -> int | None:
    """Return the total size of the teachers' model files in bytes; None if a file of logits is among them."""
    return None if any(path.suffix == SUFFIX for path in paths) else sum(path.stat().st_size for path in paths)


class LogitsFile:
    """The logits in an archive, checked against the data.

    Args:
        path: the archive.
        splits: the data of the logits.
        shapes_only: check shapes and types, and read no values.

    Raises:
        ModelError: the file is missing or damaged, its rows or classes are not those of the data, or its values cannot
            be logits.
    """

    def __init__(self, path: Path, splits: Splits, shapes_only: bool = False) -> None:
        self.path = path
        self._splits = splits
        self._shapes_only = shapes_only
        self._classes = len(splits.classes)
        self._headers: dict[str, npy.Header] = {}
        try:
            self._read()
        except ModelError as error:
            raise ModelError(f"{path}: {error.message}", error.hint) from error.__cause__

    def _read(self) -> None:
        if not self.path.is_file():
            raise ModelError("no such file of logits" if not self.path.exists() else "expected a regular file")
        if self.path.suffix != SUFFIX:
            raise ModelError(
                f"expected a `{SUFFIX}` file of logits; received a name that ends in {self.path.suffix or 'nothing'}",
                hint="Write it with np.savez(path, train=logits, labels=y).",
            )
        try:
            with zipfile.ZipFile(self.path) as archive:
                for name in npy.names(archive):
                    with archive.open(f"{name}{npy.SUFFIX}") as member:
                        self._headers[name] = npy.read_header(member)
            with np.load(self.path, allow_pickle=False) as arrays:
                self._take(arrays)
        except ModelError:
            raise
        except Exception as error:  # zipfile and NumPy raise many kinds for damaged archives
            reason = str(error).split("\n")[0][:200] or type(error).__name__
            raise ModelError(
                f"expected an archive of NumPy arrays; it cannot be read: {reason}",
                hint="Write it with np.savez(path, train=logits, labels=y); a pickle is never read.",
            ) from error

    def _take(self, arrays: Any) -> None:
        splits = self._splits
        own = {"validation": splits.validation} if splits.has_own_validation else {}
        own |= {"unlabelled": splits.added} if splits.added else {}
        possible = {"train": splits.training_part(), **own, "test": splits.test}
        needed = {"train", "unlabelled", "test" if splits.validation_is_test else "validation"}
        parts = {name: split for name, split in possible.items() if name in needed or name in self._headers}
        self._check_headers(parts)
        if not self._shapes_only:
            self._check_rows(arrays, parts)
            self._check_classes(arrays)
            self._logits = {name: self._logits_of(arrays, name) for name in parts}

    def _check_headers(self, parts: dict[str, Split]) -> None:
        """Check shapes and types of all arrays."""
        for name, split in parts.items():
            self._check_header(name, LOGITS, (len(split), self._classes))
        if not {"labels", "fingerprint"} & set(self._headers):
            raise ModelError("expected `labels` or `fingerprint`, to check the order of the rows", hint=EXPORT)
        if "fingerprint" in self._headers:
            self._check_header("fingerprint", TEXT, ())
        for name, part in (("labels", "train"), ("test_labels", "test")):
            if name in self._headers and part in parts:
                self._check_header(name, LABELS, parts[part].all_labels.shape)
        if "classes" in self._headers:
            self._check_header("classes", TEXT + LABELS, (self._classes,))

    def _check_rows(self, arrays: Any, parts: dict[str, Split]) -> None:
        """Check that the rows are those of the data, in the same order."""
        if "fingerprint" in self._headers:
            # How the student scales the examples does not matter.
            own, found = (unmarked(text)[0] for text in (self._splits.fingerprint, str(arrays["fingerprint"])))
            if found != own:
                raise ModelError(
                    f"the logits are of other data: expected the fingerprint {own[:16]}...; received {found[:16]!r}",
                    hint=EXPORT,
                )
        for name, part in (("labels", "train"), ("test_labels", "test")):
            if name in self._headers and part in parts:
                expected = parts[part].all_labels
                wrong = np.unique(np.nonzero(arrays[name] != expected)[0])
                if len(wrong):
                    raise ModelError(
                        f"{name}: the rows are in another order, or of other data: expected label {expected[wrong[0]]} "
                        f"in row {wrong[0]} (counted from 0); received {arrays[name][wrong[0]]}; "
                        f"{len(wrong):,} of {len(expected):,} differ",
                        hint=EXPORT,
                    )

    def _check_classes(self, arrays: Any) -> None:
        if "classes" not in self._headers:
            return
        found = arrays["classes"].tolist()
        if found not in (list(self._splits.classes), list(range(self._classes))):
            raise ModelError(
                f"classes: expected {', '.join(self._splits.classes[:20])}; received {', '.join(map(str, found[:20]))}",
                hint="Sort the columns of the logits into the order of the data's classes.",
            )

    def _check_header(self, name: str, kinds: str, shape: tuple[int, ...]) -> None:
        if name not in self._headers:
            received_names = ", ".join(sorted(self._headers)) or "none"
            raise ModelError(f"expected an array `{name}`; received {received_names}", hint=LAYOUT)
        received, _, dtype = self._headers[name]
        if received != shape:
            hint = EXPORT if received[:1] != shape[:1] else None
            raise ModelError(f"{name}: expected an array of shape {shape}; received {received}", hint=hint)
        if dtype.kind not in kinds or dtype.itemsize > LONGEST_TEXT:
            words = {LOGITS: "floating-point numbers", LABELS: "whole numbers", TEXT: "text"}
            raise ModelError(f"{name}: expected {words.get(kinds, 'names or labels')}; received {dtype}")

    def _logits_of(self, arrays: Any, name: str) -> NDArray[np.float32]:
        given, task = arrays[name], self._splits.task
        if np.isneginf(given).any():
            row = int(np.argwhere(np.isneginf(given))[0, 0])
            raise ModelError(f"{name}: expected finite logits; row {row} has minus infinity", hint=TAKE_LOG[task.name])
        check_logits(given, name, TAKE_LOG[task.name], task)
        largest = np.abs(given).max()
        if largest > np.finfo(np.float32).max:
            raise ModelError(f"{name}: expected logits that are numbers in float32; received values up to {largest:g}")
        return given.astype(np.float32)

    @property
    def identity(self) -> str:
        """The SHA-256 of `train` and `unlabelled`, if there is one: logits on test do not change a student."""
        return _hash_of(self._logits[name] for name in ("train", "unlabelled") if name in self._logits)

    @property
    def has_test(self) -> bool:
        """Whether there are logits for the test split."""
        return "test" in self._logits

    def of(self, name: str) -> NDArray[np.float32]:
        """Return the logits (n, classes) of the split `train`, `validation`, `added` or, where `has_test`, `test`."""
        splits, name = self._splits, "unlabelled" if name == "added" else name
        if name == "validation" and splits.validation_is_test:
            name = "test"
        if name in self._logits and name != "train":
            return self._logits[name]
        all_rows = splits.training_part().rows
        return self._logits["train"][np.searchsorted(all_rows, getattr(splits, name).rows)]


def _hash_of(arrays: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
