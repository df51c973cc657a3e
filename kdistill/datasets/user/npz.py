"""The user's own arrays in an `.npz` archive: `x_train, y_train`, and where there are such, test and validation.

No pickled object is ever loaded, and nothing is copied before every header is known to fit.
"""

import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DamagedError, DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map, npy
from kdistill.datasets.npy import BOUNDED_METHODS, UNREADABLE
from kdistill.datasets.user import conversion_cache, labels

MEMBERS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test"), "validation": ("x_val", "y_val")}
CLASSES = "classes"
EXAMPLE_KINDS = "buif"
LABEL_KINDS = "buifSU"
WANTED = "expected x_train and y_train, and where there are such x_test, y_test, x_val, y_val and classes"
SHAPES = "(n, features), (n, height, width) or (n, height, width, channels)"


@dataclass(frozen=True)
class Header:
    """What an array says of itself.

    Attributes:
        name: in the archive.
        shape: of the array.
        dtype: of its values.
        bytes: of the member, unpacked.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    bytes: int


def convert(path: Path, folder: Path) -> conversion_cache.Facts:
    """Write the arrays of an archive to the folder of a conversion.

    Raises:
        DataError: it is no archive, it is damaged, or its arrays do not go together.
    """
    with _opened(path) as archive:
        headers = {name: _header(archive, name, path) for name in _members(archive, path)}
        parts = [part for part, (x, _) in MEMBERS.items() if x in headers]
        for part in parts:
            _check_part(headers, part, path)
        conversion_cache.check_room(folder, sum(map(_room, headers.values())), path)
        found = {}
        for part in parts:
            x, y = MEMBERS[part]
            _write_examples(archive, x, folder, part, path)
            array = _extracted(archive, y, folder / y)
            found[part] = labels.from_array(array, f"{path}: {y}")
            del array
            (folder / y).unlink()
        given = _class_names(archive, folder, path) if CLASSES in headers else None
    names, numbers = labels.numbered(found, given)
    for part in parts:
        conversion_cache.write_labels(folder, part, numbers[part])
    return {"classes": names, "names": {part: [f"{path}: {name}" for name in MEMBERS[part]] for part in parts}}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what damage makes Python raise into a message."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: expected a whole .npz archive: {error}", hint="Write it with numpy.savez.") from error
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read from the archive: {error}") from error


def _opened(path: Path) -> zipfile.ZipFile:
    conversion_cache.regular_file(path)
    with _reading(path):
        try:
            return zipfile.ZipFile(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _members(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """Return the names of the arrays that are read; refuse an archive in which one of a pair is missing."""
    there = npy.names(archive)
    for part, pair in MEMBERS.items():
        missing = [name for name in pair if name not in there]
        if missing and (part == "train" or len(missing) == 1):
            received = first_few(sorted(there), 10) or "no array"
            raise DataError(f"{path}: the archive has no array {missing[0]}: {WANTED}; received {received}")
    return [name for name in (*sum(MEMBERS.values(), ()), CLASSES) if name in there]


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> Header:
    """Return the header of an array after a check that it is one of numbers or text, and as long as it says."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in BOUNDED_METHODS:
        raise DataError(f"{path}: {name}: expected stored or deflated data; received another")
    with _reading(path), archive.open(member) as stream:
        try:
            shape, _, dtype = npy.read_header(stream)
        except DamagedError as error:
            raise DataError(f"{path}: {name}: {error}") from error
        start = stream.tell()
    is_of_examples = name.startswith("x_")
    if dtype.hasobject:
        wanted = "numbers" if is_of_examples else "numbers or text"
        raise DataError(
            f"{path}: {name}: an array of Python objects, which could carry code: expected {wanted}",
            hint=f"Save it as numbers, such as np.asarray({name}.tolist(), dtype=np.float32)."
            if is_of_examples
            else f"Save names as np.asarray({name}, dtype=str), and numbers as np.asarray({name}, dtype=int).",
        )
    kinds = EXAMPLE_KINDS if is_of_examples else LABEL_KINDS
    if dtype.kind not in kinds:
        raise DataError(f"{path}: {name}: expected numbers; received the type {dtype}")
    if start + prod(shape) * dtype.itemsize != member.file_size:
        raise DataError(
            f"{path}: {name}: the header is damaged: shape {shape} of {dtype} does not take {member.file_size} bytes"
        )
    return Header(name, shape, dtype, member.file_size)


def _check_part(headers: dict[str, Header], part: str, path: Path) -> None:
    """Check that the examples of a part are like those of train, and as many as its labels."""
    x, y = (headers[name] for name in MEMBERS[part])
    train = headers[MEMBERS["train"][0]]
    if len(x.shape) not in (2, 3, 4) or 0 in x.shape[1:]:
        raise DataError(f"{path}: {x.name}: expected the shape {SHAPES}; received {x.shape}")
    if len(x.shape) == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(
            f"{path}: {x.name}: expected channels last, (n, height, width, channels); received {x.shape}, which looks "
            "like channels first",
            hint=f"Save {x.name}.transpose(0, 2, 3, 1) instead.",
        )
    if x.shape[1:] != train.shape[1:]:
        wanted = f"expected examples of shape {train.shape[1:]}, as in x_train"
        raise DataError(f"{path}: {x.name}: {wanted}; received {x.shape[1:]}")
    if _stored_type(x.dtype) != _stored_type(train.dtype):
        raise DataError(
            f"{path}: {x.name}: expected values like those of x_train, {train.dtype}; received {x.dtype}: their scale "
            "would not be the same"
        )
    if not y.shape or x.shape[0] != y.shape[0]:
        count = y.shape[0] if y.shape else 1
        raise DataError(
            f"{path}: {x.name} has {x.shape[0]} examples and {y.name} has {count} labels: expected as many of both"
        )
    if x.shape[0] == 0:
        raise DataError(f"{path}: {x.name}: expected examples; received none")


def _stored_type(dtype: np.dtype) -> np.dtype:
    """Return the type that examples are kept in: bytes as they are, everything else as float32."""
    return np.dtype(np.uint8) if dtype == np.uint8 else np.dtype(np.float32)


def _room(header: Header) -> int:
    """Return the bytes that an array takes on disk while it is converted."""
    dtype = _stored_type(header.dtype)
    is_kept = header.dtype == dtype or not header.name.startswith("x_")
    return header.bytes + (0 if is_kept else prod(header.shape) * dtype.itemsize)


def _extracted(archive: zipfile.ZipFile, name: str, target: Path) -> NDArray:
    """Copy an array out of the archive, which compares its checksum, and return it, mapped if it is large."""
    path = Path(str(archive.filename))
    with _reading(path), archive.open(f"{name}.npy") as stream, open(target, "xb") as file:
        shutil.copyfileobj(stream, file, 2**20)
    return memory_map.open_array(target)


def _write_examples(archive: zipfile.ZipFile, name: str, folder: Path, part: str, path: Path) -> None:
    raw, target = folder / name, conversion_cache.examples_file(folder, part)
    array = _extracted(archive, name, raw)
    dtype = _stored_type(array.dtype)
    if array.dtype == dtype and array.flags.c_contiguous:
        if dtype.kind == "f":
            for _ in _finite(array, dtype, f"{path}: {name}"):
                pass
        raw.rename(target)
        return
    with memory_map.RowWriter(target, array.shape[1:], dtype) as rows:
        for piece in _finite(array, dtype, f"{path}: {name}"):
            rows.append(piece)
    raw.unlink()


def _finite(array: NDArray, dtype: np.dtype, name: str) -> Iterator[NDArray]:
    """Yield an array in another type, piece by piece, with a check that its values are finite numbers in that type."""
    start = 0
    for piece in memory_map.pieces(array):
        with np.errstate(over="ignore"):  # what is too large for the type is infinite in it
            values = piece.astype(dtype, copy=False)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad) > 0:
            position = ", ".join(map(str, (start + bad[0][0], *bad[0][1:])))
            raise DataError(
                f"{name}[{position}] is {piece[tuple(bad[0])]}: expected finite numbers",
                hint="Replace such values, or leave their examples out.",
            )
        yield values
        start += len(piece)


def _class_names(archive: zipfile.ZipFile, folder: Path, path: Path) -> tuple[str, ...]:
    array = _extracted(archive, CLASSES, folder / CLASSES)
    (folder / CLASSES).unlink()
    if array.ndim != 1 or array.dtype.kind not in "iuSU":
        raise DataError(f"{path}: classes: expected names (classes,); received {array.dtype} of shape {array.shape}")
    try:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist()]
    except UnicodeDecodeError:
        raise DataError(f"{path}: classes: expected names in UTF-8") from None
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{path}: classes: expected each name once; received {first_few(twice)} more than once")
    return tuple(names)
