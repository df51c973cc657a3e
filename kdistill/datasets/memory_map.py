"""Arrays that are too large for memory: `.npy` files that are written row by row and mapped.

Pages of a mapped file count as memory of the process once they are read. Large arrays are therefore read in pieces, and
the pages are released after each piece; they stay in the system's cache, which it may free.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PIECE_BYTES = 64 * 2**20
IN_MEMORY_BYTES = 256 * 2**20  # smaller files are read into memory, where taking rows is faster
# When a page is read, Linux also maps the cached pages around it: about this much, as measured.
READ_AROUND_BYTES = 2**20


def open_array(path: Path) -> NDArray:
    """Return the array in an `.npy` file, read-only, and mapped if it is large.

    Raises:
        OSError, ValueError: the file is missing or truncated.
    """
    if path.stat().st_size > IN_MEMORY_BYTES:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    array = np.load(path, allow_pickle=False)
    array.flags.writeable = False
    return array


def gather(array: NDArray, rows: NDArray[np.int64]) -> NDArray:
    """Return a copy (k, ...) of the rows `rows` (k,) of an array."""
    if not isinstance(array, np.memmap):
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
    order = np.argsort(rows, kind="stable")  # their order on disk
    size = max(1, PIECE_BYTES // (_row_bytes(array) + READ_AROUND_BYTES))
    for start in range(0, len(rows), size):
        piece = order[start : start + size]
        taken[piece] = array[rows[piece]]
        _release(array)
    return taken


def pieces(array: NDArray) -> Iterator[NDArray]:
    """Yield all rows of an array in order, in pieces; a piece is valid until the next one is requested."""
    size = max(1, PIECE_BYTES // max(_row_bytes(array), 1))
    for start in range(0, len(array), size):
        yield np.asarray(array[start : start + size])
        _release(array)


def _row_bytes(array: NDArray) -> int:
    return prod(array.shape[1:]) * array.itemsize


def _release(array: NDArray) -> None:
    """Release the pages of a mapped array that were read."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


class RowWriter:
    """Writes an `.npy` file of an unknown number of rows of `shape`; the file must not exist."""

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
                # NumPy reserves room for any number of rows in a header.
                if self._file.tell() != self._start:
                    raise RuntimeError("the header of an .npy file has changed its length")
        finally:
            self._file.close()

    def append(self, rows: NDArray) -> None:
        """Append rows (k, *shape)."""
        if rows.shape[1:] != self._shape:
            raise ValueError(f"expected rows of shape {self._shape}; received {rows.shape[1:]}")
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._count += len(rows)

    def _write_header(self) -> None:
        description = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
