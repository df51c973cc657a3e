"""Reads CSV files: a line with the names of the columns, if there is one, then rows of cells.

`kdistill.datasets.table_format` tells how a file is written; `kdistill.datasets.table_columns` makes numbers of cells.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import cells, table_format
from kdistill.datasets.table_format import UNKNOWN, Format

SHOWN = 40  # characters of a cell in messages
NAMELESS = re.compile(r"(Unnamed: \d+)?")  # as pandas calls a column without a name
DATA_HINT = (
    "If it is data, set data.header: false; columns are then named by their numbers, from 1. If these are names, set "
    "data.header: true."
)
TWICE_HINT = "Give each column a name of its own."

Row = tuple[int, list[str]]  # number of the line, cells


class CsvFile:
    """A table, read line by line.

    Attributes:
        place: name of the file, for messages.
        columns: names of the columns; without a line of names, their numbers from 1.
        nameless: those of the columns that have no name, and are called `column 1` by their place.
        format: how the table is written.
        notes: sentences on what was told from the file.

    Raises:
        DataError: the file is empty, two columns have one name, the first line looks like data, or it is not a table in
            this encoding; names the line.
    """

    def __init__(self, lines: Iterable[str], place: str, form: Format = UNKNOWN, hint: str = DATA_HINT) -> None:
        self.place, self.format, self.notes = place, form.or_else(Format(",", ".")), list[str]()
        lines = table_format.without_nul(lines, place)
        self._reader = csv.reader(lines, delimiter=self.format.separator or ",", strict=True)
        first = next(self._rows(), None)
        if first is None:
            raise DataError(f"{place}: expected a table that begins with the names of its columns; received nothing")
        first[1][0] = first[1][0].removeprefix("\ufeff")
        self._first = first if self.format.header is False else None
        names = [str(1 + cell) for cell in range(len(first[1]))] if self._first else first[1]
        self.columns = [name.strip() for name in names]
        self.nameless = self._name_the_nameless()
        twice = sorted(name for name, count in Counter(self.columns).items() if count > 1)
        if twice:
            raise DataError(
                f"{place}: expected different names of columns; received more than once: {first_few(twice)}",
                hint=TWICE_HINT if self.format.header else f"{TWICE_HINT} {hint}",
            )
        if self.format.header is None and self._looks_like_data():
            raise DataError(f"{place}: the first line looks like data: {first_few(self.columns)}", hint=hint)

    def blocks(self, size: int, features: Sequence[int], hint: str) -> Iterator[tuple[NDArray[np.float32], list[Row]]]:
        """Yield the features (rows, features) of up to `size` rows at a time, and those rows.

        Args:
            size: rows in a block.
            features: positions of the feature columns.
            hint: the hint of the error for a feature that is not a number.

        Raises:
            DataError: a row has more or fewer cells than columns, or a feature that is not a finite number.
        """
        for block in self.row_blocks(size):
            found = self.numbers(block, features)
            if found is None:
                self._check_cells(block, features, hint)
                raise AssertionError("a cell that is not a number is found")
            yield found, block

    def row_blocks(self, size: int) -> Iterator[list[Row]]:
        """Yield up to `size` rows at a time; DataError if one has more or fewer cells than there are columns."""
        rows = self._whole_rows()
        while block := list(itertools.islice(rows, size)):
            yield block

    def numbers(self, block: Sequence[Row], places: Sequence[int]) -> NDArray[np.float32] | None:
        """Return the numbers (rows, places) in cells of a block; None if one is not a finite number."""
        found = self.exact_numbers(block, places)
        return None if found is None else found.astype(np.float32)

    def exact_numbers(self, block: Sequence[Row], places: Sequence[int]) -> NDArray[np.float64] | None:
        """Return what `numbers` does, before it is rounded to float32."""
        texts = [[row[place] for place in places] for _, row in block]
        if self._has_marks:
            texts = [list(map(self._plain, row)) for row in texts]
        try:
            values = np.array([list(map(float, row)) for row in texts])
        except ValueError:
            return None
        with np.errstate(over="ignore"):  # values beyond float32 become infinite
            found = values.reshape(len(block), len(places))
            are_finite = np.isfinite(found.astype(np.float32)).all()
        has_underscore = any("_" in "".join(row) for row in texts)  # Python takes 1_000 for a number
        return None if has_underscore or not are_finite else found

    def not_a_number(self, line: int, cell: int, text: str, hint: str | None) -> DataError:
        """Return the error for a cell that is not a number."""
        what = f"{text[:SHOWN]!r}" if text.strip() else "nothing"
        place = f"{self.place}, line {line}, column {self.columns[cell]!r}"
        return DataError(f"{place}: expected a finite number; received {what}", hint=hint)

    def is_number(self, text: str) -> bool:
        """Whether a cell is a finite number, written with the marks of this table."""
        return cells.is_number(self._plain(text))

    def is_number_with(self, text: str, thousands: str) -> bool:
        """Whether a cell would be a finite number if this mark, which it has, separated thousands."""
        found = cells.plain(text, self.format.decimal, thousands)
        return thousands != self.format.decimal and not self.is_number(text) and cells.is_number(found)

    @property
    def _has_marks(self) -> bool:
        return self.format.decimal == "," or self.format.thousands is not None

    def _plain(self, text: str) -> str:
        return cells.plain(text, self.format.decimal, self.format.thousands)

    def _name_the_nameless(self) -> list[str]:
        nameless = []
        for cell, name in enumerate(self.columns):
            if NAMELESS.fullmatch(name):
                self.columns[cell] = f"column {cell + 1}"
                nameless.append(self.columns[cell])
        return nameless

    def _looks_like_data(self) -> bool:
        """Whether names are numbers, unless they are counted: 0, 1, 2 and so on, as pandas calls columns."""
        numbers = [name for name in self.columns if self.is_number(name)]
        if not numbers:
            return False
        counted = all(name.isdecimal() for name in numbers) and len(numbers) > 1
        return not (counted and [int(name) - int(numbers[0]) for name in numbers] == list(range(len(numbers))))

    def _rows(self) -> Iterator[Row]:
        """Yield the rows of all lines that are not empty."""
        try:
            with _text_in(self.format.encoding, self.place):
                for row in self._reader:
                    if row:
                        yield self._reader.line_num, row
        except csv.Error as error:
            raise DataError(f"{self.place}, line {self._reader.line_num}: cannot be read as CSV: {error}") from None
        except OSError as error:
            raise DataError(f"{self.place}: cannot be read: {error.strerror or error}") from None

    def _whole_rows(self) -> Iterator[Row]:
        for line, row in itertools.chain([self._first] if self._first else [], self._rows()):
            if len(row) != len(self.columns):
                expected = f"expected {len(self.columns)} cells"
                raise DataError(f"{self.place}, line {line}: {expected}; received {len(row)}")
            yield line, row

    def _check_cells(self, block: Sequence[Row], features: Sequence[int], hint: str) -> None:
        """Raise an error for the first feature that is not a number."""
        for line, row in block:
            for cell in features:
                if not self.is_number(row[cell]):
                    raise self.not_a_number(line, cell, row[cell], hint)


@contextmanager
def opened(path: Path, given: Format = UNKNOWN, usual: Format = UNKNOWN, hint: str = DATA_HINT) -> Iterator[CsvFile]:
    """Open a table.

    Args:
        path: the file.
        given: what is known of how it is written; the rest is told from it.
        usual: how it is written where that cannot be told.
        hint: what to do if the first line looks like data.

    Raises:
        DataError: it is not a regular file or cannot be read, or `CsvFile` raises one.
    """
    try:
        files.stat_regular(path)
        encoding = given.encoding or table_format.encoding_of(path)
        with _text_in(encoding, str(path)):
            sample = table_format.sample_of(path, encoding)
        stream = open(path, encoding=encoding, newline="")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    with stream:
        found = replace(table_format.told(sample, str(path), given, usual), encoding=encoding)
        table = CsvFile(stream, str(path), found, hint)
        table.notes += table_format.notes(found, given.or_else(usual), str(path))
        yield table


def streamed(lines: Iterable[str], place: str, usual: Format, hint: str) -> CsvFile:
    """Return the table in lines that come one by one: its separator is told from the first line alone.

    Args:
        lines: the lines of a table, with their ends.
        place: their name, for messages.
        usual: how the table is written where that cannot be told.
        hint: what to do if the first line looks like data.

    Raises:
        DataError: `CsvFile` raises one.
    """
    remaining = iter(lines)
    with _text_in(table_format.UTF8, place):
        sample = list(itertools.islice(remaining, 1))
    form = table_format.told(sample, place, UNKNOWN, usual)
    return CsvFile(itertools.chain(sample, remaining), place, form, hint)


@contextmanager
def _text_in(encoding: str | None, place: str) -> Iterator[None]:
    """Raise DataError for text that is in another encoding."""
    try:
        yield
    except UnicodeError:
        name = "UTF-8" if encoding in (None, table_format.UTF8) else encoding
        raise DataError(
            f"{place}: expected text in {name}", hint="Save the table as CSV in UTF-8, or set data.encoding."
        ) from None
