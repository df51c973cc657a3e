"""The one piece of work that every competitor does: the data, the nets, the loss's numbers.

Needs NumPy alone, so that a Python with PyTorch and nothing else can run it.
"""

import gzip
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BATCH = 32
STUDENT = (784, 128, 10)
TEACHER = (784, 128, 128, 128, 10)
# The students of `--net`, as sections of a config; mlp is STUDENT. Their teacher is TEACHER all the same: its logits
# are computed once, and that is not in the time of an epoch.
NETS: dict[str, dict] = {
    "mlp": {"hidden": STUDENT[1:-1]},
    "cnn": {"conv": (16, 32), "hidden": (64,)},
    "separable": {"conv": (16, 32, 64), "separable": True, "batch_norm": True, "global_pool": True},
}
TEMPERATURE = 2.0
ALPHA = 0.9  # the weight of the soft term
LEARNING_RATE = 1e-3

TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000
FILES = {"train": "train", "test": "t10k"}


class Data(NamedTuple):
    """Images (n, 28, 28) uint8, labels (n,) int32, and where they are from."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    source: str


def load(part: str = "train", images: int = TRAIN_IMAGES, batch: int = BATCH) -> Data:
    """Return the first `images` of a part of Fashion-MNIST, rounded down to whole batches.

    Without the four IDX files in `KDISTILL_DATA_DIR` or its subfolder `fashion-mnist`: random images of the same shape
    and type, on which an epoch takes as long.
    """
    whole = max(batch, images // batch * batch)
    folder = data_folder()
    if folder is None:
        return _random(whole)
    pixels = _idx(folder / f"{FILES[part]}-images-idx3-ubyte", header=16).reshape(-1, 28, 28)
    labels = _idx(folder / f"{FILES[part]}-labels-idx1-ubyte", header=8)
    return Data(pixels[:whole], labels[:whole].astype(np.int32), "Fashion-MNIST")


def data_folder() -> Path | None:
    """Return the folder with Fashion-MNIST's files, or None where there is none."""
    name = os.environ.get("KDISTILL_DATA_DIR")
    if not name:
        return None
    for folder in (Path(name) / "fashion-mnist", Path(name)):
        if any(folder.glob("train-images-idx3-ubyte*")):
            return folder
    return None


def weights(sizes: tuple[int, ...], seed: int) -> list[NDArray[np.float32]]:
    """Return kernel (in, out) and bias of each layer, Glorot uniform: the same start in every framework.

    The teacher is as untrained as the student. How long a step takes does not depend on what the weights are.
    """
    rng = np.random.default_rng(seed)
    arrays = []
    for inputs, outputs in pairwise(sizes):
        limit = math.sqrt(6 / (inputs + outputs))
        arrays.append(rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32))
        arrays.append(np.zeros(outputs, np.float32))
    return arrays


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return np.frombuffer(raw, np.uint8, offset=header)


def _random(images: int) -> Data:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 28, 28), dtype=np.uint8)
    return Data(pixels, rng.integers(0, 10, images, dtype=np.int32), "random images")
