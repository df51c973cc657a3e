"""CSV files: a line with the names of the columns, then lines that have finite numbers in those that are features."""

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
SHOWN = 40  # characters of a cell

Row = tuple[int, list[str]]


class CsvFile:
    """Lines of comma-separated values, read as they come.

    Args:
        lines: of text.
        place: the name of the file, for messages.

    Raises:
        DataError: it is empty, two columns have one name, or it is no CSV in UTF-8; naming the line.
    """

    def __init__(self, lines: Iterable[str], place: str) -> None:
        self.place = place
        self._reader = csv.reader(lines, strict=True)
        _, header = next(self._rows(), (0, []))
        self.columns = [name.removeprefix("\ufeff").strip() for name in header]
        if not header:
            raise DataError(f"{place}: expected a table that begins with the names of its columns; it is empty")
        twice = sorted(name for name, count in Counter(self.columns).items() if count > 1)
        if twice:
            raise DataError(f"{place}: the names of columns must differ: {first_few(twice)} is there more than once")

    def blocks(self, size: int, features: Sequence[int], hint: str) -> Iterator[tuple[NDArray[np.float32], list[Row]]]:
        """Yield the features (rows, features) of up to `size` lines at a time, and those lines with their numbers.

        Args:
            size: no more lines are read before a block is yielded.
            features: the positions in a line of the cells that are features.
            hint: what to do where one of them has no number.

        Raises:
            DataError: a line has more or fewer cells than there are columns, or a feature that is no finite number.
        """
        rows = self._whole_rows()
        while block := list(itertools.islice(rows, size)):
            try:
                values = np.array([list(map(float, [row[cell] for cell in features])) for _, row in block])
            except ValueError:
                values = np.full((1, 1), np.nan)
            with np.errstate(over="ignore"):  # what is too large for the type is infinite in it
                found = values.astype(np.float32)
            if not np.isfinite(found).all() or any("_" in "".join(row) for _, row in block):
                self._check_cells(block, features, hint)
            yield found, block

    def _rows(self) -> Iterator[Row]:
        """Yield each line that is not empty, with its number."""
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
        """Name the first cell that is no number."""
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
        DataError: it is no regular file, or cannot be read; and what `CsvFile` raises.
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
    """Whether a cell holds a number that is finite in float32. Python takes 1_000 for one, which no table means."""
    try:
        return "_" not in text and abs(float(text)) <= LARGEST  # which no NaN is
    except ValueError:
        return False
