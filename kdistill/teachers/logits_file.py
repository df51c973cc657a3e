"""A teacher's logits from a file that any program can write: an `.npz` archive of NumPy arrays.

    train         (rows, classes)   for the training part in the data set's own order, validation rows included
    validation    (rows, classes)   for data that comes with a validation part of its own, and for no other
    test          (rows, classes)   optional unless `data.validation` is `test`; without it agreement is left out
    labels        (rows,)           the labels of `train`; this or `fingerprint` has to be there: it shows the row order
    test_labels   (rows,)           likewise of `test`, optional
    fingerprint   text              of the data, as `kdistill data export` writes it
    classes       (classes,)        names, or labels from 0 on; optional: it shows the order of the columns

`kdistill data export` writes the rows in this order. Nothing in a file is trusted: shapes and types are read and
checked before any array is, and no object is ever unpickled.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError
from kdistill.datasets import Split, Splits, npy
from kdistill.evaluation.metrics import check_logits

SUFFIX = ".npz"
LOGITS, LABELS, TEXT = "f", "iu", "U"
LONGEST_TEXT = 4000  # bytes of one name, four for each character
EXPORT = "`kdistill data export` writes the examples in the order that is expected, with their labels and fingerprint."
TAKE_LOG = (
    "Give logits; of probabilities their logarithm does as well: np.log(np.clip(p, 1e-7, 1)), "
    "or predict_log_proba in scikit-learn."
)
LAYOUT = (
    "A file of logits (--teacher-logits) has `train` (rows, classes), `labels` or `fingerprint`, and where there are "
    "such `test` and `classes`; `kdistill data export` writes the examples that the rows are of."
)

Header = tuple[tuple[int, ...], np.dtype]


def model_bytes(paths: Sequence[Path]) -> int | None:
    """Return the size of teachers' files together; None where one has logits, not a model."""
    return None if any(path.suffix == SUFFIX for path in paths) else sum(path.stat().st_size for path in paths)


class LogitsFile:
    """The logits in an archive, checked against a data set.

    Args:
        path: of the archive.
        splits: the data that they are of.
        shapes_only: read and check what the arrays say of themselves, and none of their values.

    Raises:
        ModelError: it is missing or damaged, its rows or classes are not those of the data, or what it holds cannot be
            logits.
    """

    def __init__(self, path: Path, splits: Splits, shapes_only: bool = False) -> None:
        self.path = path
        self._splits = splits
        self._shapes_only = shapes_only
        self._classes = len(splits.classes)
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
                self._headers = {name: _header(archive, name) for name in npy.names(archive)}
            with np.load(self.path, allow_pickle=False) as arrays:
                self._take(arrays)
        except ModelError:
            raise
        except Exception as error:  # whatever a damaged archive makes zipfile and NumPy raise
            reason = str(error).split("\n")[0][:200] or type(error).__name__
            raise ModelError(
                f"expected an archive of NumPy arrays; it cannot be read: {reason}",
                hint="Write it with np.savez(path, train=logits, labels=y); a pickle is never read.",
            ) from error

    def _take(self, arrays: Any) -> None:
        """Read and check all arrays, those first that tell whether the others are in the right order."""
        needed = {"train", "test" if self._splits.validation_is_test else "validation"}
        parts = {name: split for name, split in self._parts().items() if name in needed or name in self._headers}
        self._check_headers(parts)
        if self._shapes_only:
            return
        self._check_rows(arrays, parts)
        self._check_classes(arrays)
        self._logits = {name: self._logits_of(arrays, name, split) for name, split in parts.items()}

    def _parts(self) -> dict[str, Split]:
        """Return whose logits a file may hold."""
        splits = self._splits
        own = {"validation": splits.validation} if splits.has_own_validation else {}
        return {"train": splits.training_part(), **own, "test": splits.test}

    def _check_headers(self, parts: dict[str, Split]) -> None:
        """Check shapes and types of all arrays."""
        for name, split in parts.items():
            self._check_header(name, LOGITS, (len(split), self._classes))
        if not {"labels", "fingerprint"} & set(self._headers):
            raise ModelError("expected `labels` or `fingerprint`, which show the order of the rows", hint=EXPORT)
        if "fingerprint" in self._headers:
            self._check_header("fingerprint", TEXT, ())
        for name, part in (("labels", "train"), ("test_labels", "test")):
            if name in self._headers and part in parts:
                self._check_header(name, LABELS, (len(parts[part]),))
        if "classes" in self._headers:
            self._check_header("classes", TEXT + LABELS, (self._classes,))

    def _check_rows(self, arrays: Any, parts: dict[str, Split]) -> None:
        """Check that the rows are those of the data, in its order."""
        if "fingerprint" in self._headers and (found := str(arrays["fingerprint"])) != self._splits.fingerprint:
            raise ModelError(
                f"the logits are of other data: expected the fingerprint {self._splits.fingerprint[:16]}...; "
                f"received {found[:16]!r}",
                hint=EXPORT,
            )
        for name, part in (("labels", "train"), ("test_labels", "test")):
            if name in self._headers and part in parts:
                expected = parts[part].all_labels
                wrong = np.flatnonzero(arrays[name] != expected)
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
                hint="Bring the columns of the logits into the order of the data's classes.",
            )

    def _check_header(self, name: str, kinds: str, shape: tuple[int, ...]) -> None:
        """Check shape and type of an array before it is read."""
        if name not in self._headers:
            there = ", ".join(sorted(self._headers)) or "none"
            raise ModelError(f"expected an array `{name}`; received {there}", hint=LAYOUT)
        received, dtype = self._headers[name]
        if received != shape:
            hint = EXPORT if received[:1] != shape[:1] else None
            raise ModelError(f"{name}: expected an array of shape {shape}; received {received}", hint=hint)
        if dtype.kind not in kinds or dtype.itemsize > LONGEST_TEXT:
            words = {LOGITS: "floating-point numbers", LABELS: "whole numbers", TEXT: "text"}
            raise ModelError(f"{name}: expected {words.get(kinds, 'names or labels')}; received {dtype}")

    def _logits_of(self, arrays: Any, name: str, split: Split) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            logits = arrays[name].astype(np.float32)
        if np.isneginf(logits).any():
            row = int(np.argwhere(np.isneginf(logits))[0, 0])
            raise ModelError(f"{name}: expected finite logits; row {row} has minus infinity", hint=TAKE_LOG)
        check_logits(logits, name, TAKE_LOG)
        return logits

    @property
    def identity(self) -> str:
        """The SHA-256 of the rows of `train` alone: whether the file has logits for test changes no student."""
        return hashlib.sha256(np.ascontiguousarray(self._logits["train"]).data).hexdigest()

    @property
    def has_test(self) -> bool:
        """Whether there are logits for the test split."""
        return "test" in self._logits

    def of(self, name: str) -> NDArray[np.float32]:
        """Return the logits (n, classes) of the split `train`, `validation` or, where `has_test`, `test`."""
        splits = self._splits
        if name == "validation" and splits.validation_is_test:
            name = "test"
        if name in self._logits and name != "train":
            return self._logits[name]
        all_rows = splits.training_part().rows
        return self._logits["train"][np.searchsorted(all_rows, getattr(splits, name).rows)]


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    """Return shape and type of an array, of which nothing else is read."""
    with archive.open(f"{name}{npy.SUFFIX}") as member:
        shape, _, dtype = npy.read_header(member)
    return shape, dtype
