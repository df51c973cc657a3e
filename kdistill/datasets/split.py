"""Some rows of arrays of images and labels, or of several such arrays together."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kdistill.datasets import memory_map


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of two arrays, images and labels; no row is copied before it is taken.

    Attributes:
        images: raw values (all rows, *shape), uint8 or float32, possibly mapped from a file. Rows of a table are
            "images" of shape (features,).
        labels: labels (all rows,), or (all rows, classes) of multi-label data, int32.
        rows: indices (n,), int64, of the rows of `images` and `labels` that belong to this split.
        hashes: `guards.row_hashes` (all rows,) of the images, if they are known.
    """

    images: NDArray
    labels: NDArray[np.int32]
    rows: NDArray[np.int64]
    hashes: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int32]]:
        """Return copies of the images (k, *shape) and labels (k, ...) at positions (k,) in [0, n)."""
        rows = self.rows[positions]
        return memory_map.gather(self.images, rows), self.labels[rows]

    @cached_property
    def all_labels(self) -> NDArray[np.int32]:
        """Labels (n, ...) of all rows, in order."""
        return self.labels[self.rows]

    def chunks(self, size: int) -> Iterator[tuple[NDArray, NDArray[np.int32]]]:
        """Yield images and labels of all rows in order, `size` at a time; the last chunk may be shorter."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True, eq=False)
class Joined:
    """Several splits, one after the other: those of different files, each of which may be mapped.

    Attributes:
        parts: whose images have one shape and one type, and whose labels have one shape.
    """

    parts: tuple[Split, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def images(self) -> NDArray:
        """The images of the first part, which have the shape and type of all."""
        return self.parts[0].images

    @cached_property
    def all_labels(self) -> NDArray[np.int32]:
        """Labels (n, ...) of all rows, in order."""
        return np.concatenate([part.all_labels for part in self.parts])

    def take(self, positions: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int32]]:
        """Return copies of the images (k, *shape) and labels (k, ...) at positions (k,) in [0, n)."""
        images = np.empty((len(positions), *self.images.shape[1:]), self.images.dtype)
        start = 0
        for part in self.parts:
            here = np.flatnonzero((positions >= start) & (positions < start + len(part)))
            images[here] = part.take(positions[here] - start)[0]
            start += len(part)
        return images, self.all_labels[positions]


AnySplit: TypeAlias = Split | Joined


def whole(images: NDArray, labels: NDArray) -> Split:
    """Return the split of all rows of images (n, *shape) and labels (n,) or (n, classes)."""
    return Split(images, labels.astype(np.int32), np.arange(len(labels), dtype=np.int64))
