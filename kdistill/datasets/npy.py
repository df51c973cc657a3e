"""What an array says of itself at the beginning of a `.npy` stream, read with mistrust. No object is unpickled."""

import io
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import IO, NamedTuple

import numpy as np

from kdistill.core.errors import DamagedError

SUFFIX = ".npy"
LONGEST = 10_000  # bytes of a header, as in NumPy, which allocates up to 4 GB before it looks

_VERSIONS = {
    np.lib.format.magic(1, 0): (2, np.lib.format.read_array_header_1_0),
    np.lib.format.magic(2, 0): (4, np.lib.format.read_array_header_2_0),
}


class Header(NamedTuple):
    """Of an array.

    Attributes:
        shape: no size of which is negative.
        by_column: whether its first axis varies fastest, as in Fortran.
        dtype: of its values, which may be objects.
    """

    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype


def read_header(stream: IO[bytes]) -> Header:
    """Return the header of an array; the stream is then at its first value.

    Raises:
        DamagedError: it is none. What the stream itself raises is passed on.
    """
    magic = stream.read(np.lib.format.MAGIC_LEN)
    if magic not in _VERSIONS:
        raise DamagedError(f"the header is damaged: expected the npy format 1.0 or 2.0; received {magic!r}")
    width, parse = _VERSIONS[magic]
    size = stream.read(width)
    length = int.from_bytes(size, "little")
    if length > LONGEST:
        raise DamagedError(f"the header is damaged: expected at most {LONGEST} bytes; received {length}")
    text = stream.read(length)
    try:
        shape, by_column, dtype = parse(io.BytesIO(size + text))
    except Exception as error:  # it is a Python literal; its parsers raise whatever damage makes of it
        raise DamagedError(f"the header is damaged: {error}") from error
    if any(number < 0 for number in shape):
        raise DamagedError(f"the header is damaged: the shape {shape}")
    return Header(shape, by_column, dtype)


def names(archive: zipfile.ZipFile) -> Collection[str]:
    """Return the names of the arrays in an `.npz` archive, each once, in order; other members are passed over."""
    members = (name for name in archive.namelist() if name.endswith(SUFFIX))
    return dict.fromkeys(name.removesuffix(SUFFIX) for name in members)


# Of the other methods, zipfile unpacks a whole block at once, however much that is.
BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


# What zipfile and NumPy raise for an archive. RuntimeError: encrypted. NotImplementedError: a zip feature that Python
# lacks. The others: damaged.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    struct.error,
    NotImplementedError,
    RuntimeError,
)
