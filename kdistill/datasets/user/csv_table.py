"""The user's own tables: CSV files with a header, one column of labels, and numbers in all the others."""

import csv
import difflib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map
from kdistill.datasets.user import conversion_cache, labels

if TYPE_CHECKING:
    from _csv import Reader

FILES = {"train": ("train.csv",), "test": ("test.csv",), "validation": ("validation.csv", "val.csv")}
ROWS_AT_ONCE = 4096
NAMED_COLUMNS = 10
LARGEST = float(np.finfo(np.float32).max)
WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True)
class Columns:
    """Which cells of a row are which.

    Attributes:
        features: names, in the order in which they are kept.
        cells: the position in a row of each feature.
        label: the position of the label.
        width: of a row.
    """

    features: tuple[str, ...]
    cells: tuple[int, ...]
    label: int
    width: int


def files_at(path: Path) -> dict[str, Path]:
    """Return the file of each part: `path` itself is that of train, or a folder that holds them.

    Raises:
        DataError: there is no such file, or the folder has no train.csv.
    """
    if not path.is_dir():
        return {"train": path}
    found: dict[str, Path] = {}
    for part, names in FILES.items():
        there = [path / name for name in names if os.path.exists(path / name)]
        if len(there) > 1:
            raise DataError(f"{path}: expected one of {' and '.join(names)}; received both")
        if there:
            found[part] = there[0]
    if "train" not in found:
        raise DataError(f"{path}: expected train.csv in this folder, and test.csv, validation.csv where there are such")
    return found


def convert(path: Path, label: str, folder: Path) -> conversion_cache.Facts:
    """Write the tables at a path to the folder of a conversion.

    Args:
        label: name of the column of the labels.

    Raises:
        DataError: naming the file, and where it can the line and the column.
    """
    found, columns = {}, None
    places = files_at(path)
    for part, file in places.items():
        with _opened(file) as rows:
            received = _columns(file, rows, label)
            columns = received if columns is None else _matched(file, received, columns)
            found[part] = _write(file, rows, columns, conversion_cache.examples_file(folder, part))
    names, numbers = labels.numbered(found, order=_in_order)
    for part in found:
        conversion_cache.write_labels(folder, part, numbers[part])
    return {
        "classes": names,
        "names": {part: [str(file), str(file)] for part, file in places.items()},
        "features": columns.features if columns else (),
    }


@contextmanager
def _opened(file: Path) -> Iterator["Reader"]:
    """Open a table as rows of cells; what makes it unreadable becomes a message."""
    conversion_cache.regular_file(file)
    rows = None
    try:
        # Spreadsheets begin their files with a byte order mark.
        with open(file, encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            yield rows
    except UnicodeDecodeError:
        raise DataError(f"{file}: expected text in UTF-8", hint="Save the table as CSV in UTF-8.") from None
    except csv.Error as error:
        line = f", line {rows.line_num}" if rows else ""
        raise DataError(f"{file}{line}: cannot be read as CSV: {error}") from None
    except PermissionError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None


def _columns(file: Path, rows: "Reader", label: str) -> Columns:
    header = [name.strip() for name in next((row for row in rows if row), [])]
    if not header:
        raise DataError(f"{file}: expected a table that begins with the names of its columns; it is empty")
    if label not in header:
        raise DataError(
            f"{file}: there is no column {label!r}, which data.label names: received "
            f"{first_few([repr(name) for name in header], NAMED_COLUMNS)}"
            + (f"; the last is {header[-1]!r}" if len(header) > NAMED_COLUMNS else ""),
            hint=_hint(header, label),
        )
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise DataError(f"{file}: the names of columns must differ: {first_few(twice)} is there more than once")
    position = header.index(label)
    cells = tuple(cell for cell in range(len(header)) if cell != position)
    if not cells:
        raise DataError(f"{file}: expected columns besides the label {label!r}; there are none")
    return Columns(tuple(header[cell] for cell in cells), cells, position, len(header))


def _hint(header: list[str], label: str) -> str | None:
    if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
        return f"The columns seem to be separated by {separator!r}: expected commas."
    if all(is_number(name) for name in header):
        return "The first line has numbers alone: expected the names of the columns."
    close = difflib.get_close_matches(label, header, n=1)
    return f"Did you mean {close[0]!r}?" if close else "Set data.label to the column of the labels."


def _matched(file: Path, received: Columns, train: Columns) -> Columns:
    """Return the columns of another part in the order of train's."""
    for there, others, verb in ((train, received, "is missing"), (received, train, "is not in train.csv")):
        known = set(others.features)
        strange = [name for name in there.features if name not in known]
        if strange:
            raise DataError(f"{file}: expected the columns of train.csv: {first_few(strange)} {verb}")
    cell_of = dict(zip(received.features, received.cells, strict=True))
    cells = tuple(cell_of[name] for name in train.features)
    return Columns(train.features, cells, received.label, received.width)


def _write(file: Path, rows: "Reader", columns: Columns, target: Path) -> labels.Labels:
    """Write the features of all rows; return their labels."""
    known: dict[str, int] = {}
    numbers: list[np.ndarray] = []
    with memory_map.RowWriter(target, (len(columns.cells),), np.float32) as writer:
        cells = _cells(file, rows, columns)
        while block := list(itertools.islice(cells, ROWS_AT_ONCE)):
            writer.append(_features(file, block, columns))
            numbers.append(np.array([known.setdefault(row[columns.label].strip(), len(known)) for _, row in block]))
    if not numbers:
        raise DataError(f"{file}: expected rows below the names of the columns; there are none")
    return labels.Labels(np.array(list(known))[np.concatenate(numbers)], str(file))


def _cells(file: Path, rows: "Reader", columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with the number of its line."""
    for row in rows:
        if not row:
            continue
        if len(row) != columns.width:
            raise DataError(f"{file}, line {rows.line_num}: expected {columns.width} cells; received {len(row)}")
        if not row[columns.label].strip():
            raise DataError(f"{file}, line {rows.line_num}: the label is missing")
        yield rows.line_num, row


def _features(file: Path, block: list[tuple[int, list[str]]], columns: Columns) -> np.ndarray:
    """Return the features (rows, features) of some rows as float32, or say which cell is no number."""
    try:
        values = np.array([list(map(float, [row[cell] for cell in columns.cells])) for _, row in block])
    except ValueError:
        values = np.full((1, 1), np.nan)
    with np.errstate(over="ignore"):  # what is too large for the type is infinite in it
        converted_values = values.astype(np.float32)
    if not np.isfinite(converted_values).all() or any("_" in "".join(row) for _, row in block):
        _name_bad_cell(file, block, columns)
    return converted_values


def _name_bad_cell(file: Path, block: list[tuple[int, list[str]]], columns: Columns) -> None:
    for line, row in block:
        for name, cell in zip(columns.features, columns.cells, strict=True):
            if not is_number(row[cell]):
                what = f"{row[cell]!r}" if row[cell].strip() else "nothing"
                raise DataError(
                    f"{file}, line {line}, column {name!r}: expected a finite number; received {what}",
                    hint="All columns but the label are features: leave out those that are no numbers, and rows "
                    "with missing values.",
                )


def is_number(text: str) -> bool:
    """Whether a cell holds a number that is finite in float32. Python takes 1_000 for one, which no table means."""
    try:
        return "_" not in text and abs(float(text)) <= LARGEST  # which no NaN is
    except ValueError:
        return False


def _in_order(names: set[str]) -> list[str]:
    """Return whole numbers by their value, and names by their letters."""
    if all(WHOLE_NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
