"""Reads CSV files: a line with the names of the columns, then rows with finite numbers in the feature columns."""

import csv
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few

LARGEST = float(np.finfo(np.float32).max)
SHOWN = 40  # characters of a cell in messages

Row = tuple[int, list[str]]  # number of the line, cells


class CsvFile:
    """Comma-separated values, read line by line; `place` is the name of the file in messages.

    Raises:
        DataError: the file is empty, two columns have one name, or it is not CSV in UTF-8; names the line.
    """

    def __init__(self, lines: Iterable[str], place: str) -> None:
        self.place = place
        self._reader = csv.reader(lines, strict=True)
        _, header = next(self._rows(), (0, []))
        self.columns = [name.removeprefix("\ufeff").strip() for name in header]
        if not header:
            raise DataError(f"{place}: expected a table that begins with the names of its columns; received nothing")
        twice = sorted(name for name, count in Counter(self.columns).items() if count > 1)
        if twice:
            raise DataError(f"{place}: expected different names of columns; received {first_few(twice)} more than once")

    def blocks(self, size: int, features: Sequence[int], hint: str) -> Iterator[tuple[NDArray[np.float32], list[Row]]]:
        """Yield the features (rows, features) of up to `size` rows at a time, and those rows.

        Args:
            size: rows in a block.
            features: positions of the feature columns.
            hint: the hint of the error for a feature that is not a number.

        Raises:
            DataError: a row has more or fewer cells than columns, or a feature that is not a finite number.
        """
        rows = self._whole_rows()
        while block := list(itertools.islice(rows, size)):
            try:
                values = np.array([list(map(float, [row[cell] for cell in features])) for _, row in block])
            except ValueError:
                values = np.full((1, 1), np.nan)
            with np.errstate(over="ignore"):  # values beyond float32 become infinite
                found = values.astype(np.float32)
            if not np.isfinite(found).all() or any("_" in "".join(row) for _, row in block):
                self._check_cells(block, features, hint)
            yield found, block

    def _rows(self) -> Iterator[Row]:
        """Yield the rows of all lines that are not empty."""
        try:
            for row in self._reader:
                if row:
                    yield self._reader.line_num, row
        except UnicodeDecodeError:
            raise DataError(f"{self.place}: expected text in UTF-8", hint="Save the table as CSV in UTF-8.") from None
        except csv.Error as error:
            raise DataError(f"{self.place}, line {self._reader.line_num}: cannot be read as CSV: {error}") from None
        except OSError as error:
            raise DataError(f"{self.place}: cannot be read: {error.strerror or error}") from None

    def _whole_rows(self) -> Iterator[Row]:
        for line, row in self._rows():
            if len(row) != len(self.columns):
                expected = f"expected {len(self.columns)} cells"
                raise DataError(f"{self.place}, line {line}: {expected}; received {len(row)}")
            yield line, row

    def _check_cells(self, block: Sequence[Row], features: Sequence[int], hint: str) -> None:
        """Raise an error for the first feature that is not a number."""
        for line, row in block:
            for cell in features:
                if not is_number(row[cell]):
                    what = f"{row[cell][:SHOWN]!r}" if row[cell].strip() else "nothing"
                    place = f"{self.place}, line {line}, column {self.columns[cell]!r}"
                    raise DataError(f"{place}: expected a finite number; received {what}", hint=hint)


@contextmanager
def opened(path: Path) -> Iterator[CsvFile]:
    """Open a CSV file.

    Raises:
        DataError: it is not a regular file or cannot be read, or `CsvFile` raises one.
    """
    try:
        files.stat_regular(path)
        # Spreadsheets begin their files with a byte order mark.
        stream = open(path, encoding="utf-8-sig", newline="")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    with stream:
        yield CsvFile(stream, str(path))


def is_number(text: str) -> bool:
    """Whether a cell is a number that is finite in float32; 1_000, which Python accepts, is not a number in a table."""
    try:
        return "_" not in text and abs(float(text)) <= LARGEST  # False for NaN
    except ValueError:
        return False
