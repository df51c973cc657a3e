"""Arrays that are too large for memory: `.npy` files, written row by row and mapped.

A page of a mapped file that was read counts as memory of this process until it is given back. So many rows are read
piece by piece, and the pages given back after each: they stay in the system's cache, which it may take away.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PIECE_BYTES = 64 * 2**20
IN_MEMORY_BYTES = 256 * 2**20  # smaller files are read into memory, where picking rows is quicker
# With a page that is read, Linux maps those around it that it has in its cache: about this much was measured.
AROUND_BYTES = 2**20


def open_array(path: Path) -> NDArray:
    """Return the array in an `.npy` file, mapped if it is large, and read-only.

    Raises:
        OSError, ValueError: the file is missing, or is not whole.
    """
    if path.stat().st_size > IN_MEMORY_BYTES:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    array = np.load(path, allow_pickle=False)
    array.flags.writeable = False
    return array


def gather(array: NDArray, rows: NDArray[np.int64]) -> NDArray:
    """Return a copy of `rows` (k,) of an array, (k, ...)."""
    if not isinstance(array, np.memmap):
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
    order = np.argsort(rows, kind="stable")  # as they lie on disk
    size = max(1, PIECE_BYTES // (_row_bytes(array) + AROUND_BYTES))
    for start in range(0, len(rows), size):
        piece = order[start : start + size]
        taken[piece] = array[rows[piece]]
        _give_back(array)
    return taken


def pieces(array: NDArray) -> Iterator[NDArray]:
    """Yield all rows of an array in order, some at a time; each piece is valid until the next is asked for."""
    size = max(1, PIECE_BYTES // max(_row_bytes(array), 1))
    for start in range(0, len(array), size):
        yield np.asarray(array[start : start + size])
        _give_back(array)


def _row_bytes(array: NDArray) -> int:
    return prod(array.shape[1:]) * array.itemsize


def _give_back(array: NDArray) -> None:
    """Give back the pages of a mapped array that were read."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


class RowWriter:
    """Writes an `.npy` file row by row, however many there will be.

    Args:
        path: which must not exist.
        shape: of one row.
        dtype: of the values.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._dtype, self._shape, self._count = np.dtype(dtype), shape, 0
        self._file: IO[bytes] = open(path, "xb")  # noqa: SIM115
        self._write_header()
        self._start = self._file.tell()

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *failure: Any) -> None:
        try:
            if failure[0] is None:
                self._file.seek(0)
                self._write_header()
                # NumPy leaves room for any number of rows in a header.
                if self._file.tell() != self._start:
                    raise RuntimeError("the header of an .npy file has changed its length")
        finally:
            self._file.close()

    def append(self, rows: NDArray) -> None:
        """Write `rows` (k, *shape) after those that are there."""
        if rows.shape[1:] != self._shape:
            raise ValueError(f"expected rows of shape {self._shape}; received {rows.shape[1:]}")
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._count += len(rows)

    def _write_header(self) -> None:
        description = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
