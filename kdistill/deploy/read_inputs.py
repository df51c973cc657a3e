"""Examples for `predict`: images, arrays or rows of a table, read in batches, however many there are.

Images are decoded like those of an `image_folder`, converted to the model's channels, and resized to its input. Arrays
(of an .npy file, or of an .npz file that calls it `x` or as a part of training data) must have the model's shape;
channels may also come first. Tables (CSV) are read as the model's training table was: its columns by their names,
numbers with its marks, categories and missing values by the model's `inputs.json`.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError, ModelError
from kdistill.core.formatting import first_few
from kdistill.datasets import csv_file, npy
from kdistill.datasets.csv_file import CsvFile
from kdistill.datasets.table_columns import Column, Encoder
from kdistill.datasets.table_format import UNKNOWN, Format
from kdistill.datasets.user import image_decoding
from kdistill.datasets.user import parts as user_parts
from kdistill.deploy.wanted_columns import DROP_HINT, WantedColumns

BATCH_SIZE = 64
IMAGES = image_decoding.SUFFIXES
ARCHIVE, ARRAY, TABLES = ".npz", ".npy", (".csv", ".tsv")
DEEP_BITS, MOST_OF_8_BITS = 16, 255
NAMES = ("x", "x_test")  # of the array in an .npz file
STDIN = "-"
NAMES_HINT = "Write the names of the columns, those of the training data, into a first line."
MISSING_HINT = "Fill these cells, leave the rows out, or train the model with data.missing: mean."

Batch = tuple[list[str], NDArray]


def check(source: str) -> None:
    """Raise DataError if a source is missing or of an unknown kind; its content is checked when it is read.

    Args:
        source: a file, a folder of images, or `-` for a table on standard input.
    """
    path, known = Path(source), (*IMAGES, ARCHIVE, ARRAY, *TABLES)
    if source == STDIN:
        if sys.stdin is None:
            raise DataError("-: standard input is closed")
    elif not os.path.exists(path):
        raise DataError(f"{path}: no such file or folder")
    elif path.is_dir():
        image_decoding.images_in(path)
    elif not path.is_file() or path.suffix.lower() not in known:
        raise DataError(
            f"{path}: expected a folder of images, or a file that ends in one of {', '.join(known)}; "
            f"received {path.name!r}"
        )


@dataclass(frozen=True)
class Inputs:
    """How a model's inputs are made of files, as far as its folder says.

    Attributes:
        columns: columns of a table, if they are not all numbers of which none may be missing.
        format: how the tables were written that it was trained on.
        are_deep: whether it was trained on images of 16 bits.
    """

    columns: tuple[Column, ...] = ()
    format: Format = UNKNOWN
    are_deep: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Inputs":
        """Return the inputs of a document (`modelfiles.names`); ValueError if it is none."""
        columns = document.get("columns", [])
        if not isinstance(columns, list):
            raise ValueError("expected a list of columns")
        return cls(tuple(map(Column.of, columns)), Format.of(document), document.get("bits") == DEEP_BITS)


@dataclass
class Reader:
    """Reads examples for a model.

    Attributes:
        shape: of one example of the model.
        drop: names of columns of a table that are not features, such as the label.
        skip: continue after an image that cannot be read.
        features: names of the columns of the model's training data, in order; empty if unknown.
        note: called with a sentence on columns that are ignored.
        vocabulary: number of tokens that the model knows; None if it takes other values.
        skipped: the error messages of images that could not be read.
        inputs: how the model's inputs are made.
        warnings: sentences on values that the model does not know, once all is read.
        largest: the largest value that the model is made for; None if unknown.
    """

    shape: tuple[int, ...]
    drop: Sequence[str] = ()
    skip: bool = False
    features: Sequence[str] = ()
    note: Callable[[str], None] = lambda text: None
    vocabulary: int | None = None
    skipped: list[str] = field(default_factory=list)
    inputs: Inputs = field(default_factory=Inputs)
    warnings: list[str] = field(default_factory=list)
    largest: float | None = None

    def read_all(self, sources: Sequence[str]) -> Iterator[Batch]:
        """Yield the batches of one source as `read` does; of several, names begin with that of their source.

        Image files that follow each other share batches.
        """
        if len(sources) == 1:
            yield from self.read(sources[0])
            return
        for are_images, some in groupby(sources, _is_image):
            if are_images:
                yield from self._images([Path(source) for source in some], None)
                continue
            for source in some:
                for names, examples in self.read(source):
                    between = os.sep if os.path.isdir(source) else ":"
                    yield [f"{source.rstrip(os.sep)}{between}{name}" for name in names], examples

    def read(self, source: str) -> Iterator[Batch]:
        """Yield batches: the names of the examples (files, or row numbers from 0) and their raw values (n, *shape).

        Args:
            source: a file, a folder of images, or `-` for a table on standard input.

        Raises:
            DataError: the source is missing, damaged, of another kind or shape; names the file, row or line.
            ModelError: the model does not take examples of this kind.
        """
        check(source)
        path = Path(source)
        if source == STDIN:
            return self._rows_of(csv_file.streamed(sys.stdin, "standard input", self.inputs.format, NAMES_HINT))
        if path.is_dir():
            return self._images(image_decoding.images_in(path), path)
        kinds: dict[str, Callable[[Path], Iterator[Batch]]] = {
            ARCHIVE: self._archive,
            ARRAY: self._array,
            **dict.fromkeys(TABLES, self._csv),
        }
        return kinds.get(path.suffix.lower(), lambda path: self._images([path], path.parent))(path)

    def _images(self, paths: Sequence[Path], folder: Path | None) -> Iterator[Batch]:
        size, channels = _image_size(self.shape)
        readable = self._readable(paths, size, channels)
        while batch := list(islice(readable, BATCH_SIZE)):
            yield (
                [str(path.relative_to(folder) if folder else path) for path, _ in batch],
                np.stack([image for _, image in batch]),
            )

    def _readable(self, paths: Sequence[Path], size: tuple[int, int], channels: int) -> Iterator[tuple[Path, NDArray]]:
        for path in paths:
            try:
                image = _read_image(path, size, channels)
                _check_depth(path, image.dtype != np.uint8, self.inputs.are_deep, self.largest)
                yield path, image.reshape(self.shape)
            except DataError as error:
                if not self.skip:
                    raise
                self.skipped.append(error.message)

    def _archive(self, path: Path) -> Iterator[Batch]:
        with npy.opened(path) as archive:
            name = _array_in(npy.names(archive), path)
            if name not in NAMES:
                self.note(f"{path}: the array {name} is read.")
            header = npy.header_in(archive, name)
            with npy.reading(path), archive.open(f"{name}{npy.SUFFIX}") as stream:
                npy.read_header(stream)
                yield from self._rows(stream, header, f"{path}: {name}")

    def _array(self, path: Path) -> Iterator[Batch]:
        with npy.opened_array(path) as (stream, header):
            yield from self._rows(stream, header, str(path))

    def _rows(self, stream: IO[bytes], header: npy.Header, name: str) -> Iterator[Batch]:
        """Yield batches of the array `name`, at whose first value a stream is: it may be larger than memory."""
        shape, by_column, _ = header
        if by_column or not shape:
            order = " in Fortran's order" if by_column else ""
            raise DataError(f"{name}: expected rows one after another; received shape {shape}{order}")
        comes_first = not _fits(shape[1:], self.shape) and (*shape[2:], *shape[1:2]) == self.shape
        if comes_first and len(self.shape) > 2:  # of two axes, rows may have been taken for columns
            self.note(f"{name}: the first axis of an example is taken for the channels, which the model has last.")
        elif not _fits(shape[1:], self.shape):
            hint = "If its first axis has the features, give np.moveaxis(x, 1, -1)." if comes_first else None
            raise DataError(f"{name}: expected examples of shape {self.shape}; received {shape[1:]}", hint)
        for start, rows in _pieces(stream, header):
            values = self._checked(rows, start, name)
            values = np.moveaxis(values, 1, -1) if comes_first else values
            yield [str(start + row) for row in range(len(rows))], values.reshape(-1, *self.shape)

    def _checked(self, rows: NDArray, start: int, name: str) -> NDArray:
        if self.vocabulary is None:
            return npy.finite(rows, start, name)
        return npy.tokens(rows, start, name, self.vocabulary)

    def _csv(self, path: Path) -> Iterator[Batch]:
        with csv_file.opened(path, usual=self.inputs.format, hint=NAMES_HINT) as table:
            for note in table.notes:
                self.note(note)
            yield from self._rows_of(table)

    def _rows_of(self, table: CsvFile) -> Iterator[Batch]:
        trained_on = tuple(column.name for column in self.inputs.columns)
        wanted = WantedColumns(prod(self.shape), self.drop, trained_on, self.features, self.note)
        wanted.name_as_trained(table)
        names = wanted.of(table)
        columns = self.inputs.columns or tuple(map(Column, names))
        encoder = Encoder(table, columns, [table.columns.index(name) for name in names], DROP_HINT)
        for rows in table.row_blocks(BATCH_SIZE):
            start, features = encoder.rows, encoder.encode(rows)
            encoder.check_missing(MISSING_HINT)
            values = features if self.vocabulary is None else self._checked(features, start, table.place)
            yield [str(start + row) for row in range(len(rows))], values.reshape(-1, *self.shape)
        if not encoder.rows:
            raise DataError(f"{table.place}: expected rows below the names of the columns; there are none")
        self.warnings += encoder.warnings()


def _array_in(members: Collection[str], path: Path) -> str:
    """Return the name of the array of examples in an archive: `x`, or that of the test part, or else of another one."""
    pairs = user_parts.arrays(members, str(path))
    named = [*NAMES, *(pairs[part][0] for part in ("test", "train", "validation"))]
    name = next((name for name in named if name in members), None)
    if name is None and len(members) == 1:
        return next(iter(members))
    if name is None:
        received = first_few(sorted(members), 10) or "no array"
        raise DataError(f"{path}: expected an array `x` or `x_test`; it holds {received}")
    return name


def _is_image(source: str) -> bool:
    return os.path.isfile(source) and Path(source).suffix.lower() in IMAGES


def _image_size(shape: tuple[int, ...]) -> tuple[tuple[int, int], int]:
    """Return (height, width) and the channels of a model's images."""
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in (1, 3):
        raise ModelError(
            f"the model takes examples of shape {shape}: expected (height, width), with 1 or 3 channels, for images",
            hint="Give an .npy or .npz file, or a table of comma-separated values.",
        )
    return (shape[0], shape[1]), channels


def _read_image(path: Path, size: tuple[int, int], channels: int) -> NDArray:
    """Return an image (height, width) or (height, width, 3) as `image_decoding.decode` does."""
    try:
        with image_decoding.bombs_refused():
            return image_decoding.decode(path, size, channels)
    except image_decoding.UnreadableError as error:
        raise DataError(
            f"{path}: this image cannot be read: {error}", hint="Pass --on-error skip to skip such images."
        ) from error


def _check_depth(path: Path, is_deep: bool, are_deep: bool, largest: float | None) -> None:
    """Raise DataError for an image of 8 or 16 bits if the model is made for the other: all values would differ."""
    if are_deep and not is_deep:
        raise DataError(f"{path}: expected an image of 16 bits, as the model was trained on; received 8")
    if is_deep and not are_deep and largest is not None and largest <= MOST_OF_8_BITS:
        raise DataError(
            f"{path}: expected an image of 8 bits, since the model takes values from 0 to {largest:g}; received 16",
            hint="Save it in 8 bits, as the images that the model was trained on.",
        )


def _pieces(stream: IO[bytes], header: npy.Header) -> Iterator[tuple[int, NDArray]]:
    """Yield batches of rows, with the number of their first."""
    count, *shape = header.shape
    for start in range(0, count, BATCH_SIZE):
        size = min(BATCH_SIZE, count - start)
        content = stream.read(size * prod(shape) * header.dtype.itemsize)
        yield start, np.frombuffer(content, header.dtype).reshape(size, *shape)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether examples of `shape` can be reshaped to `wanted`: flattened ones, or without axes of size 1."""
    without = [tuple(size for size in sizes if size != 1) for sizes in (shape, wanted)]
    return without[0] == without[1] or shape == (prod(wanted),)
