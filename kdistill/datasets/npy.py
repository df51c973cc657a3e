"""Reads arrays in `.npz` archives that are not trusted: headers are checked before values, and nothing is unpickled."""

import io
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DamagedError, DataError

SUFFIX = ".npy"
LONGEST = 10_000  # bytes of a header: the limit of NumPy, which allocates up to 4 GB before it checks
CHUNK = 2**20  # bytes
NUMBERS, LABELS = "buif", "buifSU"  # kinds of dtypes
LARGEST_TOKEN = 2**24 - 1  # a vocabulary has some ten thousand; numbers that are hashes would take all memory

# With other methods, zipfile unpacks a whole block at once, whose size is not limited.
BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# The errors of zipfile and NumPy for damaged archives, encrypted ones (RuntimeError, of which NotImplementedError is a
# kind), and those that use zip features that Python lacks (NotImplementedError).
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, RuntimeError)
_VERSIONS = {
    np.lib.format.magic(1, 0): (2, np.lib.format.read_array_header_1_0),
    np.lib.format.magic(2, 0): (4, np.lib.format.read_array_header_2_0),
}


class Header(NamedTuple):
    """The header of an array.

    Attributes:
        shape: shape of the array; no size is negative.
        by_column: whether the array is in Fortran order, in which the first axis varies fastest.
        dtype: type of the values, possibly Python objects.
    """

    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype


def read_header(stream: IO[bytes]) -> Header:
    """Return the header of an array; the stream is then at the first value.

    Raises:
        DamagedError: it is not a header. Errors of the stream are passed on.
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
    except Exception as error:  # a damaged Python literal makes its parsers raise errors of many kinds
        raise DamagedError(f"the header is damaged: {error}") from error
    if any(number < 0 for number in shape):
        raise DamagedError(f"the header is damaged: the shape {shape}")
    return Header(shape, by_column, dtype)


def names(archive: zipfile.ZipFile) -> Collection[str]:
    """Return the names of the arrays in an `.npz` archive, each once, in order; other members are ignored."""
    members = (name for name in archive.namelist() if name.endswith(SUFFIX))
    return dict.fromkeys(name.removesuffix(SUFFIX) for name in members)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of zipfile and NumPy for an unreadable archive into a DataError that names `path`."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: expected a whole .npz archive: {error}", hint="Write it with numpy.savez.") from error
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read from the archive: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def opened(path: Path) -> zipfile.ZipFile:
    """Open an archive.

    Raises:
        DataError: it is not a regular file or not an archive, or cannot be read.
    """
    with reading(path):
        files.stat_regular(path)
        return zipfile.ZipFile(path)


def content(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yield the bytes of an array in an archive, header included, and compare the checksum at the end.

    Raises:
        DataError: the bytes cannot be read, or the checksum differs.
    """
    with reading(Path(str(archive.filename))), archive.open(f"{name}{SUFFIX}") as stream:
        while piece := stream.read(CHUNK):
            yield piece


def header_in(archive: zipfile.ZipFile, name: str, kinds: str = NUMBERS) -> Header:
    """Return the header of an array in an archive, after checking that the array has the length that it states.

    Args:
        archive: an archive opened by `opened`.
        name: name of the array.
        kinds: kinds of dtypes that are accepted.

    Raises:
        DataError: the header is damaged, or the dtype is of another kind.
    """
    member, path = archive.getinfo(f"{name}{SUFFIX}"), Path(str(archive.filename))
    if member.compress_type not in BOUNDED_METHODS:
        raise DataError(f"{path}: {name}: expected stored or deflated data; received another method")
    with reading(path), archive.open(member) as stream:
        try:
            header = read_header(stream)
        except DamagedError as error:
            raise DataError(f"{path}: {name}: {error}") from error
        start = stream.tell()
    _check(header, start, member.file_size, f"{path}: {name}", name, kinds)
    return header


@contextmanager
def opened_array(path: Path) -> Iterator[tuple[IO[bytes], Header]]:
    """Open an `.npy` file of numbers; yield a stream, which is at the first value, and the header.

    Raises:
        DataError: it is not a regular file, or the header is damaged, or the values are no numbers.
    """
    with reading(path):
        size = files.stat_regular(path).st_size
        with open(path, "rb") as stream:
            try:
                header = read_header(stream)
            except DamagedError as error:
                raise DataError(f"{path}: {error}") from error
            _check(header, stream.tell(), size, str(path), "x", NUMBERS)
            yield stream, header


def _check(header: Header, start: int, size: int, place: str, name: str, kinds: str) -> None:
    """Raise DataError unless a header is of an array of `kinds` whose values, from `start` on, end at `size` bytes."""
    if header.dtype.hasobject:
        raise _objects(place, name, kinds)
    if header.dtype.kind not in kinds:
        raise DataError(f"{place}: expected numbers; received the type {header.dtype}")
    if start + prod(header.shape) * header.dtype.itemsize != size:
        raise DataError(
            f"{place}: the header is damaged: shape {header.shape} of {header.dtype} does not take {size} bytes"
        )


def _objects(place: str, name: str, kinds: str) -> DataError:
    if kinds == NUMBERS:
        wanted, hint = "numbers", f"Save it as numbers, such as np.asarray({name}.tolist(), dtype=np.float32)."
    else:
        wanted = "numbers or text"
        hint = f"Save names as np.asarray({name}, dtype=str), and numbers as np.asarray({name}, dtype=int)."
    return DataError(f"{place}: an array of Python objects, which could carry code: expected {wanted}", hint=hint)


def stored_type(dtype: np.dtype) -> np.dtype:
    """Return the type in which examples are stored: uint8 for bytes, and float32 for all other numbers."""
    return np.dtype(np.uint8) if dtype == np.uint8 else np.dtype(np.float32)


def tokens(rows: NDArray, start: int, name: str, vocabulary: int = LARGEST_TOKEN + 1) -> NDArray[np.int32]:
    """Return rows of the array `name`, the first of which is its row `start`, as tokens.

    Raises:
        DataError: a value is not a whole number from 0 to `vocabulary` - 1; names its position.
    """
    bad = np.argwhere(~((rows >= 0) & (rows < vocabulary) & (rows % 1 == 0)))
    if len(bad) > 0:
        position = ", ".join(map(str, (start + bad[0][0], *bad[0][1:])))
        raise DataError(
            f"{name}[{position}] is {rows[tuple(bad[0])]}: expected tokens, whole numbers from 0 to {vocabulary - 1}"
        )
    return rows.astype(np.int32)


def finite(rows: NDArray, start: int, name: str) -> NDArray:
    """Return rows of the array `name`, the first of which is its row `start`, in the type that is stored.

    Raises:
        DataError: a value is NaN, or infinite in that type; names its position.
    """
    with np.errstate(over="ignore"):  # values beyond float32 become infinite
        values = rows.astype(stored_type(rows.dtype), copy=False)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad) > 0:
        position = ", ".join(map(str, (start + bad[0][0], *bad[0][1:])))
        raise DataError(
            f"{name}[{position}] is {rows[tuple(bad[0])]}: expected finite numbers",
            hint="Replace such values, or leave their examples out.",
        )
    return values
