"""Arrays of unsigned bytes in an `.npz` archive, such as Keras's `mnist.npz`; as little trusted as IDX files."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DamagedError
from kdistill.datasets import npy
from kdistill.datasets.named import idx


def read(path: Path, name: str, shape: tuple[int, ...], limit: int) -> NDArray[np.uint8]:
    """Return the array `name` of an archive, read-only.

    No pickled object is loaded, no archive of more than `limit` bytes is opened, and the array's header is checked
    before any value is read.

    Raises:
        DamagedError: not a regular file, unreadable, damaged, without that array, or not `shape` unsigned bytes.
    """
    idx.check_file(path, limit)
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in npy.BOUNDED_METHODS:
                raise DamagedError(f"{name}: expected stored or deflated data; received another method")
            with archive.open(member) as stream:
                _check_header(npy.read_header(stream), name, shape)
                return idx.read_values(stream, shape)
    except KeyError:
        raise DamagedError(f"the archive has no array {name}") from None
    except npy.UNREADABLE as error:
        raise DamagedError(f"{name} cannot be read from the archive: {error}") from error
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error


def _check_header(header: npy.Header, name: str, shape: tuple[int, ...]) -> None:
    if header.dtype != np.uint8:
        raise DamagedError(f"{name}: expected the type uint8; received {header.dtype}")
    if header.shape != shape:
        raise DamagedError(f"{name}: expected the shape {shape}; received {header.shape}")
    if header.by_column:
        raise DamagedError(f"{name}: expected row-major order; received Fortran order")
