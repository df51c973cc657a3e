"""The user's own tables: CSV files with a header, a label column, and numbers in all other columns."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdistill.core.errors import DataError
from kdistill.core.formatting import closest, first_few
from kdistill.datasets import csv_file, memory_map
from kdistill.datasets.csv_file import CsvFile
from kdistill.datasets.user import conversion_cache, labels
from kdistill.datasets.user.parts import in_folder

ROWS_AT_ONCE = 4096
NAMED_COLUMNS = 10
SUFFIXES = (".csv", ".tsv")
FEATURES_HINT = (
    "All columns but the label are features: leave out columns that are not numbers, and rows with missing values."
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table: names of the features, in the order of train, and positions of the cells in a row."""

    features: tuple[str, ...]
    cells: tuple[int, ...]
    label: int


def files_at(path: Path) -> dict[str, Path]:
    """Return the file of each part; `path` is the file of train, or a folder of several files.

    Raises:
        DataError: there is no such file, or the folder has no train.csv.
    """
    if not path.is_dir():
        return {"train": path}
    found = in_folder(path, SUFFIXES, os.path.exists)
    if "train" not in found:
        raise DataError(f"{path}: expected train.csv in this folder, and optionally test.csv and validation.csv")
    return found


def convert(path: Path, label: str, folder: Path) -> conversion_cache.Facts:
    """Write the tables at a path, whose label column is `label`, to the folder of a conversion; return its facts.

    Raises:
        DataError: a table cannot be used; names the file, and the line and the column if possible.
    """
    found, columns = {}, None
    places = files_at(path)
    for part, file in places.items():
        with csv_file.opened(file) as table:
            received = _columns(table, label)
            columns = received if columns is None else _matched(file, received, columns)
            found[part] = _write(table, columns, conversion_cache.examples_file(folder, part))
    names, numbers = labels.encoded(found)
    conversion_cache.write_labels(folder, numbers)
    return {
        "classes": names,
        "names": {part: [str(file), str(file)] for part, file in places.items()},
        "features": columns.features if columns else (),
    }


def _columns(table: CsvFile, label: str) -> Columns:
    header = table.columns
    if label not in header:
        raise DataError(
            f"{table.place}: expected a column {label!r}, which data.label names; received "
            f"{first_few([repr(name) for name in header], NAMED_COLUMNS)}"
            + (f"; the last is {header[-1]!r}" if len(header) > NAMED_COLUMNS else ""),
            hint=_hint(header, label),
        )
    position = header.index(label)
    cells = tuple(cell for cell in range(len(header)) if cell != position)
    if not cells:
        raise DataError(f"{table.place}: expected columns besides the label {label!r}; received none")
    return Columns(tuple(header[cell] for cell in cells), cells, position)


def _hint(header: list[str], label: str) -> str | None:
    if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
        return f"The columns seem to be separated by {separator!r}: expected commas."
    if all(csv_file.is_number(name) for name in header):
        return "The first line has only numbers: expected the names of the columns."
    meant = closest(label, header)
    return f"Did you mean {meant!r}?" if meant else "Set data.label to the label column."


def _matched(file: Path, received: Columns, train: Columns) -> Columns:
    """Return the columns of another part in the order of train."""
    for there, others, verb in ((train, received, "is missing"), (received, train, "is not in train.csv")):
        known = set(others.features)
        if strange := [name for name in there.features if name not in known]:
            raise DataError(f"{file}: expected the columns of train.csv: {first_few(strange)} {verb}")
    cell_of = dict(zip(received.features, received.cells, strict=True))
    return Columns(train.features, tuple(cell_of[name] for name in train.features), received.label)


def _write(table: CsvFile, columns: Columns, target: Path) -> labels.Labels:
    """Write the features of all rows, and return their labels."""
    known: dict[str, int] = {}
    numbers: list[np.ndarray] = []
    with memory_map.RowWriter(target, (len(columns.cells),), np.float32) as writer:
        for features, rows in table.blocks(ROWS_AT_ONCE, columns.cells, FEATURES_HINT):
            writer.append(features)
            names = [(line, row[columns.label].strip()) for line, row in rows]
            if nameless := next((line for line, name in names if not name), None):
                raise DataError(f"{table.place}, line {nameless}: the label is missing")
            numbers.append(np.array([known.setdefault(name, len(known)) for _, name in names]))
    if not numbers:
        raise DataError(f"{table.place}: expected rows below the names of the columns; received none")
    return labels.Labels(np.array(list(known))[np.concatenate(numbers)], table.place)
