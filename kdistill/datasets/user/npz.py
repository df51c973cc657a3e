"""The user's own arrays in an `.npz` archive: `x_train, y_train`, and optionally those of test and validation.

They may have other usual names, such as `train_images, train_labels`: see `parts.arrays`.

No pickled object is loaded, and no array is copied before all headers have been checked.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map, npy
from kdistill.datasets.npy import Header
from kdistill.datasets.user import conversion_cache, labels, parts

CLASSES = "classes"
WANTED = "expected x_train and y_train, and optionally x_test, y_test, x_val, y_val and classes"
SHAPES = "(n, features), (n, height, width) or (n, height, width, channels)"


def convert(path: Path, folder: Path) -> conversion_cache.Facts:
    """Write the arrays of an archive to the folder of a conversion, and return its facts.

    Raises:
        DataError: the file is not an archive or damaged, or its arrays do not fit together.
    """
    with npy.opened(path) as archive:
        pairs = _pairs(archive, path)
        headers = {name: npy.header_in(archive, name) for name, _ in pairs.values()}
        for name in [*(y for _, y in pairs.values()), *({CLASSES} & set(npy.names(archive)))]:
            headers[name] = npy.header_in(archive, name, npy.LABELS)
        for pair in pairs.values():
            _check_part(headers, pair, pairs["train"][0], path)
        room = [_room(header, name in dict(pairs.values())) for name, header in headers.items()]
        conversion_cache.check_room(folder, sum(room), path)
        found = {}
        for part, (x, y) in pairs.items():
            _write_examples(archive, x, folder, part, path)
            found[part] = labels.from_array(_extracted(archive, y, folder / y), f"{path}: {y}")
            (folder / y).unlink()
        given = _class_names(archive, folder, path) if CLASSES in headers else None
    names, numbers = labels.encoded(found, given)
    conversion_cache.write_labels(folder, numbers)
    return {
        "classes": names,
        "names": {part: [f"{path}: {name}" for name in pair] for part, pair in pairs.items()},
        "notes": [parts.note({part: x for part, (x, _) in pairs.items()}), *labels.notes(found, names, bool(given))],
    }


def _pairs(archive: zipfile.ZipFile, path: Path) -> dict[str, tuple[str, str]]:
    """Return the names of examples and labels of each part; refuse an archive in which one of a pair is missing."""
    there = npy.names(archive)
    pairs = parts.arrays(there, str(path))
    for part, pair in pairs.items():
        missing = [name for name in pair if name not in there]
        if missing and (part == "train" or len(missing) == 1):
            received = first_few(sorted(there), 10) or "no array"
            raise DataError(f"{path}: the archive has no array {missing[0]}: {WANTED}; received {received}")
    return {part: pair for part, pair in pairs.items() if pair[0] in there}


def _check_part(headers: dict[str, Header], pair: tuple[str, str], of_train: str, path: Path) -> None:
    """Check that a part's examples have the shape and type of train's, and that there is a label for each."""
    x_name, y_name = pair
    x, y, train = headers[x_name], headers[y_name], headers[of_train]
    if len(x.shape) not in (2, 3, 4) or 0 in x.shape[1:]:
        raise DataError(f"{path}: {x_name}: expected the shape {SHAPES}; received {x.shape}")
    if len(x.shape) == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(
            f"{path}: {x_name}: expected channels last, (n, height, width, channels); received {x.shape}, which looks "
            "like channels first",
            hint=f"Save {x_name}.transpose(0, 2, 3, 1) instead.",
        )
    if x.shape[1:] != train.shape[1:]:
        wanted = f"expected examples of shape {train.shape[1:]}, as in {of_train}"
        raise DataError(f"{path}: {x_name}: {wanted}; received {x.shape[1:]}")
    if npy.stored_type(x.dtype) != npy.stored_type(train.dtype):
        raise DataError(
            f"{path}: {x_name}: expected the type of {of_train}, {train.dtype}; received {x.dtype}, whose scale would "
            "be another"
        )
    if not y.shape or x.shape[0] != y.shape[0]:
        count = y.shape[0] if y.shape else 1
        raise DataError(
            f"{path}: {x_name} has {x.shape[0]} examples and {y_name} has {count} labels: expected a label for each"
        )
    if x.shape[0] == 0:
        raise DataError(f"{path}: {x_name}: expected examples; received none")


def _room(header: Header, has_examples: bool) -> int:
    """Return the bytes on disk that an array needs while it is converted."""
    dtype = npy.stored_type(header.dtype)
    is_kept = header.dtype == dtype or not has_examples
    return prod(header.shape) * (header.dtype.itemsize + (0 if is_kept else dtype.itemsize))


def _extracted(archive: zipfile.ZipFile, name: str, target: Path) -> NDArray:
    """Copy an array to `target`, comparing its checksum, and return it, mapped if it is large."""
    with open(target, "xb") as file:
        file.writelines(npy.content(archive, name))
    return memory_map.open_array(target)


def _write_examples(archive: zipfile.ZipFile, name: str, folder: Path, part: str, path: Path) -> None:
    raw, target = folder / name, conversion_cache.examples_file(folder, part)
    array = _extracted(archive, name, raw)
    dtype = npy.stored_type(array.dtype)
    if array.dtype == dtype and array.flags.c_contiguous:
        if dtype.kind == "f":
            for _ in _finite(array, f"{path}: {name}"):
                pass
        raw.rename(target)
        return
    with memory_map.RowWriter(target, array.shape[1:], dtype) as rows:
        for piece in _finite(array, f"{path}: {name}"):
            rows.append(piece)
    raw.unlink()


def _finite(array: NDArray, name: str) -> Iterator[NDArray]:
    """Yield an array in pieces, converted to the type that is stored, in which all values must be finite."""
    start = 0
    for piece in memory_map.pieces(array):
        yield npy.finite(piece, start, name)
        start += len(piece)


def _class_names(archive: zipfile.ZipFile, folder: Path, path: Path) -> tuple[str, ...]:
    array = _extracted(archive, CLASSES, folder / CLASSES)
    (folder / CLASSES).unlink()
    if array.ndim != 1 or array.dtype.kind not in "iuSU":
        raise DataError(f"{path}: classes: expected names (classes,); received {array.dtype} of shape {array.shape}")
    names = list(map(str, labels.decoded(array, f"{path}: classes").tolist()))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{path}: classes: expected each name once; received {first_few(twice)} more than once")
    return tuple(names)
