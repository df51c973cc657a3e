"""IDX files of unsigned bytes, plain or gzipped, from sources that are not trusted.

The header is checked against the expected shape before any value is read, and at most as many bytes are read as that
shape has, whatever the file claims or unpacks to.

An IDX file is a magic number (two zero bytes, the type of the values, the number of dimensions), the dimensions as
big-endian 32-bit integers, and the values.
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DamagedError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
# How much larger a container may be than the data in it: compression adds at most a few bytes per block.
CONTAINER_OVERHEAD = 1 << 16  # bytes


def header(shape: tuple[int, ...]) -> bytes:
    """Return the IDX header of an array of unsigned bytes."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def size(shape: tuple[int, ...]) -> int:
    """Return the bytes of an uncompressed IDX file of `shape` unsigned bytes."""
    return len(header(shape)) + prod(shape)


def read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array in an IDX file, read-only.

    The first bytes decide whether the file is compressed, not its name: some browsers unpack what they save.

    Raises:
        DamagedError: not a regular file, unreadable, truncated, too long, or not `shape` unsigned bytes.
    """
    check_file(path, size(shape) + CONTAINER_OVERHEAD)
    try:
        with open(path, "rb") as file:
            is_compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if is_compressed else file
            _check_header(stream.read(len(header(shape))), shape)
            return read_values(stream, shape)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedError(f"the compressed data is damaged or cut off: {error}") from error
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error


def check_file(path: Path, limit: int) -> None:
    """Check that a path leads to a regular file of at most `limit` bytes.

    Raises:
        DamagedError: it does not.
    """
    try:
        size = files.stat_regular(path).st_size
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error
    if size > limit:
        raise DamagedError(f"expected at most {limit} bytes; received {size}")


def read_values(stream: IO[bytes] | gzip.GzipFile, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the rest of a stream as a read-only array of `shape`.

    Raises:
        DamagedError: the rest has fewer or more bytes.
    """
    count = prod(shape)
    content = stream.read(count + 1)  # at its end, a compressed stream compares its checksum
    if len(content) < count:
        raise DamagedError(f"cut off: expected {count} values; {count - len(content)} are missing")
    if len(content) > count:
        raise DamagedError(f"too long: expected {count} values and then the end of the file")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _check_header(received: bytes, shape: tuple[int, ...]) -> None:
    expected = header(shape)
    if len(received) < len(expected):
        raise DamagedError(f"cut off: expected a header of {len(expected)} bytes; received {len(received)}")
    if received[:4] != expected[:4]:
        raise DamagedError(
            f"not an IDX file of unsigned bytes in {len(shape)} dimensions: expected the magic number "
            f"{expected[:4].hex()}; received {received[:4].hex()}"
        )
    dimensions = struct.unpack(f">{len(shape)}I", received[4:])
    if dimensions != shape:
        raise DamagedError(f"expected the dimensions {shape}; received {dimensions}")
