"""A data set written as NumPy arrays, for programs that know nothing of kdistill."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.datasets.splits import Split, Splits


def export(splits: Splits, path: Path) -> dict[str, Any]:
    """Write a data set to an `.npz` file, whole or not at all.

    The arrays are `x_train, y_train, x_test, y_test`, with `x_val, y_val` where the data comes with a validation part
    of its own; `classes`, the names; and `fingerprint`, which tells that logits are of this data. Examples are in the
    data set's own order, train with what is held back from it for validation; values are raw, labels count from 0.

    Returns:
        A JSON-able document with the keys `file, fingerprint, classes, shape, examples`.

    Raises:
        OutputError: the file cannot be written.
    """
    parts = {"train": splits.training_part(), "test": splits.test}
    if splits.has_own_validation:
        parts["val"] = splits.validation
    arrays = {f"{name}_{part}": array for part, split in parts.items() for name, array in _both(split)}
    with files.writing(path), files.replacing(path) as temporary:
        np.savez(temporary, classes=splits.classes, fingerprint=splits.fingerprint, **arrays)  # type: ignore[arg-type]
    return {
        "file": str(path),
        "fingerprint": splits.fingerprint,
        "classes": list(splits.classes),
        "shape": list(splits.shape),
        "examples": {part: len(split) for part, split in parts.items()},
    }


def _both(split: Split) -> list[tuple[str, NDArray]]:
    """Return the images and labels of a split. An array on disk is not brought to memory if it is used whole."""
    whole = np.array_equal(split.rows, np.arange(len(split.images)))
    return [("x", split.images if whole else split.images[split.rows]), ("y", split.all_labels)]
