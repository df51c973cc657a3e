"""Writes a data set as NumPy arrays, for other programs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Splits


def export(splits: Splits, path: Path) -> dict[str, Any]:
    """Write a data set to an `.npz` file, whole or not at all.

    The arrays are `x_train, y_train, x_test, y_test`, also `x_val, y_val` if the data set has a validation part;
    `x_unlabelled`, the examples of `data.unlabelled`; `classes`, the class names; and `fingerprint`, by which logits
    are known to be of this data. Examples are in the order of the data set, those held out from train included; values
    are raw, labels count from 0.

    Returns:
        A JSON-able document with the keys `file, fingerprint, classes, shape, examples`.

    Raises:
        OutputError: the file cannot be written.
    """
    parts = {"train": splits.training_part(), "test": splits.test}
    added = {"x_unlabelled": splits.added.images} if splits.added else {}
    if splits.has_own_validation:
        parts["val"] = splits.validation
    arrays = {f"{name}_{part}": array for part, split in parts.items() for name, array in _both(split)}
    with files.writing(path), files.replacing(path) as temporary:
        np.savez(temporary, classes=splits.classes, fingerprint=splits.fingerprint, **arrays, **added)  # type: ignore[arg-type]
    return {
        "file": str(path),
        "fingerprint": splits.fingerprint,
        "classes": list(splits.classes),
        "shape": list(splits.shape),
        "examples": {part: len(split) for part, split in parts.items()},
    }


def _both(split: Split) -> list[tuple[str, NDArray]]:
    """Return the images and labels of a split; an array on disk that is used whole is not read into memory."""
    whole = np.array_equal(split.rows, np.arange(len(split.images)))
    return [("x", split.images if whole else split.images[split.rows]), ("y", split.all_labels)]
