"""The user's own arrays in an `.npz` archive: `x_train, y_train`, and optionally those of test and validation.

They may have other usual names, such as `train_images, train_labels`: see `parts.arrays`.

No pickled object is loaded, and no array is copied before all headers have been checked.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError, DataError
from kdistill.core.formatting import first_few
from kdistill.core.kinds import Kind
from kdistill.core.task import SINGLE, Task
from kdistill.datasets import memory_map, npy
from kdistill.datasets.npy import Header
from kdistill.datasets.user import conversion_cache, example_kind, labels, multi_labels, parts

CLASSES = "classes"
WANTED = "expected x_train and y_train, and optionally x_test, y_test, x_val, y_val and classes"
SHAPES = "(n, features), (n, steps, features), (n, height, width), (n, height, width, channels) or those of a volume"


@dataclass(frozen=True)
class Layout:
    """How the arrays of examples are stored.

    Attributes:
        kind: declared kind of the examples; tokens are stored as whole numbers of 32 bits.
        channel_axis: the axis that becomes the last one; None if none has to be moved.
    """

    kind: Kind | None = None
    channel_axis: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the stored arrays depend on; empty if it is the same as in versions without kinds."""
        kind = {"kind": self.kind} if self.kind in ("tokens", "volume") else {}
        return kind | ({} if self.channel_axis is None else {"channel_axis": self.channel_axis})

    def checked(self, shape: tuple[int, ...], name: str) -> None:
        """Raise ConfigError if an array of `shape` has no such axis."""
        if self.channel_axis is not None and not -len(shape) < self.channel_axis < len(shape):
            raise ConfigError(f"data.channel_axis: {name} has the shape {shape}; received {self.channel_axis}")

    def stored(self, rows: NDArray, start: int, name: str) -> NDArray:
        """Return rows of the array `name` as they are stored; raise DataError if a value cannot be."""
        kept = npy.tokens(rows, start, name) if self.kind == "tokens" else npy.finite(rows, start, name)
        return kept if self.channel_axis is None else np.moveaxis(kept, self.channel_axis, -1)


def convert(path: Path, folder: Path, layout: Layout | None = None, task: Task = SINGLE) -> conversion_cache.Facts:
    """Write the arrays of an archive to the folder of a conversion, and return its facts.

    Raises:
        ConfigError: the arrays have no such axis of channels.
        DataError: the file is not an archive or damaged, or its arrays do not fit together.
    """
    with npy.opened(path) as archive:
        pairs, layout = _pairs(archive, path), layout or Layout()
        headers = {name: npy.header_in(archive, name) for name, _ in pairs.values()}
        for name in [*(y for _, y in pairs.values()), *({CLASSES} & set(npy.names(archive)))]:
            headers[name] = npy.header_in(archive, name, npy.LABELS)
        for pair in pairs.values():
            _check_part(headers, pair, pairs["train"][0], path, layout)
        room = [_room(header, name in dict(pairs.values())) for name, header in headers.items()]
        conversion_cache.check_room(folder, sum(room), path)
        found: dict[str, Any] = {}
        read_labels = labels.from_array if task is SINGLE else multi_labels.from_array
        for part, (x, y) in pairs.items():
            write_examples(archive, x, conversion_cache.examples_file(folder, part), path, layout)
            found[part] = read_labels(_extracted(archive, y, folder / y), f"{path}: {y}")
            (folder / y).unlink()
        given = _class_names(archive, folder, path) if CLASSES in headers else None
    names, numbers, notes, warnings = _encoded(found, given, task)
    conversion_cache.write_labels(folder, numbers)
    arrays = {part: memory_map.open_array(conversion_cache.examples_file(folder, part)) for part in pairs}
    return {
        "classes": names,
        "names": {part: [f"{path}: {name}" for name in pair] for part, pair in pairs.items()},
        "notes": [parts.note({part: f"{x} with {y}" for part, (x, y) in pairs.items()}), *notes],
        "warnings": warnings,
        **example_kind.token_facts(arrays, layout.kind, headers[pairs["train"][0]].dtype),
    }


def _encoded(
    found: Mapping[str, Any], given: tuple[str, ...] | None, task: Task
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int32]], list[str], list[str]]:
    """Return the names of the classes, the labels of each part, and notes and warnings on them."""
    if task is SINGLE:
        names, numbers = labels.encoded(found, given)
        warnings = [] if given else [text for of_part in found.values() for text in labels.check_names(of_part)]
        return names, numbers, labels.notes(found, names, bool(given)), warnings
    return *multi_labels.checked(found, given), [], []


def _pairs(archive: zipfile.ZipFile, path: Path) -> dict[str, tuple[str, str]]:
    """Return the names of examples and labels of each part; refuse an archive in which one of a pair is missing."""
    there = npy.names(archive)
    pairs = parts.arrays(there, str(path))
    for part, pair in pairs.items():
        missing = [name for name in pair if name not in there]
        if missing and (part == "train" or len(missing) == 1):
            received = first_few(sorted(there), 10) or "no array"
            raise DataError(
                f"{path}: the archive has no array {missing[0]}: {WANTED}; received {received}",
                hint=_recipe(path, sorted(there), pair) if part == "train" and len(there) > 1 else None,
            )
    return {part: pair for part, pair in pairs.items() if pair[0] in there}


def _recipe(path: Path, there: list[str], pair: tuple[str, str]) -> str:
    """Return how arrays are renamed in Python."""
    others = iter([name for name in there if name not in (*pair, CLASSES)])
    found = {name: name if name in there else next(others, "...") for name in pair}
    arrays = ", ".join(f"{name}=d[{array!r}]" for name, array in found.items())
    return (
        f"Give them these names in Python: d = numpy.load({path.name!r}); numpy.savez('renamed.npz', {arrays}), if "
        "these are the right ones; x_test and y_test likewise."
    )


def _check_part(headers: dict[str, Header], pair: tuple[str, str], of_train: str, path: Path, layout: Layout) -> None:
    """Check that a part's examples have the shape and type of train's, and that there is a label for each."""
    x_name, y_name = pair
    x, y, train = headers[x_name], headers[y_name], headers[of_train]
    if len(x.shape) not in (2, 3, 4, 5) or 0 in x.shape[1:]:
        raise DataError(f"{path}: {x_name}: expected the shape {SHAPES}; received {x.shape}")
    layout.checked(x.shape, x_name)
    if len(x.shape) == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4 and not layout.settings:
        raise DataError(
            f"{path}: {x_name}: expected channels last, (n, height, width, channels); received {x.shape}, which looks "
            "like channels first",
            hint=f"Set data.channel_axis: 1, or save {x_name}.transpose(0, 2, 3, 1); or set data.kind: volume.",
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


def write_examples(archive: zipfile.ZipFile, name: str, target: Path, path: Path, layout: Layout) -> None:
    """Write the array `name` of an archive to `target` as it is stored; DataError: a value cannot be."""
    raw = target.with_name(name)
    array = _extracted(archive, name, raw)
    dtype = np.dtype(np.int32) if layout.kind == "tokens" else npy.stored_type(array.dtype)
    is_stored = array.dtype == dtype and array.flags.c_contiguous and layout.channel_axis is None
    if is_stored:
        if dtype.kind != "u":
            for _ in _stored(array, f"{path}: {name}", layout):
                pass
        raw.rename(target)
        return
    shape = np.moveaxis(array[:0], layout.channel_axis or -1, -1).shape[1:]
    with memory_map.RowWriter(target, shape, dtype) as rows:
        for piece in _stored(array, f"{path}: {name}", layout):
            rows.append(piece)
    raw.unlink()


def _stored(array: NDArray, name: str, layout: Layout) -> Iterator[NDArray]:
    """Yield an array in pieces, as they are stored, after a check of their values."""
    start = 0
    for piece in memory_map.pieces(array):
        yield layout.stored(piece, start, name)
        start += len(piece)


def _class_names(archive: zipfile.ZipFile, folder: Path, path: Path) -> tuple[str, ...]:
    array = _extracted(archive, CLASSES, folder / CLASSES)
    (folder / CLASSES).unlink()
    if array.ndim != 1 or array.dtype.kind not in "iuSU":
        raise DataError(f"{path}: classes: expected names (classes,); received {array.dtype} of shape {array.shape}")
    names = list(map(str, labels.decoded(array, f"{path}: classes").tolist()))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{path}: classes: expected each name once; received more than once: {first_few(twice)}")
    return tuple(names)
