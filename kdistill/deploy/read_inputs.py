"""What a model is to be asked about: images, arrays or rows of a table, read a few at a time, however many there are.

Images are decoded as those of an `image_folder` are, made grey or RGB by the model's channels, and resized to its
input. Arrays (`x`, or else `x_test`, of an .npz file) and tables (CSV: a line of names, then numbers) have to
fit.
"""

import csv
import os
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DamagedError, DataError, ModelError
from kdistill.datasets import npy
from kdistill.datasets.user import image_decoding
from kdistill.datasets.user.csv_table import is_number

BATCH_SIZE = 64
IMAGES = image_decoding.SUFFIXES
ARRAY, TABLE = ".npz", ".csv"
NAMES = ("x", "x_test")  # of the array in an .npz file
STDIN = "-"

Batch = tuple[list[str], NDArray]


def check(source: str) -> None:
    """Refuse a source in which there is nothing to read; what is in it is seen when it is read.

    Args:
        source: a file, a folder of images, or `-` for a table on standard input.

    Raises:
        DataError: nothing is there, or it is of another kind.
    """
    path, known = Path(source), (*IMAGES, ARRAY, TABLE)
    if source == STDIN:
        if sys.stdin is None:
            raise DataError("-: standard input is closed")
    elif not os.path.exists(path):
        raise DataError(f"{path}: no such file or folder")
    elif path.is_dir():
        _in_folder(path)
    elif not path.is_file() or path.suffix.lower() not in known:
        raise DataError(
            f"{path}: expected a folder of images, or a file that ends in one of {', '.join(known)}; "
            f"received {path.name!r}"
        )


@dataclass
class Reader:
    """Reads examples for a model.

    Attributes:
        shape: of one example, as the model takes it.
        drop: names of columns of a table that are no features, such as the label.
        skip: go on where an image cannot be read.
        features: names of the columns that the model takes, in its order; empty where they are not known.
        note: told which columns are left out that the model does not take.
        skipped: what was not read, and why.
    """

    shape: tuple[int, ...]
    drop: Sequence[str] = ()
    skip: bool = False
    features: Sequence[str] = ()
    note: Callable[[str], None] = lambda text: None
    skipped: list[str] = field(default_factory=list)

    def read(self, source: str) -> Iterator[Batch]:
        """Yield the names of some examples (files, or row numbers from 0) and their raw values (n, *shape), on and on.

        Args:
            source: a file, a folder of images, or `-` for a table on standard input.

        Raises:
            DataError: it is missing, damaged, of another kind, or does not fit; naming the file, row or line.
            ModelError: the model does not take examples of this kind.
        """
        check(source)
        path = Path(source)
        if source == STDIN:
            return self._table(sys.stdin, "standard input")
        if path.is_dir():
            return self._images(_in_folder(path), path)
        kinds: dict[str, Callable[[Path], Iterator[Batch]]] = {ARRAY: self._arrays, TABLE: self._csv}
        return kinds.get(path.suffix.lower(), lambda path: self._images([path], path.parent))(path)

    def _images(self, paths: Sequence[Path], folder: Path) -> Iterator[Batch]:
        size, channels = _image_size(self.shape)
        names: list[str] = []
        images: list[NDArray] = []
        for path in paths:
            try:
                image = _read_image(path, size, channels)
            except DataError as error:
                if not self.skip:
                    raise
                self.skipped.append(error.message)
                continue
            names.append(str(path.relative_to(folder)))
            images.append(image.reshape(self.shape))
            if len(images) == BATCH_SIZE:
                yield names, np.stack(images)
                names, images = [], []
        if images:
            yield names, np.stack(images)

    def _arrays(self, path: Path) -> Iterator[Batch]:
        with _damage(path), zipfile.ZipFile(path) as archive:
            members = npy.names(archive)
            name = next((name for name in NAMES if name in members), None)
            if name is None:
                raise DataError(f"{path}: expected an array `x` or `x_test`; it holds {', '.join(sorted(members))}")
            with archive.open(f"{name}.npy") as stream:
                yield from self._rows_of_array(stream, f"{path}: {name}")

    def _rows_of_array(self, stream: IO[bytes], place: str) -> Iterator[Batch]:
        """Read the rows of a .npy stream as they come: a whole array may be larger than memory."""
        shape, dtype = _array_header(stream, place)
        if not _fits(shape[1:], self.shape):
            raise DataError(f"{place}: expected examples of shape {self.shape}; received {shape[1:]}")
        width = prod(self.shape) * dtype.itemsize
        for start in range(0, shape[0], BATCH_SIZE):
            count = min(BATCH_SIZE, shape[0] - start)
            content = stream.read(count * width)
            if len(content) < count * width:
                raise DataError(f"{place}: the file is damaged: it ends in row {start + len(content) // width}")
            values = np.frombuffer(content, dtype).reshape(count, *self.shape)
            bad = ~np.isfinite(values).reshape(count, -1).all(axis=1)
            if bad.any():
                raise DataError(f"{place}: row {start + int(bad.argmax())} has a value that is NaN or infinite")
            yield [str(start + row) for row in range(count)], values

    def _csv(self, path: Path) -> Iterator[Batch]:
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                yield from self._table(stream, str(path))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error

    def _table(self, stream: IO[str], place: str) -> Iterator[Batch]:
        lines = csv.reader(stream)
        try:
            columns = self._columns(next(lines, []), place)
            names: list[str] = []
            rows: list[list[float]] = []
            for row, cells in enumerate(filter(None, lines)):
                rows.append(_numbers(cells, columns, f"{place}, line {lines.line_num}"))
                names.append(str(row))
                if len(rows) == BATCH_SIZE:
                    yield names, np.array(rows, np.float32).reshape(-1, *self.shape)
                    names, rows = [], []
            if rows:
                yield names, np.array(rows, np.float32).reshape(-1, *self.shape)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{place}: expected a table of comma-separated values in UTF-8: {error}") from error

    def _columns(self, header: list[str], place: str) -> dict[str, int | None]:
        """Return the columns by name, with the place of each among the features; None for those that are dropped."""
        names = [name.strip().removeprefix("\ufeff") for name in header]
        if not names:
            raise DataError(f"{place}: expected a first line with the names of the columns; it is empty")
        if all(map(is_number, names)):
            raise DataError(f"{place}: expected a first line with the names of the columns; received numbers")
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise DataError(f"{place}: the column {twice!r} is there twice")
        for name in self.drop:
            if name not in names:
                raise DataError(f"{place}: there is no column {name!r} to drop; the columns are {_shown(names)}")
        features = [name for name in names if name not in self.drop]
        if self.features:
            features = self._known(features, place)
        if len(features) != prod(self.shape):
            raise DataError(
                f"{place}: expected {prod(self.shape)} columns of features, in the order that the model was trained "
                f"on; received {len(features)}: {_shown(features)}",
                hint="Leave out a column that is no feature, such as the label, by --drop NAME.",
            )
        places = {name: place for place, name in enumerate(features)}
        return {name: places.get(name) for name in names}

    def _known(self, received: list[str], place: str) -> list[str]:
        """Return the features of the model, all of which have to be in a table; others are left out, which is said."""
        there, taken = set(received), set(self.features)
        if missing := [name for name in self.features if name not in there]:
            raise DataError(
                f"{place}: expected the columns that the model was trained on: {_shown(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; received {_shown(received)}"
            )
        if others := [name for name in received if name not in taken]:
            self.note(f"{place}: left out, since the model does not take {_one(others)}: {_shown(others)}.")
        return list(self.features)


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, ..."


def _one(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _numbers(cells: list[str], columns: dict[str, int | None], place: str) -> list[float]:
    """Return the features of one line, in the order of the model."""
    if len(cells) != len(columns):
        raise DataError(f"{place}: expected {len(columns)} values; received {len(cells)}")
    numbers: dict[int, float] = {}
    for cell, (name, position) in zip(cells, columns.items(), strict=True):
        if position is None:
            continue
        if not is_number(cell):
            raise DataError(f"{place}: column {name!r}: expected a finite number; received {cell[:40]!r}")
        numbers[position] = float(cell)
    return [numbers[position] for position in range(len(numbers))]


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    visible = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not visible:
        raise DataError(f"{folder}: expected images that end in {', '.join(IMAGES)}; there are none in this folder")
    return visible


def _image_size(shape: tuple[int, ...]) -> tuple[tuple[int, int], int]:
    """Return height and width of the images that a model takes, and how many channels they have."""
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in (1, 3):
        raise ModelError(
            f"the model takes examples of shape {shape}: expected (height, width), with 1 or 3 channels, for images",
            hint="Give an .npz file or a table of comma-separated values.",
        )
    return (shape[0], shape[1]), channels


def _read_image(path: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Return an image as uint8 (height, width) or (height, width, 3)."""
    try:
        with image_decoding.bombs_refused():
            return image_decoding.decode(path, size, channels)
    except image_decoding.UnreadableError as error:
        raise DataError(
            f"{path}: this image cannot be read: {error}", hint="Pass --on-error skip to go on without such images."
        ) from error


def _array_header(stream: IO[bytes], place: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of a .npy stream, which is then at its first value.

    Raises:
        DataError: it is not an array of numbers in rows.
    """
    try:
        shape, by_column, dtype = npy.read_header(stream)
    except DamagedError as error:
        raise DataError(f"{place}: {error}") from error
    if dtype.kind not in "fiub" or by_column or not shape:
        order = " in Fortran's order" if by_column else ""
        raise DataError(f"{place}: expected an array of numbers in rows; received {dtype}{order} of shape {shape}")
    return shape, dtype


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether examples of `shape` are those of `wanted`: flat ones are, and a single channel may be left out."""
    without = [tuple(size for size in sizes if size != 1) for sizes in (shape, wanted)]
    return without[0] == without[1] or shape == (prod(wanted),)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what a damaged archive raises into a message."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise DataError(f"{path}: the file is damaged, or not an .npz file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
