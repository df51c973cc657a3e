"""IDX files of unsigned bytes, plain or compressed, read as data that nobody vouches for.

The header is checked against the shape that is expected before anything is allocated, and no more is ever read than
that shape needs, whatever the file says about itself or unpacks to.

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
CHUNK = 1 << 20  # bytes
# What a container may add to the data that it holds. Compression makes nothing longer, apart from a few bytes a block.
CONTAINER_OVERHEAD = 1 << 16  # bytes


def header(shape: tuple[int, ...]) -> bytes:
    """Return the IDX header of an array of unsigned bytes."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def size(shape: tuple[int, ...]) -> int:
    """Return the bytes of an uncompressed IDX file that holds `shape` unsigned bytes."""
    return len(header(shape)) + prod(shape)


def read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the uncompressed bytes of an IDX file, header included.

    Whether it is compressed is seen from its first bytes, not from its name: some browsers unpack what they save.

    Raises:
        DamagedError: not a regular file, unreadable, truncated, too long, or not `shape` unsigned bytes.
    """
    check_file(path, size(shape) + CONTAINER_OVERHEAD)
    try:
        with open(path, "rb") as file:
            compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=file) as stream:
                    return _read(stream, shape)
            return _read(file, shape)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedError(f"the compressed data is damaged or cut off: {error}") from error
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error


def array(content: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what `read` returned as an array of `shape`: a read-only view, nothing is copied."""
    values = content[len(header(shape)) :].reshape(shape)
    values.flags.writeable = False
    return values


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
    """Read `shape` unsigned bytes and the end of a stream; return them with the IDX header before them.

    Raises:
        DamagedError: there are fewer or more.
    """
    start = header(shape)
    content = np.empty(size(shape), np.uint8)
    content[: len(start)] = np.frombuffer(start, np.uint8)
    view, filled = content.data, len(start)
    while filled < len(view):
        piece = stream.read(min(CHUNK, len(view) - filled))
        if not piece:
            missing = len(view) - filled
            raise DamagedError(f"cut off: expected {prod(shape)} values; {missing} are missing")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    # Reading on also has a compressed stream compare its checksum.
    if stream.read(1):
        raise DamagedError(f"too long: expected {prod(shape)} values and then the end of the file")
    return content


def _read(stream: IO[bytes] | gzip.GzipFile, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    _check_header(stream.read(len(header(shape))), shape)
    return read_values(stream, shape)


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
