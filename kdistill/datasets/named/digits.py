"""The handwritten digits that ship inside scikit-learn: 1797 images of 8 x 8 pixels with values from 0 to 16.

scikit-learn does not split them. The test split is a fixed, stratified 30 % (540 images), which no config and no seed
changes: scores of all experiments are on the same images.
"""

from typing import Any

import numpy as np

from kdistill.core.listener import Listener
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Source
from kdistill.datasets.stratify import stratified

SHAPE = (8, 8)
CLASSES = tuple("0123456789")
SCALE = 1 / 16
TEST_FRACTION = 0.3
TEST_SEED = 0
ORIGIN = "scikit-learn's digits"


def read() -> Source:
    """Return the digits."""
    # Imported here because the import takes half a second.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.int32)
    rows = np.arange(len(labels), dtype=np.int64)
    train, test = stratified(rows, labels, TEST_FRACTION, TEST_SEED)
    return Source(
        train=Split(images, labels, train),
        test=Split(images, labels, test),
        classes=CLASSES,
        scale=SCALE,
        image_files=(ORIGIN, ORIGIN),
        label_files=(ORIGIN, ORIGIN),
    )


def info() -> dict[str, Any]:
    """Describe the digits: see `catalog.info`."""
    source = read()
    return {
        "title": "Digits",
        "found": True,
        "intact": True,
        "problem": None,
        "folder": "inside scikit-learn",
        "bytes": None,
        "examples": {"train": len(source.train), "test": len(source.test)},
        "shape": list(SHAPE),
        "classes": list(CLASSES),
        "searched": [],
        "urls": [],
    }


def fetch(listener: Listener | None = None, force: bool = False) -> dict[str, Any]:
    """Return the document of `catalog.fetch`; there is nothing to download."""
    return {"title": "Digits", "folder": "inside scikit-learn", "downloaded": []}
