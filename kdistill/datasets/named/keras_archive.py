"""Arrays of unsigned bytes in an `.npz` archive, read with the same mistrust as IDX files."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DamagedError
from kdistill.datasets import npy
from kdistill.datasets.named import idx


def read(path: Path, name: str, shape: tuple[int, ...], limit: int) -> NDArray[np.uint8]:
    """Return the array `name` of an archive as the bytes of an IDX file: what `idx.read` returns of the IDX file.

    No pickled object is ever loaded, and nothing is allocated before the array's header is known to be right.

    Args:
        limit: bytes of the largest archive that is opened.

    Raises:
        DamagedError: not a regular file, unreadable, damaged, without that array, or not `shape` unsigned bytes.
    """
    idx.check_file(path, limit)
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in npy.BOUNDED_METHODS:
                raise DamagedError(f"{name}: expected stored or deflated data; received another")
            with archive.open(member) as stream:
                _check_header(stream, name, shape)
                return idx.read_values(stream, shape)
    except KeyError:
        raise DamagedError(f"the archive has no array {name}") from None
    except npy.UNREADABLE as error:
        raise DamagedError(f"{name} cannot be read from the archive: {error}") from error
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error


def _check_header(stream: IO[bytes], name: str, shape: tuple[int, ...]) -> None:
    try:
        received, by_column, dtype = npy.read_header(stream)
    except DamagedError as error:
        raise DamagedError(f"{name}: {error}") from error
    if dtype != np.uint8:
        raise DamagedError(f"{name}: expected the type uint8; received {dtype}")
    if received != shape:
        raise DamagedError(f"{name}: expected the shape {shape}; received {received}")
    if by_column:
        raise DamagedError(f"{name}: expected rows one after another; received Fortran order")
